"""A log of recent scrapes on disk, so that a killed process loses at most the one it was at.

A file an hour; each record is its length, its checksum and deflated MessagePack. What a target's series are is
written once, then only values follow. A record that was cut is the end of its file.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.logs import get_logger
from cmg.timeseries.labels import Labels
from cmg.timeseries.samples import Values
from cmg.timeseries.store.chunks import HOUR_MS

_FRAME = struct.Struct("<II")
_MOST_RECORD = 64 * 2**20
_log = get_logger("cmg.timeseries.scrape_log")


class _Layout(msgspec.Struct, array_like=True, tag="layout"):
    number: int
    labels: list[Labels]


class _Scrape(msgspec.Struct, array_like=True, tag="scrape"):
    layout: int
    time_ms: int
    values: bytes


_decode = msgspec.msgpack.Decoder(_Layout | _Scrape).decode


@dataclass(frozen=True)
class Scraped:
    """What one scrape brought: a value for each series, all of one time."""

    labels: Sequence[Labels]
    time_ms: int
    values: Values


class ScrapeLog:
    """Appends scrapes and reads them back. Files of hours that were flushed are removed by `forget`."""

    def __init__(self, folder: Path, disk: DiskGuard | None = None) -> None:
        self._folder, self._disk = folder, disk
        self._file: BinaryIO | None = None
        self._hour = -1
        self._layouts: dict[tuple[Labels, ...], int] = {}

    @property
    def sheds(self) -> bool:
        """Whether nothing is written now, because the disk is nearly full."""
        return self._disk is not None and self._disk.sheds("series")

    def append(self, labels: tuple[Labels, ...], time_ms: int, values: Values) -> None:
        """Write one scrape. Raises `OSError`."""
        if time_ms // HOUR_MS != self._hour or self._file is None:
            self._open(time_ms // HOUR_MS)
        layout = self._layouts.get(labels)
        if layout is None:
            layout = self._layouts[labels] = len(self._layouts)
            self._write(_Layout(layout, list(labels)))
        self._write(_Scrape(layout, time_ms, values.astype("<f8").tobytes()))

    def _open(self, hour: int) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True)
        # A new file each time: a cut record of a run before would hide all that is written behind it.
        number = sum(1 for _ in self._folder.glob(f"{hour:010}-*.scrapes"))
        self._file = (self._folder / f"{hour:010}-{number:04}.scrapes").open("ab", buffering=0)
        self._hour = hour

    def _write(self, record: _Layout | _Scrape) -> None:
        assert self._file is not None
        payload = zlib.compress(msgspec.msgpack.encode(record), 1)
        self._file.write(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)

    def close(self) -> None:
        """Close the file; the next scrape opens a new one."""
        if self._file is not None:
            self._file.close()
        self._file, self._hour = None, -1
        self._layouts.clear()

    def read(self) -> Iterator[Scraped]:
        """Every scrape that is on disk, by the time of its file."""
        for path in sorted(self._folder.glob("*.scrapes")):
            layouts: dict[int, list[Labels]] = {}
            for record in _records(path):
                if isinstance(record, _Layout):
                    layouts[record.number] = record.labels
                else:
                    values = np.frombuffer(record.values, "<f8")
                    yield Scraped(layouts[record.layout], record.time_ms, values)

    def forget(self, before_ms: int) -> None:
        """Remove the files of hours that were over before a time."""
        for path in self._folder.glob("*.scrapes"):
            if (int(path.stem.partition("-")[0]) + 1) * HOUR_MS <= before_ms:
                path.unlink(missing_ok=True)


def _records(path: Path) -> Iterator[_Layout | _Scrape]:
    with path.open("rb") as file:
        while len(head := file.read(_FRAME.size)) == _FRAME.size:
            length, checksum = _FRAME.unpack(head)
            payload = file.read(length) if length <= _MOST_RECORD else b""
            if len(payload) < length or zlib.crc32(payload) != checksum:
                _log.warning("a scrape in the log is cut or damaged: the rest of its file is left out", file=path.name)
                return
            yield _decode(zlib.decompress(payload))
