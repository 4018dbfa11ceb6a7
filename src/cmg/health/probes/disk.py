"""The disk of the data dir: room for the journal, the database and everything else that is written there.

And the one of the sockets, where little is written, but no process can be replaced without it.
"""

import asyncio
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.kit.paths import ROOM_BYTES

_NOTHING_BYTES = 64 * 2**20  # below it the next write may fail
_LITTLE_BYTES = 256 * 2**20  # below it the database's own log may fail
_WARN_BYTES = 2 * 2**30  # beyond what the journal may take
_FEW_FILES = 0.01
_SOCKETS = 32  # about as many files as a machine's processes have in the folder


class Figures(Protocol):
    """What `os.statvfs` gives."""

    @property
    def f_frsize(self) -> int:
        """Bytes of a block."""
        ...

    @property
    def f_blocks(self) -> int:
        """Blocks in all."""
        ...

    @property
    def f_bavail(self) -> int:
        """Blocks that we may take."""
        ...

    @property
    def f_files(self) -> int:
        """Files in all."""
        ...

    @property
    def f_favail(self) -> int:
        """Files that we may make."""
        ...


Statvfs = Callable[[Path], Figures]


class _Full:
    """The figures of a disk without room."""

    f_frsize, f_blocks, f_bavail, f_files, f_favail = 4096, 1 << 20, 0, 1 << 20, 1 << 19


def probe(folder: Path, reserved_bytes: int, sockets: Path, statvfs: Statvfs = os.statvfs) -> Probe:
    """`reserved_bytes` is what must still fit while the database is away."""
    component = Component(name="disk", worst=Level.CRITICAL)

    def look(figures: Statvfs) -> Look:
        return _look(folder, reserved_bytes, sockets, figures)

    return Probe(component, look(statvfs), (look(lambda _: _Full()),))


def _look(folder: Path, reserved_bytes: int, sockets: Path, statvfs: Statvfs) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `OSError`."""
        found = await asyncio.to_thread(statvfs, folder)  # a network disk may hang
        return [
            _room(found, reserved_bytes),
            _files(found),
            await asyncio.to_thread(_written, folder),
            _sockets(sockets, await asyncio.to_thread(statvfs, sockets)),
        ]

    return look


def _written(folder: Path) -> Reading:
    """A disk that had an error is made read-only by the kernel, with all its room, and its flags may not say so."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
            file.flush()
    except OSError as error:
        told = f"nothing can be written in {folder}: {error.strerror}"
        return Reading(measurement="writes", level=Level.CRITICAL, value=False, output=told)
    return Reading(measurement="writes", value=True)


def _sockets(folder: Path, found: Figures) -> Reading:
    free = found.f_bavail * found.f_frsize
    full = free < ROOM_BYTES or (found.f_files > 0 and found.f_favail < _SOCKETS)
    told = f"{folder} is full: a process that dies may not be replaced; make room there" if full else ""
    level = Level.DEGRADED if full else Level.HEALTHY
    return Reading(measurement="socketsFree", level=level, value=free, unit="bytes", output=told)


def _room(found: Figures, reserved_bytes: int) -> Reading:
    free = found.f_bavail * found.f_frsize
    level = Level.HEALTHY
    if free < _NOTHING_BYTES:
        level = Level.CRITICAL
    elif free < _LITTLE_BYTES:
        level = Level.UNHEALTHY
    elif free < reserved_bytes + _WARN_BYTES:
        level = Level.DEGRADED
    share = 100 * free / max(1, found.f_blocks * found.f_frsize)
    told = f"{free / 2**20:.0f} MiB ({share:.1f} %) are free" if level else ""
    return Reading(measurement="free", level=level, value=free, unit="bytes", output=told)


def _files(found: Figures) -> Reading:
    """Some file systems count no files: they say 0 of 0."""
    few = found.f_files > 0 and found.f_favail < _FEW_FILES * found.f_files
    level, told = (Level.DEGRADED, "hardly any file can be made any more") if few else (Level.HEALTHY, "")
    return Reading(measurement="freeFiles", level=level, value=found.f_favail, unit="files", output=told)
