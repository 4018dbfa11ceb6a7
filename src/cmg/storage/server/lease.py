"""Who uses a server: file locks that the kernel lets go when their process ends, however it ends."""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from cmg.storage.errors import StorageError

_RETRY_S = 0.02


class Lease:
    """A share in the server of one data dir. The last process that lets its share go stops the server."""

    def __init__(self, data_dir: Path) -> None:
        self._turn_path = data_dir / "postgres.turn.lock"
        self._share_path = data_dir / "postgres.users.lock"
        self._share: int | None = None

    @contextlib.contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """One process at a time starts or stops the server; `StorageError` when the turn does not come."""
        handle = os.open(self._turn_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + timeout_s
            while not _lock(handle, fcntl.LOCK_EX):
                if time.monotonic() > deadline:
                    raise StorageError(
                        f"another process has been starting or stopping the server of {self._turn_path.parent} "
                        f"for {timeout_s:g} s: see postgres.log there"
                    )
                time.sleep(_RETRY_S)
            yield
        finally:
            os.close(handle)

    def take(self) -> None:
        """Take a share (once)."""
        if self._share is None:
            self._share = os.open(self._share_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            _lock(self._share, fcntl.LOCK_SH)

    def let_go(self) -> bool:
        """Give the share back; true when nobody else has one."""
        share, self._share = self._share, None
        if share is None:
            return False
        try:
            return _lock(share, fcntl.LOCK_EX)
        finally:
            os.close(share)


def _lock(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
