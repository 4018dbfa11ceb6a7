"""Aggregations that keep series or make new ones: topk, bottomk, count_values."""

from dataclasses import replace

import numpy as np

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import Frame, Grouping, Labels, labels_of
from cmg.timeseries.promql.budget import Budget
from cmg.timeseries.promql.operators.aggregation import groups_of
from cmg.timeseries.promql.plan import Aggregate
from cmg.timeseries.promql.vectors import Scalar, Vector
from cmg.timeseries.samples import Values
from cmg.timeseries.written import number

_LARGEST = 2.0**63
_MOST_VALUES = 200_000


def extremes(vector: Vector, groups: Grouping, count: Scalar, *, top: bool) -> Vector:
    """The `count` (T,) largest or smallest series of each group at each step; NaN comes last either way.

    At a single step the rows come out in their order. Raises `ExecutionError` when the count is no whole number's size.
    """
    if not (np.abs(count) < _LARGEST).all():
        wrong = float(count[~(np.abs(count) < _LARGEST)][0])
        raise ExecutionError(f"Scalar value {number(wrong)} overflows int64")
    whole = np.trunc(count)
    present = np.zeros_like(vector.present)
    places: list[int] = []
    for rows in groups.rows():
        order, there = _ranked(vector.values[rows], top=top), vector.present[rows]
        rank = np.cumsum(np.take_along_axis(there, order, axis=0), axis=0)
        kept = np.take_along_axis(there, order, axis=0) & (rank <= whole)
        within = np.zeros_like(there)
        np.put_along_axis(within, order, kept, axis=0)
        present[rows] = within
        places.extend(rows[order[:, 0]].tolist())
    found = replace(vector, present=present)
    if vector.values.shape[1] != 1 or not places:
        return found
    return found.at_rows(np.array(places), Frame([vector.frame.labels[place] for place in places]))


def _ranked(values: Values, *, top: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
    """Row numbers (S, T) of each step from the best on; equal ones in the order they stand."""
    nan = np.isnan(values)
    return np.lexsort((np.where(nan, 0.0, -values if top else values), nan), axis=0)


def counted_values(vector: Vector, label: str, node: Aggregate, budget: Budget) -> Vector:
    """How many series of each group have each value, written into `label`.

    Raises `ExecutionError` for a bad label, and for too many values.
    """
    if not label:
        raise ExecutionError(f"invalid label name {label!r}")
    rows, steps = np.nonzero(vector.present)
    cells, of = np.unique(
        np.column_stack((rows, vector.values[rows, steps].view(np.int64))), axis=0, return_inverse=True
    )
    if len(cells) > _MOST_VALUES:
        raise ExecutionError(f"count_values would make more than {_MOST_VALUES} series")
    labels: list[Labels] = [
        labels_of({**dict(vector.frame.labels[row]), label: number(float(value))}.items())
        for row, value in zip(
            cells[:, 0].tolist(), np.ascontiguousarray(cells[:, 1]).view(np.float64).tolist(), strict=True
        )
    ]
    kept = node.labels | {label} if node.by else node.labels
    groups = groups_of(Frame(labels), frozenset(kept), by=node.by)
    budget.check(len(groups.frame) * vector.values.shape[1])
    counts = np.zeros((len(groups.frame), vector.values.shape[1]))
    np.add.at(counts, (groups.of[of.reshape(-1)], steps), 1.0)
    return Vector(groups.frame, counts, counts > 0)
