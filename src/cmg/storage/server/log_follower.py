"""Makes the server's own log lines of the service: what PostgreSQL says is found where everything else is."""

import contextlib
import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path

from cmg.telemetry.logs import get_logger

_AT_ONCE = 256 * 1024
_FIRST = 64 * 1024  # of a log that nobody has followed yet
_HEAD = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[(?P<pid>\d+)\] (?P<level>[A-Z]+\d?):\s+(?P<message>.*)",
    re.DOTALL,
)
_LEVELS = {"WARNING": logging.WARNING, "ERROR": logging.ERROR, "FATAL": logging.CRITICAL, "PANIC": logging.CRITICAL}
_log = get_logger("postgres")


class LogFollower:
    """`look` logs what is new. How far it came is in a file beside the log, so a restart tells nothing twice."""

    def __init__(self, log: Path) -> None:
        self._file, self._place_file = log, log.with_suffix(".log.place")
        self._place: int | None = None

    def look(self) -> None:
        """Log every whole entry that is new. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError):
            size = self._file.stat().st_size
            if self._place is None:
                self._place = self._known(size)
            if size < self._place:
                self._place = 0  # it was emptied
            if size == self._place:
                return
            with self._file.open("rb") as file:
                data = os.pread(file.fileno(), _AT_ONCE, self._place)
            end = data.rfind(b"\n") + 1 or (len(data) if len(data) == _AT_ONCE else 0)
            for entry in _entries(data[:end].decode("utf-8", "replace")):
                _tell(entry)
            self._place += end
            self._place_file.write_text(str(self._place))

    def _known(self, size: int) -> int:
        try:
            return int(self._place_file.read_text())
        except (FileNotFoundError, ValueError):
            return max(0, size - _FIRST)


def _entries(text: str) -> list[str]:
    """Entries of a log: lines that do not begin one belong to the one before."""
    entries: list[str] = []
    for line in text.splitlines():
        if entries and not _HEAD.match(line):
            entries[-1] += f"\n{line}"
        else:
            entries.append(line)
    return entries


def _tell(entry: str) -> None:
    told: dict[str, object] = {"service.name": "postgresql"}
    head = _HEAD.fullmatch(entry)
    if head is None:
        _log.info(entry, **told)
        return
    at = datetime.strptime(head["time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    told |= {"@timestamp": at.isoformat(), "process.pid": int(head["pid"])}
    level = logging.DEBUG if head["level"].startswith("DEBUG") else _LEVELS.get(head["level"], logging.INFO)
    _log.log(level, head["message"], **told)
