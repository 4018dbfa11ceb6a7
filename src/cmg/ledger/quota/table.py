"""The memory-mapped file behind the limits of one machine: a bounded table of rows, with a lock for each row.

Layout, all of it signed 64-bit numbers: a header, an index (open addressing: digest → row number), then the rows in
the order in which they were taken into use. A row is `WIDTH` numbers and two for each worker: its calls in flight
and its reservations. Locks are POSIX byte-range locks on the file: the kernel lets them go when their process dies.
A process must have the file open only once, or its locks end when any of its descriptors is closed.
"""

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from secrets import randbits

from cmg.ledger.quota.admission import ACTIVE, RESERVED, SPENT, USED, WIDTH
from cmg.ledger.quota.terms import SECOND

MAGIC = 0x32303051474D43  # "CMGQ002": another layout gets another number
SLOTS = 131_072
WORKERS = 64
_H_MAGIC, _H_SLOTS, _H_WORKERS, _H_BOOT, _H_ID, _H_USED, _H_VACANT, _H_SWEPT, _H_DIRTY = range(9)
_HEADER = 16
_CHUNK = 256  # rows that get disk space at once
_SWEEP_EVERY = 60 * SECOND  # looking through a full table takes some 100 ms
_WORD = 8


class TableFull(Exception):
    """Every row is taken by a key that is in use, or the disk has no room for another."""


