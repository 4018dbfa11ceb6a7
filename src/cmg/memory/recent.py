"""Who has just said something, shared by the workers of a machine: the next recall waits for it, whoever serves it.

A memory-mapped table in the spool: the user's number picks a slot, the slot names the worker's journal and the
position behind the user's last turn. Without locks: a slot that another user takes, or that is read half written, only
means that a recall waits for nothing or for a moment too long.
"""

import asyncio
import mmap
import os
from pathlib import Path
from struct import Struct
from typing import Any
from uuid import UUID

from cmg.ledger.spool.progress import NAME
from cmg.ledger.spool.wakeup import knock
from cmg.memory.models import Owner
from cmg.memory.text.terms import salt

FILE = "recent-writers"
_SLOT = Struct("=QQ16s")  # the user's number, the position, the worker
_SLOTS = 1 << 15  # 1 MB; a slot matters for as long as the drain takes and rests, 0.3 s at most
_OWN_WRITES_S = 0.1  # how long a recall waits for the user's own last turn
_LOOK_S = 0.002  # the first pause; each is longer than the one before, or a slow database would cost us looks
_LOOK_LONGER = 1.5
_JOURNALS = 256  # other workers' progress files that are kept open


class RecentWriters:
    """The table as one worker sees it; `journal` is its folder in the spool."""

    def __init__(self, journal: Path) -> None:
        self._spool, self._worker = journal.parent, UUID(journal.name).bytes
        self._table = _mapped(self._spool / FILE, _SLOT.size * _SLOTS)
        self._progress: dict[bytes, Any] = {}

    def wrote(self, owner: Owner, position: int) -> None:
        """The user's last turn lies in this worker's journal before `position` (1 µs)."""
        number = salt(*owner)
        _SLOT.pack_into(self._table, number % _SLOTS * _SLOT.size, number, position, self._worker)

    def waiting(self, owner: Owner) -> bool:
        """Whether a turn of the user is still on its way into the database."""
        last = self._last(owner)
        return last is not None and self._drained(last[1]) < last[0]

    def own(self, owner: Owner) -> int | None:
        """The position in this worker's journal behind the user's last turn; None: it lies in another's, or nowhere."""
        last = self._last(owner)
        return last[0] if last is not None and last[1] == self._worker else None

    @property
    def drained(self) -> int:
        """The position up to which this worker's journal is in the database."""
        return self._drained(self._worker)

    def hasten(self) -> None:
        """Wake the drain, which may be resting."""
        knock(self._spool)

    async def settle(self, owner: Owner) -> None:
        """Wait a moment until the user's last turn is in the database, whichever worker of this machine took it."""
        if not self.waiting(owner):
            return
        self.hasten()
        waited, pause = 0.0, _LOOK_S
        while self.waiting(owner) and waited < _OWN_WRITES_S:
            await asyncio.sleep(pause)
            waited += pause
            pause *= _LOOK_LONGER

    def _last(self, owner: Owner) -> tuple[int, bytes] | None:
        """The position behind the user's last turn, and the worker in whose journal that is; None: not in the table."""
        number = salt(*owner)
        known, position, worker = _SLOT.unpack_from(self._table, number % _SLOTS * _SLOT.size)
        return (position, worker) if known == number else None

    def _drained(self, worker: bytes) -> int:
        words = self._progress.get(worker)
        if words is None:
            try:
                words = memoryview(_read_only(self._spool / UUID(bytes=worker).hex / NAME)).cast("Q")
            except (OSError, ValueError):
                return 1 << 64  # the worker is gone: its folder is removed when all of it is committed
            if len(self._progress) >= _JOURNALS:
                self._progress.clear()
            self._progress[worker] = words
        drained: int = words[0]
        return drained


def _mapped(file: Path, size: int) -> mmap.mmap:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A hole that a full disk cannot fill would kill the process that writes into the mapping.
        os.posix_fallocate(descriptor, 0, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def _read_only(file: Path) -> mmap.mmap:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return mmap.mmap(descriptor, 16, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
