"""Loading OpenMetrics text with timestamps, as promtool does for a Prometheus."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cmg.timeseries.exposition import ExpositionError, Reader
from cmg.timeseries.labels import Labels
from cmg.timeseries.series import Series, in_order
from cmg.timeseries.store.chunk_store import ChunkStore

_HELD = 4_000_000


@dataclass(frozen=True)
class Imported:
    """What an import brought."""

    samples: int
    series: int


class Import:
    """One import: samples are held up to some millions, then written, so its memory is bounded by that."""

    def __init__(self, store: ChunkStore, *, most_series: int) -> None:
        self._store, self._most = store, most_series
        self._held: dict[Labels, tuple[array[int], array[float]]] = {}
        self._count, self._last_ms = 0, 0
        self._seen: set[Labels] = set()

    async def load(self, lines: Iterable[str]) -> Imported:
        """Everything in an OpenMetrics text. What was written before an error stays.

        Raises `ExpositionError` for a text that is none, a sample without a time, or too many series.
        """
        for held, point in enumerate(Reader(most=self._most).read(lines, openmetrics=True), 1):
            if point.time_ms is None:
                raise ExpositionError(f"{dict(point.labels)} has no timestamp")
            times, values = self._held.setdefault(point.labels, (array("q"), array("d")))
            times.append(point.time_ms)
            values.append(point.value)
            if held % _HELD == 0:
                await self._flush()
        await self._flush()
        if self._count:
            await self._store.record_import(self._count, self._last_ms)
        return Imported(self._count, len(self._seen))

    async def _flush(self) -> None:
        held, self._held = self._held, {}
        self._seen |= held.keys()
        if len(self._seen) > self._most:
            raise ExpositionError(f"there are more than {self._most} series")
        series = [
            Series(labels, *in_order(np.array(times, np.int64), np.array(values, np.float64)))
            for labels, (times, values) in held.items()
        ]
        await self._store.write_days(series)
        self._count += sum(len(one.times) for one in series)
        self._last_ms = max([self._last_ms, *(int(one.times[-1]) for one in series)])
