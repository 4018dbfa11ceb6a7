"""The labels of every series that is kept, and which of them a selector means."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.labels import NAME, Frame, Labels
from cmg.timeseries.promql.plan import Matcher

_CACHED = 512
_CACHED_ROWS = 500_000  # of all kept selections, with what their frames keep


@dataclass(frozen=True)
class Selection:
    """Series by their numbers, in the order of their labels, which the frame has."""

    numbers: NDArray[np.int64]
    frame: Frame


class SeriesIndex:
    """Series by number and by labels. Selections are kept until a series comes or goes."""

    def __init__(self) -> None:
        self._labels: dict[int, Labels] = {}
        self._numbers: dict[Labels, int] = {}
        self._values: dict[str, dict[str, set[int]]] = {}
        self._selections: OrderedDict[tuple[Matcher, ...], Selection] = OrderedDict()
        self._rows = 0

    def __len__(self) -> int:
        return len(self._labels)

    @property
    def rows_kept(self) -> int:
        """The rows of all kept selections."""
        return self._rows

    def numbers(self) -> list[int]:
        """The numbers of all series."""
        return list(self._labels)

    def labels(self, number: int) -> Labels:
        """The labels of a known series."""
        return self._labels[number]

    def every(self) -> list[Labels]:
        """The labels of all series, in order."""
        return sorted(self._numbers)

    def add(self, number: int, labels: Labels) -> None:
        """A series is kept from now on."""
        if number in self._labels:
            return
        self._labels[number], self._numbers[labels] = labels, number
        for name, value in labels:
            self._values.setdefault(name, {}).setdefault(value, set()).add(number)
        self._forget()

    def remove(self, numbers: Iterable[int]) -> None:
        """Series are kept no longer."""
        for number in numbers:
            labels = self._labels.pop(number, None)
            if labels is None:
                continue
            del self._numbers[labels]
            for name, value in labels:
                values = self._values[name]
                values[value].discard(number)
                if not values[value]:
                    del values[value]
                if not values:
                    del self._values[name]
        self._forget()

    def _forget(self) -> None:
        self._selections.clear()
        self._rows = 0

    def select(self, matchers: tuple[Matcher, ...]) -> Selection:
        """The series that fulfil every condition."""
        found = self._selections.get(matchers)
        if found is not None:
            self._selections.move_to_end(matchers)
            return found
        numbers = self._matching(matchers)
        ordered = sorted(numbers, key=self._labels.__getitem__)
        found = Selection(np.array(ordered, np.int64), Frame([self._labels[number] for number in ordered]))
        self._selections[matchers] = found
        self._rows += len(ordered)
        while len(self._selections) > _CACHED or (self._rows > _CACHED_ROWS and len(self._selections) > 1):
            _, gone = self._selections.popitem(last=False)
            self._rows -= len(gone.numbers)
        return found

    def _matching(self, matchers: Sequence[Matcher]) -> set[int]:
        """Narrow from the conditions that a missing label does not fulfil; those that it does take away."""
        kept: set[int] | None = None
        for matcher in sorted(matchers, key=lambda one: (one.op != "=", one.name != NAME)):
            values = self._values.get(matcher.name, {})
            if matcher.accepts(""):
                refused = [numbers for value, numbers in values.items() if not matcher.accepts(value)]
                kept = (set(self._labels) if kept is None else kept).difference(*refused)
            elif matcher.op == "=":
                numbers = values.get(matcher.value, set())
                kept = set(numbers) if kept is None else kept & numbers
            else:
                accepted = set().union(*(numbers for value, numbers in values.items() if matcher.accepts(value)))
                kept = accepted if kept is None else kept & accepted
        return set() if kept is None else kept
