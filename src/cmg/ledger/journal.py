"""The worker's journal: a file that takes each usage record and turn before the answer's last byte.

One worker owns one folder `spool/<worker id>/`: `owner.lock` (held as long as the process lives), `progress`
(how far the drain is), and segments `<position>.jnl`. Appending is one write into the page cache: a record survives
the death of every process, and power loss as far as the operating system has flushed (docs/adr/0005-ledger.md).
"""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from cmg.config import JournalSettings
from cmg.kit.ids import uuid7_hex
from cmg.ledger.models import JournalFull
from cmg.ledger.spool.folder import LOCK, left_behind
from cmg.ledger.spool.frames import Record, frame, segment_name
from cmg.ledger.spool.progress import Progress
from cmg.ledger.spool.wakeup import Bell
from cmg.telemetry.instruments import Instruments

UNFINISHED = ".new-"  # prefix of a folder whose lock is not taken yet: the drain takes no notice of it
_RESERVE = 8  # calls in flight may use this part (1/8) of `max_bytes` beyond the mark where new calls are refused
_PROBE_BYTES = 65536
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Journal:
    """Appends records; one per process, not thread-safe, never waits for the drain or the database.

    On a disk without room it is full from the first moment on and opens when there is some: a worker that is replaced
    meanwhile must answer, or its clients wait for nobody.
    """

    def __init__(self, directory: Path, settings: JournalSettings, instruments: Instruments) -> None:
        self._settings = settings
        self._instruments = instruments
        self._refuse_at = settings.max_bytes + settings.max_bytes // _RESERVE
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = directory / uuid7_hex()
        self._lock = self._descriptor = -1
        self._progress: Progress | None = None
        self._bell = Bell(directory)
        self._base = self._end = 0  # positions: of the open segment's first byte, and behind the last record
        self._drained = 0
        # What killed workers left counts too: a service that dies and starts over and over must not fill the disk.
        self._room = settings.max_bytes - left_behind(directory)
        for reason in ("full", "disk"):
            self._count(reason, 0)  # from 0 on: else the first one is no increase
        try:
            self._open()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._count("disk")
        self._broken = self._progress is None

    def append(self, records: Sequence[Record]) -> int:
        """Write (kind, payload) pairs with one system call, all or none; returns the position behind them.

        Raises `JournalFull` when too much waits for the database or the disk takes no more; records appended
        before and after are not harmed.
        """
        data = frame(records)
        size = len(data)
        progress = self._progress
        if progress is None:
            self._count("disk")
            raise JournalFull("the usage journal cannot be written: the disk has no room; try again later")
        if self._end + size - self._drained > self._refuse_at and self.undrained_bytes + size > self._refuse_at:
            self._count("full")
            raise JournalFull(f"{self.undrained_bytes} bytes of usage records wait for the database; try again later")
        try:
            self._write(data, size)
        except OSError as error:
            self._seal()
            self._broken = True
            self._count("disk")
            raise JournalFull(f"the usage journal cannot be written: {error.strerror}; try again later") from error
        self._end += size
        if progress.asleep:
            progress.asleep = False
            self._bell.ring()
        return self._end

    @property
    def full(self) -> bool:
        """Whether new calls must be refused (calls in flight may still append)."""
        if self._broken and not self._mended():
            return True
        if self._end - self._drained <= self._room:
            return False
        self._room = self._settings.max_bytes - left_behind(self.folder.parent)
        return self.undrained_bytes > self._room

    def drained(self, position: int) -> bool:
        """Whether everything up to `position` (of `append`) is committed in the database."""
        if position > self._drained and self._progress is not None:
            self._drained = self._progress.drained
        return position <= self._drained

    @property
    def undrained_bytes(self) -> int:
        """Bytes that wait for the database."""
        if self._progress is not None:
            self._drained = self._progress.drained
        return max(0, self._end - self._drained)

    async def begin_segment(self, _erasures: Sequence[str]) -> None:
        """Somebody was erased: write on in a new segment, so that the present one is deleted once it is drained."""
        if self._lock >= 0 and self._end > self._base:
            self._open_segment()

    def close(self) -> None:
        """Flush to the disk and let go of the folder; the drain empties and removes it."""
        if self._lock < 0 or self._progress is None:
            self._bell.close()
            return
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.fdatasync(self._descriptor)
            self._seal()
        self._progress.asleep = False
        self._progress.close()
        os.close(self._lock)
        self._lock = -1
        self._bell.ring()
        self._bell.close()

    def _open(self) -> None:
        """Make the folder that is ours alone, with its first segment. Raises `OSError`, and leaves no folder then."""
        self._lock = _claim(self.folder)
        try:
            progress = Progress(self.folder)
            self._open_segment()
        except OSError:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = -1
            raise
        progress.asleep = True
        self._progress = progress

    def _write(self, data: bytes, size: int) -> None:
        filled = self._end - self._base
        if self._descriptor < 0 or (filled and filled + size > self._settings.segment_bytes):
            self._open_segment()
        if os.write(self._descriptor, data) != size:  # the disk or a quota is full: the part that is there must go
            os.ftruncate(self._descriptor, self._end - self._base)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open_segment(self) -> None:
        """Begin the next segment where this one ends; a reader takes nothing more from the old one then."""
        self._seal()
        path = self.folder / segment_name(self._end)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._base = self._end

    def _seal(self) -> None:
        """Write no more to the open segment. Its real size counts: it may end in a part that could not be cut off."""
        if self._descriptor >= 0:
            self._end = self._base + os.fstat(self._descriptor).st_size
            os.close(self._descriptor)
            self._descriptor = -1

    def _mended(self) -> bool:
        """Try the disk with a file of its own; a journal that could not be written stays full until that works."""
        if self._progress is None:
            with contextlib.suppress(OSError):
                self._open()
            self._broken = self._progress is None
            return not self._broken
        probe = self.folder / "probe"
        try:
            self._broken = probe.write_bytes(bytes(_PROBE_BYTES)) != _PROBE_BYTES
        except OSError:
            self._broken = True
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
        return not self._broken

    def _count(self, reason: str, more: int = 1) -> None:
        self._instruments.series("cmg_journal_appends_refused_total", reason).inc(more)


def _claim(folder: Path) -> int:
    """Make a worker's folder that is never seen without its lock held; returns the lock. Raises `OSError`."""
    hidden = folder.with_name(f"{UNFINISHED}{folder.name}")
    hidden.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(hidden / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    hidden.rename(folder)
    return lock
