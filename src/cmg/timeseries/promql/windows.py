"""Windows over samples: for each series and step the samples of `(start, end]`, all of them at once."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.promql.budget import Budget
from cmg.timeseries.samples import Mask, Samples, Times, Values

_BLOCK_CELLS = 2_000_000
_COLUMNS = 4096  # of a sum between two looks at the time


@dataclass(frozen=True)
class Block:
    """Some windows beside each other: `times`, `values` and `there` are (n, k), left-aligned; the rest is (n,)."""

    times: Times
    values: Values
    there: Mask
    counts: NDArray[np.intp]
    columns: NDArray[np.intp]
    moments: Times
    budget: Budget

    def kahan(self, terms: Values) -> Values:
        """The compensated sum of each row's terms (n, k), added in the order of time as Prometheus adds them."""
        total, lost = np.zeros(len(terms)), np.zeros(len(terms))
        with np.errstate(invalid="ignore", over="ignore"):
            for column in range(terms.shape[1]):
                if column % _COLUMNS == 0:
                    self.budget.check_time()
                total, lost = _added(total, lost, np.where(self.there[:, column], terms[:, column], 0.0))
            return np.where(np.isinf(total), total, total + lost)


def _added(total: Values, lost: Values, term: Values) -> tuple[Values, Values]:
    summed = total + term
    rest = np.where(np.abs(total) >= np.abs(term), (total - summed) + term, (term - summed) + total)
    return summed, np.where(np.isinf(summed), 0.0, lost + rest)


@dataclass(frozen=True)
class Windows:
    """Window `w` of series `s` holds `samples[low[s, w]:high[s, w]]` of those in `(starts[w], ends[w]]` (ms).

    `moments` are the steps they are evaluated for, which an offset or `@` moves apart from the ends.
    """

    samples: Samples
    low: NDArray[np.intp]
    high: NDArray[np.intp]
    starts: Times
    ends: Times
    moments: Times
    budget: Budget

    @property
    def counts(self) -> NDArray[np.intp]:
        """How many samples each window holds, (S, W)."""
        return self.high - self.low

    @property
    def range_s(self) -> float:
        """How long a window is."""
        return float(self.ends[0] - self.starts[0]) / 1000

    def first(self, field: NDArray[Any]) -> NDArray[Any]:
        """The first sample's value of a field in each window; of an empty one any value."""
        return field[np.minimum(self.low, len(field) - 1)]

    def last(self, field: NDArray[Any], before: int = 0) -> NDArray[Any]:
        """The last sample's value of a field, or that of the one so many places before it."""
        return field[np.maximum(self.high - 1 - before, 0)]

    def each(self, work: Callable[[Block], Values], at_least: int = 1) -> tuple[Values, Mask]:
        """Run `work` on every window with so many samples: (S, W) of its values, and where there are any."""
        counts = self.counts
        present = counts >= at_least
        values = np.zeros(counts.shape)
        rows, columns = np.nonzero(present)
        for part in self._parts(counts[rows, columns]):
            self.budget.check_time()
            block = self._block(rows[part], columns[part])
            values[rows[part], columns[part]] = work(block)
        return values, present

    @staticmethod
    def _parts(counts: NDArray[np.intp]) -> Iterator[slice]:
        if not len(counts):
            return
        size = max(1, _BLOCK_CELLS // max(1, int(counts.max())))
        for begin in range(0, len(counts), size):
            yield slice(begin, begin + size)

    def _block(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Block:
        low, high = self.low[rows, columns], self.high[rows, columns]
        counts = high - low
        places = low[:, None] + np.arange(int(counts.max()))
        there = places < high[:, None]
        places = np.minimum(places, len(self.samples.times) - 1)
        times, values = self.samples.times[places], self.samples.values[places]
        return Block(times, values, there, counts, columns, self.moments[columns], self.budget)


def windows(samples: Samples, moments: Times, ends: Times, range_ms: int, budget: Budget) -> Windows:
    """The windows that end at `ends`; markers of ended series are left out."""
    alive = samples.alive()
    low, high = alive.bounds(ends - range_ms, ends)
    return Windows(alive, low, high, ends - range_ms, ends, moments, budget)
