"""The small file a worker and the drain share: how far the drain is, and whether it sleeps.

Two native 64-bit words: the drained position, and 1 while the drain sleeps and wants to be woken.
"""

import mmap
import os
from pathlib import Path

NAME = "progress"
_SIZE = 16


class Progress:
    """A memory map of the file. The drain moves the position, the worker reads it (0.1 µs).

    Raises `OSError` where the disk has no room for it.
    """

    __slots__ = ("_map", "_words")

    def __init__(self, folder: Path) -> None:
        descriptor = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # A hole that a full disk cannot fill would kill the process that writes into the mapping.
            os.posix_fallocate(descriptor, 0, _SIZE)
            self._map = mmap.mmap(descriptor, _SIZE)
        finally:
            os.close(descriptor)
        # An aligned word of a cast view is loaded and stored whole: nobody sees half a position.
        self._words = memoryview(self._map).cast("Q")

    @property
    def drained(self) -> int:
        """The position up to which everything is committed."""
        return self._words[0]

    @drained.setter
    def drained(self, position: int) -> None:
        self._words[0] = position

    @property
    def asleep(self) -> bool:
        """Whether the drain waits for a wake-up."""
        return self._words[1] != 0

    @asleep.setter
    def asleep(self, value: bool) -> None:
        self._words[1] = int(value)

    def close(self) -> None:
        """Unmap the file."""
        self._words.release()
        self._map.close()