def create_file(path: Path, slots: int = SLOTS, workers: int = WORKERS) -> None:
    """Put a new, empty file at `path` (a sparse file: it takes about `192 + 16 * workers` bytes a key).

    The supervisor does so at every start, after the journals' left-over records are in the database and before
    the first worker opens it: then what keys have spent comes from the ledger exactly once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    size = _WORD * (_rows_at(slots) + slots * _row_words(workers))
    descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
        # A hole that cannot be filled would kill the process that writes into the mapping.
        os.posix_fallocate(descriptor, 0, _WORD * _rows_at(slots))
        with mmap.mmap(descriptor, _WORD * _HEADER) as head, memoryview(head) as raw, raw.cast("q") as words:
            words[_H_SLOTS], words[_H_WORKERS], words[_H_BOOT] = slots, workers, _boot()
            words[_H_ID] = randbits(62)
            words[_H_MAGIC] = MAGIC
    finally:
        os.close(descriptor)
    fresh.rename(path)


class Table:
    """An open file. Not thread-safe: one event loop uses it, without awaiting while it holds a lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor, self._map = _open_or_make(path)
        self.words = memoryview(self._map).cast("q")
        self.slots, self.workers, self.id = self.words[_H_SLOTS], self.words[_H_WORKERS], self.words[_H_ID]
        self._index_size = 2 * self.slots
        self._rows = _rows_at(self.slots)
        self._width = _row_words(self.workers)

    @property
    def used(self) -> int:
        """Rows ever taken into use (evicted ones are used again)."""
        return self.words[_H_USED]

    def offset(self, row: int) -> int:
        """Where row number `row` begins in `words`."""
        return self._rows + row * self._width

    def lock(self, offset: int) -> None:
        """Wait for the lock of the row at this offset; other processes hold it for some 10 µs."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, offset * _WORD)

    def unlock(self, offset: int) -> None:
        """Let the row go."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset * _WORD)

    @contextlib.contextmanager
    def locked(self, offset: int = 0) -> Iterator[None]:
        """Hold a row's lock, or (offset 0) that of the table's index."""
        self.lock(offset)
        try:
            yield
        finally:
            self.unlock(offset)

    def find(self, digest: tuple[int, int]) -> int | None:
        """The offset of a key's row, or None."""
        with self.locked():
            return self._seek(digest)[0]

    def take(self, digest: tuple[int, int], fresh: list[int], idle_before: int, *, forget_spent: bool) -> int:
        """The offset of the key's row, made from `fresh` (`WIDTH` numbers) when it has none. Raises `TableFull`.

        When all rows are taken, those not used since `idle_before` give way (`forget_spent`: also rows with
        spending, because the ledger can tell it again).
        """
        with self.locked():
            found, _ = self._seek(digest)
            if found is not None:
                return found
            row = self._free_row(fresh[USED], idle_before, forget_spent=forget_spent)
            offset = self.offset(row)
            self._write(offset, digest, fresh)
            self.words[self._seek(digest)[1]] = row + 1
            return offset

    def release(self, worker: int) -> int:
        """Give back what a worker that is gone held in every row; returns the number of its calls in flight."""
        freed = 0
        column = WIDTH + 2 * worker
        for row in range(self.used):
            offset = self.offset(row)
            if not self.words[offset + column] and not self.words[offset + column + 1]:
                continue
            with self.locked(offset):
                freed += self.words[offset + column]
                self.words[offset + column] = self.words[offset + column + 1] = 0
                # Summed anew: a worker killed between two writes leaves column and sum apart.
                end = offset + self._width
                self.words[offset + ACTIVE] = sum(self.words[offset + WIDTH : end : 2].tolist())
                self.words[offset + RESERVED] = sum(self.words[offset + WIDTH + 1 : end : 2].tolist())
        return freed

    def close(self) -> None:
        """Unmap and close the file."""
        if self._descriptor >= 0:
            self.words.release()
            self._map.close()
            os.close(self._descriptor)
            self._descriptor = -1

    def _seek(self, digest: tuple[int, int]) -> tuple[int | None, int]:
        """(offset of the digest's row or None, place in the index where it stands or would stand)."""
        words, size = self.words, self._index_size
        if words[_H_DIRTY]:  # a process was killed while it wrote the index
            self._reindex()
        step = digest[0] % size
        while True:
            place = _HEADER + step
            row = words[place]
            if not row:
                return None, place
            offset = self._rows + (row - 1) * self._width
            if words[offset] == digest[0] and words[offset + 1] == digest[1]:
                return offset, place
            step = (step + 1) % size

    def _write(self, offset: int, digest: tuple[int, int], fresh: list[int]) -> None:
        for field in range(2, WIDTH):
            self.words[offset + field] = fresh[field]
        for field in range(WIDTH, self._width):
            self.words[offset + field] = 0
        self.words[offset], self.words[offset + 1] = digest

    def _allocate(self, row: int) -> None:
        rows = min(_CHUNK, self.slots - row)
        try:
            os.posix_fallocate(self._descriptor, _WORD * self.offset(row), _WORD * rows * self._width)
        except OSError as error:
            raise TableFull(f"{self.path}: {error.strerror}") from error

    def _vacate(self, idle_before: int, *, forget_spent: bool) -> None:
        """Empty the rows of idle keys, a sixteenth of the table at most, and write the index anew."""
        words, left = self.words, max(1, self.slots // 16)
        words[_H_DIRTY] = 1
        for row in range(self.slots):
            offset = self.offset(row)
            if not left:
                break
            if words[offset + USED] >= idle_before:
                continue
            with self.locked(offset):
                if self._unused(offset, forget_spent=forget_spent):
                    words[offset], words[offset + 1] = 0, 0
                    left -= 1
        self._reindex()

    def _unused(self, offset: int, *, forget_spent: bool) -> bool:
        row = self.words[offset : offset + WIDTH].tolist()
        return not row[ACTIVE] and not row[RESERVED] and (forget_spent or not any(row[SPENT : SPENT + 4]))

    def _free_row(self, now: int, idle_before: int, *, forget_spent: bool) -> int:
        """The number of a row without a key."""
        words = self.words
        if self.used < self.slots:
            row = self.used
            if row % _CHUNK == 0:
                self._allocate(row)
            words[_H_USED] = row + 1
            return row
        if not words[_H_VACANT] and now - words[_H_SWEPT] >= _SWEEP_EVERY:
            words[_H_SWEPT] = now
            self._vacate(idle_before, forget_spent=forget_spent)
        if not words[_H_VACANT]:
            raise TableFull(f"{self.path}: all {self.slots} rows are in use")
        row = words[_H_VACANT] - 1
        words[_H_VACANT] = words[self.offset(row) + USED]
        return row

    def _reindex(self) -> None:
        """Write the index and the chain of vacant rows (linked through `USED`) from the rows alone."""
        words, size = self.words, self._index_size
        words[_H_DIRTY], words[_H_VACANT] = 1, 0
        for place in range(_HEADER, _HEADER + size):
            words[place] = 0
        for row in range(self.used):
            offset = self.offset(row)
            if not words[offset + 1]:
                words[offset + USED] = words[_H_VACANT]
                words[_H_VACANT] = row + 1
                continue
            step = words[offset] % size
            while words[_HEADER + step]:
                step = (step + 1) % size
            words[_HEADER + step] = row + 1
        words[_H_DIRTY] = 0


def _rows_at(slots: int) -> int:
    return _HEADER + 2 * slots


def _row_words(workers: int) -> int:
    return WIDTH + 2 * workers


def _open_or_make(path: Path) -> tuple[int, mmap.mmap]:
    """Open the file; one that is missing, damaged, of another layout or from before a reboot is made anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        for _ in range(2):
            opened = _open(path)
            if opened is not None:
                return opened
            create_file(path)
    finally:
        os.close(guard)
    raise OSError(f"{path} cannot be used for shared limits")


def _open(path: Path) -> tuple[int, mmap.mmap] | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        size = os.fstat(descriptor).st_size
        if size >= _WORD * _HEADER and size % _WORD == 0:
            mapped = mmap.mmap(descriptor, size)
            with memoryview(mapped) as raw, raw.cast("q") as words:
                sound = _sound(words, size)
            if sound:
                return descriptor, mapped
            mapped.close()
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _sound(words: memoryview, size: int) -> bool:
    slots, workers, used = words[_H_SLOTS], words[_H_WORKERS], words[_H_USED]
    if words[_H_MAGIC] != MAGIC or words[_H_BOOT] != _boot():
        return False
    if not (0 < slots <= 2**24 and 0 < workers <= 1024 and 0 <= used <= slots):
        return False
    return size == _WORD * (_rows_at(slots) + slots * _row_words(workers))


def _boot() -> int:
    """A number of this boot: the monotonic clock that the rows use begins anew with the machine."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return 0
    return int.from_bytes(blake2b(name, digest_size=7).digest())
