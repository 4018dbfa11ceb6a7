"""The last report, in a file of the machine's: the prober writes it, every process that answers reads it."""

import errno
import os
from pathlib import Path

import msgspec

from cmg.health.models import Report
from cmg.telemetry.logs import get_logger

_LENGTH = 8
_BYTES = 2**15
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode
_log = get_logger("cmg.health.board")


class Board:
    """A file that is replaced whole; a reader decodes it again only when it was.

    It takes a few blocks more than it needs: on a full disk it is written over, for it has to tell of that, too.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None
        self._report: Report | None = None

    def write(self, report: Report) -> None:
        """Replace the report. Raises `OSError`; the former stays then."""
        told = _encode(report)
        block = (len(told).to_bytes(_LENGTH) + told).ljust(_BYTES, b"\0")
        fresh = self._path.with_name(f"{self._path.name}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(block)
            fresh.replace(self._path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            with self._path.open("r+b") as file:
                file.write(block)

    def read(self) -> Report | None:
        """The last report; None when there is none that this release wrote."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._known:
                block = self._path.read_bytes()
                told = block[_LENGTH : _LENGTH + int.from_bytes(block[:_LENGTH])]
                self._report, self._known = _decode(told), stamp
        except FileNotFoundError:
            self._report = self._known = None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("the report on health cannot be read", error=repr(error))
            self._report = self._known = None
        return self._report
