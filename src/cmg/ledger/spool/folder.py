"""The drain's view of one worker's folder: what stands behind the committed position, and what may be deleted."""

import contextlib
import fcntl
import os
import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from cmg.ledger.spool.frames import SUFFIX, frames, segment_name, wanted
from cmg.ledger.spool.progress import Progress

LOCK = "owner.lock"
PIECE = 2**20  # bytes read at once; a frame may be larger


class Taken(NamedTuple):
    """One record, and where it stood: the worker, its frame's position, its place in the frame."""

    worker: UUID
    position: int
    place: int
    kind: str
    payload: bytes


@dataclass(slots=True)
class Chunk:
    """Records in order, the position to go on from, and how many bytes that are no record were passed over."""

    records: list[Taken] = field(default_factory=list)
    end: int = 0
    damaged: int = 0


class WorkerFolder:
    """Reads one worker's segments from `position` on; the caller moves it with `move` after its commit."""

    def __init__(self, path: Path) -> None:
        self.path, self.worker = path, UUID(path.name)
        self.progress = Progress(path)
        self.position: int | None = None  # unknown until it was read from the database
        self.waiting_since: float | None = None

    def read(self, max_records: int, *, dead: bool) -> Chunk:
        """The next records, at most about `max_records` and `PIECE` bytes, all from one segment.

        `dead`: the owner was gone before this call. Only then, or when a later segment exists, nothing more can
        come in a segment, and what is left in it without a whole frame is the torn tail of a killed worker.
        """
        bases, position = self._bases(), self.position or 0
        current = max((base for base in bases if base <= position), default=None)
        if current is None:
            # Nothing there yet; or a database set back to before segments that are deleted already.
            end = bases[0] if bases else position
            return Chunk(end=end, damaged=end - position)
        following = next((base for base in bases if base > current), None)
        with (self.path / segment_name(current)).open("rb", buffering=0) as segment:
            chunk = self._whole_frames(segment.fileno(), current, max_records)
            end = current + os.fstat(segment.fileno()).st_size
        if not chunk.records and (dead or following is not None):
            chunk.damaged = max(0, end - position)
            chunk.end = max(end, position) if following is None else following
        return chunk

    def _whole_frames(self, segment: int, base: int, max_records: int) -> Chunk:
        """The frames from the position on, out of the segment that begins at `base`."""
        start = self.position or 0
        data = os.pread(segment, PIECE, start - base)
        if wanted(data) > len(data) == PIECE:
            data = os.pread(segment, wanted(data), start - base)
        chunk = Chunk(end=start)
        for behind, records in frames(data):
            at = chunk.end
            chunk.records += [Taken(self.worker, at, place, *record) for place, record in enumerate(records)]
            chunk.end = start + behind
            if len(chunk.records) >= max_records:
                break
        return chunk

    def move(self, position: int) -> None:
        """Everything up to `position` is committed: tell the worker, delete the segments that lie before it."""
        self.position = self.progress.drained = position
        self.tidy()

    def tidy(self) -> None:
        """Delete the segments that lie before the position; a worker may have begun a new one with nothing in it."""
        for base, following in pairwise(self._bases()):
            if following <= (self.position or 0):
                (self.path / segment_name(base)).unlink(missing_ok=True)

    def end(self) -> int:
        """The position behind the last byte written."""
        return segments_end(self.path) or self.position or 0

    def stored_bytes(self) -> int:
        """Bytes of all segments, drained or not."""
        return sum(_size(self.path / segment_name(base)) for base in self._bases())

    def owner_dead(self) -> bool:
        """Whether the worker is gone: its lock can be taken."""
        return _is_free(self.path / LOCK)

    def flush(self) -> None:
        """Put what waits onto the disk: while the database is away it may wait for long."""
        for base in self._bases():
            with contextlib.suppress(FileNotFoundError), (self.path / segment_name(base)).open("rb") as segment:
                os.fdatasync(segment.fileno())

    def remove(self) -> None:
        """Delete the folder (of a dead worker whose records are all committed). Raises `OSError`."""
        self.close()
        shutil.rmtree(self.path)

    def close(self) -> None:
        """Unmap the progress file."""
        self.progress.close()

    def _bases(self) -> list[int]:
        return _bases(self.path)


def segments_end(folder: Path) -> int:
    """The position behind the last byte of a worker's segments; 0 when there is none."""
    bases = _bases(folder)
    return bases[-1] + _size(folder / segment_name(bases[-1])) if bases else 0


def _bases(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.iterdir() if path.suffix == SUFFIX)


def left_behind(spool: Path) -> int:
    """Bytes of segments that workers left who are gone."""
    dead = (lock.parent for lock in spool.glob(f"*/{LOCK}") if _is_free(lock))
    return sum(_size(segment) for folder in dead for segment in folder.glob(f"*{SUFFIX}"))


def _is_free(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
