"""Samples in plain memory, for tests of the engine alone."""

from collections.abc import Mapping, Sequence

import numpy as np

from cmg.timeseries.exposition import Reader
from cmg.timeseries.labels import Labels
from cmg.timeseries.promql.needs import Need
from cmg.timeseries.samples import Samples, joined
from cmg.timeseries.store.index import SeriesIndex


class MemorySource:
    """Series as (times in ms, values), sorted."""

    def __init__(self, series: Mapping[Labels, tuple[Sequence[int], Sequence[float]]]) -> None:
        self._index, self._series = SeriesIndex(), []
        for number, (labels, (times, values)) in enumerate(series.items()):
            self._index.add(number, labels)
            self._series.append((np.array(times, np.int64), np.array(values, np.float64)))

    @classmethod
    def of_text(cls, text: str) -> "MemorySource":
        """The samples of an OpenMetrics text."""
        series: dict[Labels, tuple[list[int], list[float]]] = {}
        for point in Reader().read(text.splitlines(), openmetrics=True):
            times, values = series.setdefault(point.labels, ([], []))
            assert point.time_ms is not None
            times.append(point.time_ms)
            values.append(point.value)
        return cls(series)

    async def select(self, wanted: Sequence[Need]) -> dict[Need, Samples]:
        """The samples of every need."""
        return {need: self._one(need) for need in wanted}

    def _one(self, need: Need) -> Samples:
        found = self._index.select(need.matchers)
        parts = []
        for number in found.numbers:
            times, values = self._series[number]
            low, high = np.searchsorted(times, [need.after_ms, need.until_ms], side="right")
            parts.append((times[low:high], values[low:high]))
        return joined(found.frame, parts)
