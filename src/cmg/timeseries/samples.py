"""Samples of many series in two long arrays: what every store gives and every selector reads."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.labels import EMPTY, Frame

Times = NDArray[np.int64]
Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

STALE_BITS = 0x7FF0000000000002
STALE = float(np.array([STALE_BITS], np.int64).view(np.float64)[0])
"""The NaN that says: this series has ended here. Compare its bits, never its value."""


def is_stale(values: Values) -> Mask:
    """Which values are the marker of an ended series."""
    stale: Mask = np.ascontiguousarray(values).view(np.int64) == STALE_BITS
    return stale


@dataclass(frozen=True)
class Samples:
    """Series `i` of the frame has `times[offsets[i]:offsets[i+1]]` (ms, rising) and the values beside them."""

    frame: Frame
    offsets: NDArray[np.intp]
    times: Times
    values: Values

    def bounds(self, after: Times, until: Times) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """For each series and window `(after, until]`, both (T,): the slice of its samples, each (S, T).

        One search serves all series: times are put behind each other, series by series.
        """
        series = len(self.frame)
        if not len(self.times):
            nothing = np.zeros((series, len(until)), np.intp)
            return nothing, nothing
        first, last = int(self.times.min()), int(self.times.max())
        span = last - first + 3
        rows = np.arange(series, dtype=np.int64) * span
        keys = self.times - (first - 1) + np.repeat(rows, np.diff(self.offsets))
        low = np.clip(after, first - 1, last) - (first - 1)
        high = np.clip(until, first - 1, last) - (first - 1)
        return (
            np.searchsorted(keys, rows[:, None] + low, side="right"),
            np.searchsorted(keys, rows[:, None] + high, side="right"),
        )

    def alive(self) -> "Samples":
        """The same without the markers of ended series."""
        stale = is_stale(self.values)
        if not stale.any():
            return self
        kept = ~stale
        counts = np.concatenate(([0], np.cumsum(kept)))[self.offsets]
        return Samples(self.frame, counts, self.times[kept], self.values[kept])


NOTHING = Samples(EMPTY, np.zeros(1, np.intp), np.zeros(0, np.int64), np.zeros(0))


def joined(frame: Frame, parts: Sequence[tuple[Times, Values]]) -> Samples:
    """Samples out of one pair of arrays for each series."""
    offsets = np.concatenate(([0], np.cumsum([len(times) for times, _ in parts], dtype=np.intp)))
    if not parts:
        return NOTHING
    return Samples(
        frame,
        offsets.astype(np.intp),
        np.concatenate([times for times, _ in parts]).astype(np.int64, copy=False),
        np.concatenate([values for _, values in parts]).astype(np.float64, copy=False),
    )
