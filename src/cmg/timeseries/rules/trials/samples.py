"""Samples of one trial in plain memory: those that the file gives, and those that rules add."""

from collections.abc import Mapping, Sequence

import numpy as np

from cmg.timeseries.labels import Labels
from cmg.timeseries.promql.needs import Need
from cmg.timeseries.samples import Samples, Times, Values, joined
from cmg.timeseries.series import in_order
from cmg.timeseries.store.index import SeriesIndex


class TrialSamples:
    """A source for an engine, and where its rules' samples go."""

    def __init__(self) -> None:
        self._index = SeriesIndex()
        self._numbers: dict[Labels, int] = {}
        self._times: list[list[int]] = []
        self._values: list[list[float]] = []
        self._read: dict[int, tuple[int, Times, Values]] = {}

    def keep(self, at_ms: int, samples: Mapping[Labels, float]) -> None:
        """Add one sample to each series."""
        for labels, value in samples.items():
            number = self._numbers.get(labels)
            if number is None:
                number = self._numbers[labels] = len(self._times)
                self._index.add(number, labels)
                self._times.append([])
                self._values.append([])
            self._times[number].append(at_ms)
            self._values[number].append(value)

    async def select(self, wanted: Sequence[Need]) -> dict[Need, Samples]:
        """The samples of every need."""
        return {need: self._one(need) for need in wanted}

    def _one(self, need: Need) -> Samples:
        found, parts = self._index.select(need.matchers), []
        for number in found.numbers.tolist():
            times, values = self._series(number)
            low, high = np.searchsorted(times, [need.after_ms, need.until_ms], side="right")
            parts.append((times[low:high], values[low:high]))
        return joined(found.frame, parts)

    def _series(self, number: int) -> tuple[Times, Values]:
        """All samples of a series in order; read anew only when some were added."""
        count = len(self._times[number])
        known = self._read.get(number)
        if known is None or known[0] != count:
            times, values = np.array(self._times[number], np.int64), np.array(self._values[number], np.float64)
            known = self._read[number] = (count, *in_order(times, values))
        return known[1], known[2]
