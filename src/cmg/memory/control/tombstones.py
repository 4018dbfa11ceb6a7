"""Who was erased, so that it stays so: in the database for what is on its way, and in a file for older backups.

A tombstone names nobody; only a user's id that comes again can be compared with it.
"""

import asyncio
import contextlib
import fcntl
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.control import tombstone_store
from cmg.memory.control.models import Tombstone
from cmg.storage.database import Database

FILE = "erasures.jsonl"
_START = datetime(1970, 1, 1, tzinfo=UTC)


class _Line(msgspec.Struct, frozen=True):
    workspace_id: str
    salt: str
    digest: str
    erased_at: datetime


_line = msgspec.json.Decoder(_Line)


class TombstoneFile:
    """`erasures.jsonl` in the data dir, beside the database and not part of its backups: it outlives a restore.

    Several processes write to it. `days`: how long a line counts, as `retention.erasures_days`.
    """

    def __init__(self, data_dir: Path, days: int) -> None:
        self._path, self._kept = data_dir / FILE, timedelta(days=max(1, days))

    def counting(self, now: datetime) -> list[Tombstone]:
        """Those that count still: the database lets go of older ones, so that it does not know them says nothing."""
        return [stone for stone in self.read() if self._counts(stone, now)]

    def read(self) -> list[Tombstone]:
        """What the file holds, the latest of each user; a torn line is passed over."""
        stones: dict[tuple[str, bytes], Tombstone] = {}
        with contextlib.suppress(FileNotFoundError):
            for text in self._path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError, ValueError):
                    line = _line.decode(text)
                    stone = Tombstone(line.workspace_id, b64decode(line.salt), b64decode(line.digest), line.erased_at)
                    known = stones.get((stone.workspace_id, stone.digest))
                    if known is None or known.erased_at <= stone.erased_at:
                        stones[stone.workspace_id, stone.digest] = stone
        return list(stones.values())

    async def append(self, stone: Tombstone) -> None:
        """Write a line and wait until the disk has it."""
        await asyncio.to_thread(self._append, _text(stone))

    async def catch_up(self, database: Database, now: datetime) -> None:
        """Take over what was erased on other machines, or by a process that died before its line was written.

        Lines that do not count any more go: should the setting grow later, they would count again.
        """
        stones = self.read()
        if not all(self._counts(stone, now) for stone in stones):
            await asyncio.to_thread(self._keep, lambda: self.counting(now))
        known = {(stone.workspace_id, stone.digest): stone.erased_at for stone in stones}
        for stone in await tombstone_store.every(database):
            if max(known.get((stone.workspace_id, stone.digest), _START), now - self._kept) < stone.erased_at:
                await self.append(stone)

    async def compact(self, database: Database) -> None:
        """Leave out what the database has let go of; what somebody adds meanwhile stays."""
        before, stones = self.read(), await tombstone_store.every(database)
        await asyncio.to_thread(self._keep, lambda: stones + [one for one in self.read() if one not in before])

    def _counts(self, stone: Tombstone, now: datetime) -> bool:
        return stone.erased_at >= now - self._kept

    def _append(self, text: bytes) -> None:
        with self._held() as file:
            file.seek(0, os.SEEK_END)
            if file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read(1) == b"\n" else b"\n" + text  # behind a line that a crash or a full disk tore
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def _keep(self, wanted: Callable[[], list[Tombstone]]) -> None:
        """Put a file with these lines alone in the place of the one that is there."""
        if not self._path.exists() and not wanted():
            return
        with self._held():
            fresh = self._path.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, so that nobody else ever could read it
                file.write(b"".join(map(_text, wanted())))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)

    @contextlib.contextmanager
    def _held(self) -> Iterator[BinaryIO]:
        """The file, ours alone; another process may put a new one in its place before we have it."""
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            with open(descriptor, "a+b") as file:  # noqa: PTH123  a descriptor, for its mode
                fcntl.flock(file, fcntl.LOCK_EX)
                if self._is_there(descriptor):
                    yield file
                    return

    def _is_there(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self._path.stat())
        except FileNotFoundError:
            return False


class TombstoneRetention:
    """Lets go of tombstones, and of notes of deleted turns, after so many days."""

    def __init__(self, database: Database, clock: Clock, days: int) -> None:
        self._database, self._clock, self._days = database, clock, days

    async def purge(self) -> int:
        """Delete in bounded steps; returns how many."""
        before = self._clock.now() - timedelta(days=max(1, self._days))
        return await tombstone_store.purge(self._database, before)


def _text(stone: Tombstone) -> bytes:
    salt, digest = b64encode(stone.salt).decode(), b64encode(stone.digest).decode()
    return msgspec.json.encode(_Line(stone.workspace_id, salt, digest, stone.erased_at)) + b"\n"
