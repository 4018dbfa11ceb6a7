"""Levels of loggers that were set while the service runs: a file of the machine that every process looks at.

Not the database: processes without a connection to it have loggers too, and levels hold while it is away.
"""

import logging
from pathlib import Path

import msgspec

from cmg.kit.clock import Clock

DEFAULT = "root"


class Level(msgspec.Struct, frozen=True):
    """A logger's level and the moment (epoch seconds) until which it holds; None: until it is changed."""

    level: str
    until: float | None = None


_decode = msgspec.json.Decoder(dict[str, Level]).decode


def write_levels(file: Path, levels: dict[str, Level]) -> None:
    """Tell the processes of the machine."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = file.with_suffix(".new")
    new.write_bytes(msgspec.json.encode(levels))
    new.replace(file)


class Levels:
    """Applies the file to the loggers of this process. `default` is the settings' level of all that is not named."""

    def __init__(self, file: Path, default: str, clock: Clock) -> None:
        self._file, self._default, self._clock = file, default.upper(), clock
        self._seen: tuple[int, int] | None = None
        self._told: dict[str, Level] = {}
        self._applied: set[str] = set()

    def look(self) -> None:
        """Apply what has changed (2 µs when nothing has)."""
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino)
        except FileNotFoundError:
            seen = None
        now = self._clock.time()
        ended = any(one.until is not None and one.until <= now for one in self._told.values())
        if seen == self._seen and not ended:
            return
        if seen != self._seen:
            self._told = {} if seen is None else _decode(self._file.read_bytes())
            self._seen = seen
        self._told = {name: one for name, one in self._told.items() if one.until is None or one.until > now}
        self._apply()

    def _apply(self) -> None:
        for name in self._applied - self._told.keys():
            _logger(name).setLevel(self._default if name == DEFAULT else logging.NOTSET)
        for name, one in self._told.items():
            _logger(name).setLevel(one.level.upper())
        self._applied = set(self._told)


def _logger(name: str) -> logging.Logger:
    return logging.getLogger() if name == DEFAULT else logging.getLogger(name)
