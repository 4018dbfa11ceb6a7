"""How a worker wakes the drain: one byte into a named pipe, never waiting for anybody."""

import asyncio
import contextlib
import os
from pathlib import Path

NAME = "wake"


def _pipe(spool: Path) -> Path:
    path = spool / NAME
    with contextlib.suppress(FileExistsError):
        os.mkfifo(path, 0o600)
    return path


class Bell:
    """The worker's end. Ringing costs one write, and nothing when no drain listens."""

    def __init__(self, spool: Path) -> None:
        self._path = _pipe(spool)
        self._descriptor = -1

    def ring(self) -> None:
        """Wake the drain if there is one. Never blocks, never fails."""
        for _ in range(2):
            try:
                if self._descriptor < 0:
                    self._descriptor = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                os.write(self._descriptor, b"!")
            except BlockingIOError:  # the pipe is full of wake-ups already
                return
            except BrokenPipeError:  # the drain that listened is gone; another may have come
                self.close()
            except OSError:  # nobody listens: a drain that starts looks at everything first
                return
            else:
                return

    def close(self) -> None:
        """Close the pipe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def knock(spool: Path) -> None:
    """Ring once, for whoever seldom does."""
    bell = Bell(spool)
    bell.ring()
    bell.close()


class Ear:
    """The drain's end: a descriptor to wait on that never reports end of file."""

    def __init__(self, spool: Path) -> None:
        # Opened for writing too, so that the pipe stays open while no worker holds it.
        self.descriptor = os.open(_pipe(spool), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def heard(self, woken: asyncio.Event) -> None:
        """Take all waiting wake-ups out of the pipe and set the event."""
        woken.set()
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 65536):
                continue

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.descriptor)
