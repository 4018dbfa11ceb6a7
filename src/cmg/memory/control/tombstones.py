"""Who was erased, so that it stays so: in the database for what is on its way, and in a file for older backups.

A tombstone names nobody; only a user's id that comes again can be compared with it.
"""

import asyncio
import contextlib
import os
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path

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
    """`erasures.jsonl` in the data dir, beside the database and not part of its backups: it outlives a restore."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE

    def read(self) -> list[Tombstone]:
        """What the file holds, the last of each user; a torn last line is passed over."""
        stones: dict[tuple[str, bytes], Tombstone] = {}
        with contextlib.suppress(FileNotFoundError):
            for text in self._path.read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError, ValueError):
                    line = _line.decode(text)
                    stone = Tombstone(line.workspace_id, b64decode(line.salt), b64decode(line.digest), line.erased_at)
                    stones[stone.workspace_id, stone.digest] = stone
        return list(stones.values())

    async def append(self, stone: Tombstone) -> None:
        """Write a line and wait until the disk has it."""
        await asyncio.to_thread(self._append, _text(stone))

    async def catch_up(self, database: Database) -> None:
        """Take over what was erased on other machines, or by a process that died before its line was written."""
        known = {(stone.workspace_id, stone.digest): stone.erased_at for stone in self.read()}
        for stone in await tombstone_store.every(database):
            if known.get((stone.workspace_id, stone.digest), _START) < stone.erased_at:
                await self.append(stone)

    async def compact(self, database: Database) -> None:
        """Leave out what the database has let go of; only while nobody else writes."""
        stones = await tombstone_store.every(database)
        await asyncio.to_thread(self._replace, b"".join(map(_text, stones)))

    def _append(self, text: bytes) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _replace(self, text: bytes) -> None:
        if not text and not self._path.exists():
            return
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, so that nobody else ever could read it
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


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
