"""The last hour and a half of every scraped series in memory: one ring of slots a series, a fixed number of bytes."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.labels import Labels
from cmg.timeseries.samples import Times, Values
from cmg.timeseries.series import Series, number_of
from cmg.timeseries.store.chunks import HOUR_MS
from cmg.timeseries.store.index import SeriesIndex

Rows = NDArray[np.intp]
_FIRST_ROWS = 256
_NONE = -1
_EVER, _NEVER = -(2**62), 2**62


class Head:
    """Rings of `slots` samples for at most `most` series: 16 bytes a slot.

    `index` learns every series that comes and is told when one goes. Everything after `floor_ms` is here, whatever
    was written to the chunks meanwhile.
    """

    def __init__(self, index: SeriesIndex, *, slots: int, most: int) -> None:
        self._index, self._slots, self._most = index, slots, most
        self._rows: dict[int, int] = {}
        self._known: dict[Labels, int] = {}
        self._free: list[int] = []
        self._numbers: list[int] = []
        self._times = np.zeros((0, slots), np.int64)
        self._values = np.zeros((0, slots), np.float64)
        self._start, self._count = np.zeros(0, np.intp), np.zeros(0, np.intp)
        self._last = np.zeros(0, np.int64)
        self._generation = 0
        self.newest_ms = _EVER
        self.floor_ms = 0
        self.flushed_ms = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, number: int) -> bool:
        return number in self._rows

    @property
    def bytes(self) -> int:
        """How much memory the rings take."""
        return self._times.nbytes + self._values.nbytes

    def row(self, labels: Labels) -> int | None:
        """The row of a series, made for it if need be; None when there is no room for one more."""
        row = self._known.get(labels)
        if row is not None:
            return row
        if len(self._rows) >= self._most:
            return None
        number = number_of(labels)
        row = self._free.pop() if self._free else self._grown()
        self._rows[number] = self._known[labels] = row
        self._numbers[row] = number
        self._start[row] = self._count[row] = 0
        self._last[row] = _EVER
        self._index.add(number, labels)
        self._generation += 1
        return row

    def _grown(self) -> int:
        row = len(self._numbers)
        if row >= len(self._count):
            more = min(max(_FIRST_ROWS, len(self._count)), self._most - len(self._count))
            self._times = np.concatenate((self._times, np.zeros((more, self._slots), np.int64)))
            self._values = np.concatenate((self._values, np.zeros((more, self._slots))))
            self._start = np.concatenate((self._start, np.zeros(more, np.intp)))
            self._count = np.concatenate((self._count, np.zeros(more, np.intp)))
            self._last = np.concatenate((self._last, np.zeros(more, np.int64)))
        self._numbers.append(_NONE)
        return row

    def append(self, rows: Rows, time_ms: int, values: Values) -> None:
        """One sample each of different series, all of one time; one that is not after a series' last is left out."""
        later = self._last[rows] < time_ms
        if not later.all():
            rows, values = rows[later], values[later]
        full = rows[self._count[rows] == self._slots]
        if len(full):
            self._forget_oldest(full)
        place = (self._start[rows] + self._count[rows]) % self._slots
        self._times[rows, place], self._values[rows, place] = time_ms, values
        self._count[rows] += 1
        self._last[rows] = time_ms
        self.newest_ms = max(self.newest_ms, time_ms)

    def _forget_oldest(self, rows: Rows) -> None:
        oldest = self._times[rows, self._start[rows]]
        self.floor_ms = max(self.floor_ms, int(oldest.max()))
        self.lost += int((oldest >= self.flushed_ms).sum())
        self._start[rows] = (self._start[rows] + 1) % self._slots
        self._count[rows] -= 1

    def rewind(self, until_ms: int) -> int:
        """The clock was put back: forget what stands after this moment, or nothing would be later for hours.

        Returns how many samples that were; they count as lost.
        """
        rows = np.array(list(self._rows.values()), np.intp)
        gone, _, _ = self.between(rows, until_ms, _NEVER)
        self._count[rows] -= gone
        last = self._times[rows, (self._start[rows] + self._count[rows] - 1) % self._slots]
        self._last[rows] = np.where(self._count[rows] > 0, last, _EVER)
        self.newest_ms = until_ms
        self.flushed_ms = min(self.flushed_ms, until_ms // HOUR_MS * HOUR_MS)
        self.lost += int(gone.sum())
        return int(gone.sum())

    def rows_of(self, numbers: Sequence[int]) -> tuple[Rows, Rows]:
        """The rows of those of some series that are here, and their places among the series asked for."""
        found = [(place, self._rows[number]) for place, number in enumerate(numbers) if number in self._rows]
        places, rows = zip(*found, strict=True) if found else ((), ())
        return np.array(rows, np.intp), np.array(places, np.intp)

    @property
    def generation(self) -> int:
        """Changes whenever a series gets or loses its row."""
        return self._generation

    def between(self, rows: Rows, after_ms: int, until_ms: int) -> tuple[NDArray[np.intp], Times, Values]:
        """The samples of some rows in `(after, until]`: how many each has, and all of them behind each other."""
        if not len(rows):
            return np.zeros(0, np.intp), np.zeros(0, np.int64), np.zeros(0)
        reach = self._reach(rows, after_ms)
        back = np.arange(reach, 0, -1)
        counts, starts = self._count[rows], self._start[rows]
        places = (starts[:, None] + counts[:, None] - back) % self._slots
        times = self._times[rows[:, None], places]
        kept = (back <= counts[:, None]) & (times > after_ms) & (times <= until_ms)
        return kept.sum(axis=1), times[kept], self._values[rows[:, None], places][kept]

    def _reach(self, rows: Rows, after_ms: int) -> int:
        """How many of the last slots hold everything after a time."""
        counts, starts = self._count[rows], self._start[rows]
        reach = 32
        while reach < self._slots:
            old = self._times[rows, (starts + np.maximum(counts - reach, 0)) % self._slots] <= after_ms
            if (old | (counts <= reach)).all():
                return reach
            reach *= 2
        return self._slots

    def first_after(self, after_ms: int) -> int:
        """The time of the oldest sample after a moment; the end of all times when there is none."""
        _, times, _ = self.between(np.array(list(self._rows.values()), np.intp), after_ms, _NEVER)
        return int(times.min(initial=_NEVER))

    def flushable(self, after_ms: int, until_ms: int) -> Iterator[Series]:
        """Every series with its samples in `(after, until]`."""
        numbers = list(self._rows)
        rows = np.array([self._rows[number] for number in numbers], np.intp)
        counts, times, values = self.between(rows, after_ms, until_ms)
        ends = np.cumsum(counts)
        for number, begin, end in zip(numbers, ends - counts, ends, strict=True):
            if end > begin:
                yield Series(self._index.labels(number), times[begin:end], values[begin:end])

    def free_idle(self, before_ms: int) -> list[int]:
        """Give back the rows of series whose last sample lies before a time; their numbers."""
        self.floor_ms = max(self.floor_ms, before_ms)
        idle = [number for number, row in self._rows.items() if self._last[row] < before_ms]
        for number in idle:
            row = self._rows.pop(number)
            del self._known[self._index.labels(number)]
            self._numbers[row] = _NONE
            self._free.append(row)
        self._generation += bool(idle)
        return idle
