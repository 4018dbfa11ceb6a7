"""Operators between the series of two vectors that match in their labels."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import NAME, Frame, Grouping, Labels, labels_of, only, shown, without
from cmg.timeseries.promql.budget import MOST_CELLS, Budget
from cmg.timeseries.promql.operators.arithmetic import ARITHMETIC, applied
from cmg.timeseries.promql.plan import Matching
from cmg.timeseries.promql.vectors import Vector, regrouped, sums


@dataclass(frozen=True, eq=False)
class Sides:
    """Both sides' rows by the labels that they are matched on, in one numbering of groups."""

    left: NDArray[np.intp]
    right: NDArray[np.intp]
    signatures: Frame

    @property
    def pairs(self) -> int:
        """How many pairs of rows there are."""
        return int(np.bincount(self.right, minlength=len(self.signatures))[self.left].sum())

    def counted(self, side: NDArray[np.intp], vector: Vector) -> NDArray[np.int64]:
        """How many rows of each group are present at each step, (G, T)."""
        counts = np.zeros((len(self.signatures), vector.present.shape[1]), np.int64)
        np.add.at(counts, side, vector.present)
        return counts


def sides(left: Frame, right: Frame, matching: Matching) -> Sides:
    """The groups of two frames, worked out once for each pair."""
    return left.derived(("sides", right, matching.on, matching.labels), lambda: _sides(left, right, matching))


def _sides(left: Frame, right: Frame, matching: Matching) -> Sides:
    names = matching.labels if matching.on else matching.labels | {NAME}
    take = only if matching.on else without
    places: dict[Labels, int] = {}
    of = [
        np.fromiter((places.setdefault(take(one, names), len(places)) for one in frame.labels), np.intp, len(frame))
        for frame in (left, right)
    ]
    return Sides(of[0], of[1], Frame(tuple(places)))


def combined(op: str, left: Vector, right: Vector, matching: Matching, budget: Budget, *, as_bool: bool) -> Vector:
    """Arithmetic or comparison of the series that match.

    Raises `ExecutionError` where a match is not unique, and for too many matches.
    """
    flipped = matching.cardinality == "one-to-many"
    many, one = (right, left) if flipped else (left, right)
    both = sides(many.frame, one.frame, matching)
    if both.pairs * many.values.shape[1] > MOST_CELLS // 10:  # most of them may be of rows that are nowhere present
        many, one = many.seen(), one.seen()
        both = sides(many.frame, one.frame, matching)
    # Where a side is empty nothing is going to match, and nothing is compared.
    meeting = np.asarray(many.present.any(axis=0) & one.present.any(axis=0))
    _check_unique(both, one, meeting, "left" if flipped else "right")
    budget.check(both.pairs * many.values.shape[1])
    pairs = many.frame.derived(("pairs", both), lambda: _Pairs.of(both))
    first, second = many.values[pairs.many], one.values[pairs.one]
    values, kept = applied(op, *((second, first) if flipped else (first, second)), as_bool=as_bool)
    present = many.present[pairs.many] & one.present[pairs.one]
    if kept is not None:
        present &= kept
    if matching.cardinality == "one-to-one":
        _check_one_to_one(both.left[pairs.many], present)
    nameless = op in ARITHMETIC or as_bool
    groups = _results(many.frame, one.frame, pairs, matching, nameless=nameless)
    found = Vector(groups.frame, values, present)
    if groups.single:
        return found
    if (sums(present.astype(np.int64), groups) > 1).any():
        raise ExecutionError("multiple matches for labels: grouping labels must ensure unique matches")
    return regrouped(found, groups)


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Rows of both sides that belong together: every row of `many` with every row of `one` of its group."""

    many: NDArray[np.intp]
    one: NDArray[np.intp]

    @classmethod
    def of(cls, both: Sides) -> "_Pairs":
        order = np.argsort(both.right, kind="stable")
        counts = np.bincount(both.right, minlength=len(both.signatures))
        starts = np.concatenate(([0], np.cumsum(counts)))
        each = counts[both.left]
        many = np.repeat(np.arange(len(both.left)), each)
        within = np.arange(len(many)) - np.repeat(np.cumsum(each) - each, each)
        return cls(many, order[starts[both.left[many]] + within])


def _results(many: Frame, one: Frame, pairs: _Pairs, matching: Matching, *, nameless: bool) -> Grouping:
    dropped = frozenset({NAME}) if nameless else frozenset[str]()

    def result(row: int, other: int) -> Labels:
        labels = without(many.labels[row], dropped)
        if matching.cardinality == "one-to-one":
            labels = only(labels, matching.labels) if matching.on else without(labels, matching.labels)
        if matching.include:
            theirs = dict(one.labels[other])
            labels = labels_of({**dict(labels), **{name: theirs.get(name, "") for name in matching.include}}.items())
        return labels

    def build() -> Grouping:
        places: dict[Labels, int] = {}
        named = (result(*pair) for pair in zip(pairs.many.tolist(), pairs.one.tolist(), strict=True))
        of = np.fromiter((places.setdefault(one, len(places)) for one in named), np.intp, len(pairs.many))
        return Grouping(Frame(tuple(places)), of)

    return many.derived(("results", pairs, one, replace(matching), nameless), build)


def _check_unique(both: Sides, one: Vector, meeting: NDArray[np.bool_], side: str) -> None:
    counts = both.counted(both.right, one)
    groups = np.nonzero(((counts > 1) & meeting).any(axis=1))[0]
    if not len(groups):
        return
    rows = np.nonzero((both.right == groups[0]) & one.present.any(axis=1))[0][:2]
    told = ", ".join(shown(one.frame.labels[row]) for row in rows)
    raise ExecutionError(
        f"found duplicate series for the match group {shown(both.signatures.labels[groups[0]])} on the {side} "
        f"hand-side of the operation: [{told}];many-to-many matching not allowed: matching labels must be unique "
        "on one side"
    )


def _check_one_to_one(groups: NDArray[np.intp], present: NDArray[np.bool_]) -> None:
    if not len(groups):
        return
    counts = np.zeros((int(groups.max()) + 1, present.shape[1]), np.int64)
    np.add.at(counts, groups, present)
    if (counts > 1).any():
        raise ExecutionError(
            "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
        )


def both_of(left: Vector, right: Vector, matching: Matching) -> Vector:
    """`and`: the left series for which there is a right one."""
    there = _partnered(left, right, matching)
    return replace(left, present=left.present & there)


def left_without(left: Vector, right: Vector, matching: Matching) -> Vector:
    """`unless`: the left series for which there is no right one."""
    there = _partnered(left, right, matching)
    return replace(left, present=left.present & ~there)


def either_of(left: Vector, right: Vector, matching: Matching) -> Vector:
    """`or`: the left series, and the right ones for which there is no left one."""
    there = _partnered(right, left, matching)
    groups = left.frame.derived(
        ("either", right.frame), lambda: Frame(left.frame.labels + right.frame.labels).renamed(lambda one: one)
    )
    values = np.concatenate((left.values, right.values))
    present = np.concatenate((left.present, right.present & ~there))
    return regrouped(Vector(groups.frame, values, present), groups)


def _partnered(vector: Vector, others: Vector, matching: Matching) -> NDArray[np.bool_]:
    both = sides(vector.frame, others.frame, matching)
    return (both.counted(both.right, others) > 0)[both.left]
