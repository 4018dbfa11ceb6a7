"""Records that could never be stored and lie as files in the spool: whose they are, and how they go."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from cmg.ledger.models import USAGE, decode_usage


class Batch(Protocol):
    """Whose a refused payload of another kind is."""

    @property
    def workspace_id(self) -> str:
        """The tenant."""
        ...

    @property
    def user_id(self) -> str:
        """The person."""
        ...


class RefusedRecords:
    """Payloads that could never be stored and lie in `spool/refused`; `decoders` by kind, beside usage."""

    name = "refused_records"

    def __init__(self, spool: Path, decoders: Mapping[str, Callable[[bytes], Batch]]) -> None:
        self._folder = spool / "refused"
        self._decoders: dict[str, Callable[[bytes], Any]] = {USAGE: decode_usage, **decoders}

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:  # noqa: ARG002  files go whole
        """Delete the user's payloads, and those that nobody can read but that hold the user's id."""
        return await asyncio.to_thread(self._erase, workspace_id, user_id)

    async def users(self, workspace_id: str) -> Sequence[str]:
        """Every user whose payloads can be read."""
        found = await asyncio.to_thread(lambda: [self._whose(path) for path in self._payloads()])
        return [one.user_id for one in found if one is not None and one.workspace_id == workspace_id and one.user_id]

    def _payloads(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if path.suffix != ".why"]

    def _whose(self, path: Path) -> Any:
        decode = self._decoders.get(path.suffix.removeprefix("."))
        with contextlib.suppress(msgspec.DecodeError, FileNotFoundError):
            return decode and decode(path.read_bytes())
        return None

    def _erase(self, workspace_id: str, user_id: str) -> int:
        gone = 0
        for path in self._payloads():
            whose = self._whose(path)
            if whose is None:
                with contextlib.suppress(FileNotFoundError):
                    theirs = user_id.encode("utf-8", "replace") in path.read_bytes()
            else:
                theirs = (whose.workspace_id, whose.user_id) == (workspace_id, user_id)
            if theirs:
                path.unlink(missing_ok=True)
                path.with_name(f"{path.name}.why").unlink(missing_ok=True)
                gone += 1
        return gone
