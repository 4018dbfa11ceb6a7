"""Faults on purpose, for drills: a file that says which are on and until when. Only read where the settings allow it.

A fault ends by itself, so a drill that died leaves none behind.
"""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from cmg.kit.clock import Clock

Name = Literal["database_slow", "database_gone", "cache_down", "jobs_stopped", "disk_full", "monitor_dies"]
_LOOK_S = 0.5
DELAY_S = 1.2  # of every use of a slow database: a statement counts as slow from one second on


class Fault(msgspec.Struct, frozen=True):
    """From `since` until `until`, in seconds since the epoch."""

    since: float
    until: float


_faults = msgspec.json.Decoder(dict[Name, Fault])


class Faults:
    """What a process asks before it does what may be made to fail. The file is looked at twice a second at most."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self._known: Mapping[Name, Fault] = {}
        self._looked_at = float("-inf")
        self._begun = clock.time()

    def on(self, name: Name) -> bool:
        """Whether a fault is on now."""
        fault = self._present().get(name)
        return fault is not None and fault.since <= self._clock.time() < fault.until

    def news(self, name: Name) -> bool:
        """Whether it is on and was put on since this process began: what it kills is not killed again."""
        return self.on(name) and self._known[name].since > self._begun

    def _present(self) -> Mapping[Name, Fault]:
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._known = read(self._file)
        return self._known


def read(file: Path) -> dict[Name, Fault]:
    """The faults of a file; none when there is no file, or it holds something else."""
    try:
        return _faults.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return {}


def put_on(file: Path, name: Name, fault: Fault) -> None:
    """Put a fault on. Raises `OSError`."""
    _write(file, read(file) | {name: fault})


def take_off(file: Path, name: Name) -> None:
    """Take a fault off. Raises `OSError`."""
    _write(file, {one: fault for one, fault in read(file).items() if one != name})


def _write(file: Path, faults: Mapping[Name, Fault]) -> None:
    fresh = file.with_suffix(f".{os.getpid()}")
    try:
        fresh.write_bytes(msgspec.json.encode(faults))
        fresh.replace(file)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
