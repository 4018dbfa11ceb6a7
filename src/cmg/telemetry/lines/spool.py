"""The writer's side of the spool of lines: files of whole lines, one writer's after the other, bounded together.

`<writer>-<number>.ndjson` hold lines; `<writer>.lock` is held as long as the writer lives. Backstage reads them from
the position on that it has committed, and deletes a file that is stored when a later one exists or its writer is gone.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from cmg.kit.ids import uuid7_hex

SUFFIX = ".ndjson"
LOCK = ".lock"
_UNFINISHED = ".new-"
SEGMENT_BYTES = 2 * 2**20


class Spool:
    """One writer's files. Not thread-safe: the writing thread alone uses it."""

    def __init__(self, folder: Path, most_bytes: int = 256 * 2**20) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._most = folder, most_bytes
        self._writer, self._lock = _claim(folder)
        self._number = self._size = 0
        self._descriptor = -1
        self._refusing = False

    def append(self, lines: bytes) -> bool:
        """Write whole lines; False when there is no room for them. Raises `OSError` when the disk takes none."""
        if self._descriptor < 0 or self._size >= SEGMENT_BYTES:
            self.begin_segment()
        if self._refusing:
            return False
        written = os.write(self._descriptor, lines)
        if written != len(lines):  # a full disk: the part that is there must go
            os.ftruncate(self._descriptor, self._size)
            return False
        self._size += written
        return True

    def begin_segment(self) -> None:
        """Go on in a new file, unless all files together have reached their bound: then nothing is taken for now."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self._refusing = waiting_bytes(self._folder) >= self._most
        if self._refusing:
            return
        self._number += 1
        self._size = 0
        path = self._folder / f"{self._writer}-{self._number:08d}{SUFFIX}"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in (self._descriptor, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lock = -1


def waiting_bytes(folder: Path) -> int:
    """The size of all files of a spool together."""
    size = 0
    for file in folder.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            size += file.stat().st_size
    return size


def _claim(folder: Path) -> tuple[str, int]:
    """A new writer's name, and its lock, which nobody ever sees free before its writer is gone."""
    name = uuid7_hex()
    hidden = folder / f"{_UNFINISHED}{name}"
    lock = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    hidden.rename(folder / f"{name}{LOCK}")
    return name, lock
