"""What expressions evaluate to: for every step of a grid at once."""

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import EMPTY, Frame, Grouping, nameless
from cmg.timeseries.samples import Mask, Times, Values


@dataclass(frozen=True)
class Grid:
    """The steps of an evaluation: `times` (T,) in ms, `step_ms` apart (for one step any number)."""

    times: Times
    step_ms: int

    @property
    def steps(self) -> int:
        """How many there are."""
        return len(self.times)


@dataclass(frozen=True)
class Vector:
    """One row for each series of the frame: `values` and `present`, both (S, T). Absent values mean nothing."""

    frame: Frame
    values: Values
    present: Mask

    def at_rows(self, rows: NDArray[np.intp], frame: Frame) -> "Vector":
        """Some rows under other labels."""
        return Vector(frame, self.values[rows], self.present[rows])

    def seen(self) -> "Vector":
        """The rows that are present at some step."""
        rows = np.nonzero(self.present.any(axis=1))[0]
        return self.at_rows(rows, Frame([self.frame.labels[row] for row in rows.tolist()]))

    def nameless(self, values: Values | None = None) -> "Vector":
        """The same series without the metric's name, with other values. Raises `ExecutionError` if two become one."""
        one = self if values is None else replace(self, values=values)
        return regrouped(one, nameless(self.frame))


Scalar: TypeAlias = Values  # (T,)
Result: TypeAlias = Vector | Values | str


def nothing(grid: Grid) -> Vector:
    """A vector without series."""
    return Vector(EMPTY, np.zeros((0, grid.steps)), np.zeros((0, grid.steps), bool))


def regrouped(vector: Vector, groups: Grouping, *, over_all_steps: bool = False) -> Vector:
    """The rows under their group's labels; rows of one group become one series.

    Raises `ExecutionError` when two of them are present at one step (or anywhere, with `over_all_steps`).
    """
    if groups.single:
        return replace(vector, frame=groups.frame)
    present = np.asarray(vector.present.any(axis=1, keepdims=True)) if over_all_steps else vector.present
    if (sums(present.astype(np.int64), groups) > 1).any():
        raise ExecutionError("vector cannot contain metrics with the same labelset")
    kept = np.where(vector.present, vector.values, 0.0)
    return Vector(groups.frame, sums(kept, groups), sums(vector.present.astype(np.int64), groups) > 0)


def sums(matrix: NDArray[Any], groups: Grouping) -> NDArray[Any]:
    """The sum over each group's rows: (S, T) becomes (G, T)."""
    if groups.single:
        return matrix
    order = np.argsort(groups.of, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(groups.of, minlength=len(groups.frame)))[:-1]))
    summed: NDArray[Any] = np.add.reduceat(matrix[order], starts, axis=0)
    return summed
