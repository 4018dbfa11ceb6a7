"""Labels of one series, and frames: the labels of many, whose groupings are worked out once."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name; no value is empty."""

NAME = "__name__"
_MEMO = 64


def labels_of(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Labels out of pairs in any order; an empty value means that there is no such label."""
    return tuple(sorted((name, value) for name, value in pairs if value))


def without(labels: Labels, names: frozenset[str]) -> Labels:
    """The labels but those of some names."""
    return tuple(pair for pair in labels if pair[0] not in names)


def only(labels: Labels, names: frozenset[str]) -> Labels:
    """The labels of some names."""
    return tuple(pair for pair in labels if pair[0] in names)


def shown(labels: Labels) -> str:
    """`{a="b", c="d"}`, as messages write it."""
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels) + "}"


@dataclass(frozen=True)
class Grouping:
    """Rows of a frame put into groups: `of[row]` is the group's row in `frame`; groups stand in order of appearance."""

    frame: "Frame"
    of: NDArray[np.intp]

    @property
    def single(self) -> bool:
        """Whether every row is a group of its own."""
        return len(self.frame) == len(self.of)

    def rows(self) -> list[NDArray[np.intp]]:
        """The rows of each group, in order."""
        if not len(self.frame):
            return []
        order = np.argsort(self.of, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.of, minlength=len(self.frame)))[:-1])


class Frame:
    """The labels of the rows of a vector; never changed, so what is derived from it is kept with it.

    A selector gives the same frame as long as no series comes or goes, so a rule that is evaluated again groups and
    matches ten thousand series without looking at a label.
    """

    __slots__ = ("_memo", "labels")

    def __init__(self, labels: Sequence[Labels]) -> None:
        self.labels = tuple(labels)
        self._memo: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def derived(self, key: Hashable, work: Callable[[], T]) -> T:
        """What `work` gives, done once for each key."""
        found: T | None = self._memo.get(key)
        if found is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            found = self._memo[key] = work()
        return found

    def grouped(self, names: frozenset[str], *, by: bool) -> Grouping:
        """Rows that agree in the labels named (`by`), or in all but those."""
        take = only if by else without
        return self.derived(("group", names, by), lambda: _grouping([take(one, names) for one in self.labels]))

    def renamed(self, change: Callable[[Labels], Labels]) -> Grouping:
        """Rows by what their labels become. Not kept: what a reader makes of labels may be large, and new each time."""
        return _grouping([change(one) for one in self.labels])


_DROPPED = frozenset({NAME})


def nameless(frame: Frame) -> Grouping:
    """Rows by their labels but the metric's name."""
    return frame.grouped(_DROPPED, by=False)


def _grouping(keys: list[Labels]) -> Grouping:
    places: dict[Labels, int] = {}
    of = np.fromiter((places.setdefault(key, len(places)) for key in keys), np.intp, len(keys))
    return Grouping(Frame(tuple(places)), of)


EMPTY = Frame(())
UNLABELLED = Frame(((),))
