"""The last report, in a file of the machine's: the prober writes it, every process that answers reads it."""

import os
from pathlib import Path

import msgspec

from cmg.health.models import Report
from cmg.telemetry.logs import get_logger

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Report).decode
_log = get_logger("cmg.health.board")


class Board:
    """A file that is replaced whole; a reader decodes it again only when it was."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: tuple[int, int] | None = None
        self._report: Report | None = None

    def write(self, report: Report) -> None:
        """Replace the report. Raises `OSError`; the former stays then."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encode(report))
        fresh.replace(self._path)

    def read(self) -> Report | None:
        """The last report; None when there is none that this release wrote."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._known:
                self._report, self._known = _decode(self._path.read_bytes()), stamp
        except FileNotFoundError:
            self._report = self._known = None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("the report on health cannot be read", error=repr(error))
            self._report = self._known = None
        return self._report
