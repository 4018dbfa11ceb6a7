"""Aggregations that make one number of each group: sum, avg, min, max, count, group, stddev, stdvar, quantile."""

import math
from collections.abc import Callable

import numpy as np

from cmg.timeseries.labels import NAME, Frame, Grouping
from cmg.timeseries.promql.functions.over_time import quantiles
from cmg.timeseries.promql.vectors import Scalar, Vector, sums
from cmg.timeseries.samples import Values

# Below this share of the summed magnitudes a plain sum may have lost what counts, and is done again exactly.
_CANCELLED = 1e-2


def groups_of(frame: Frame, labels: frozenset[str], *, by: bool) -> Grouping:
    """The groups of an aggregation: without `by` the metric's name goes too."""
    return frame.grouped(labels if by else labels | {NAME}, by=by)


def aggregated(op: str, vector: Vector, groups: Grouping) -> Vector:
    """One series for each group, where any of its rows is present."""
    counts = sums(vector.present.astype(np.int64), groups)
    with np.errstate(all="ignore"):
        values = _AGGREGATIONS[op](vector, groups, np.maximum(counts, 1).astype(np.float64))
    return Vector(groups.frame, values, counts > 0)


def quantile(share: Scalar, vector: Vector, groups: Grouping) -> Vector:
    """The quantile of each group at each step; `share` is (T,)."""
    steps = vector.values.shape[1]
    values = np.zeros((len(groups.frame), steps))
    for place, rows in enumerate(groups.rows()):
        values[place] = quantiles(share, vector.values[rows].T, vector.present[rows].T)
    return Vector(groups.frame, values, sums(vector.present.astype(np.int64), groups) > 0)


def total(values: Values, groups: Grouping) -> Values:
    """The sum of each group (G, T), to the last digits even where large terms cancel each other."""
    plain = sums(values, groups).astype(np.float64)
    if groups.single:
        return plain
    doubtful = np.abs(plain) < _CANCELLED * sums(np.abs(values), groups)
    if doubtful.any():
        rows = groups.rows()
        for group, step in np.argwhere(doubtful):
            plain[group, step] = _exact(values[rows[group], step], float(plain[group, step]))
    return plain


def _exact(terms: Values, plain: float) -> float:
    try:
        return math.fsum(terms)
    except OverflowError:
        return plain


def _kept(vector: Vector, otherwise: float = 0.0) -> Values:
    return np.where(vector.present, vector.values, otherwise)


def _sum(vector: Vector, groups: Grouping, _counts: Values) -> Values:
    return total(_kept(vector), groups)


def _average(vector: Vector, groups: Grouping, counts: Values) -> Values:
    kept = _kept(vector)
    found = total(kept, groups) / counts
    over = np.isinf(found) & (sums(np.isinf(kept).astype(np.int64), groups) == 0)
    return np.where(over, total(kept / counts[groups.of], groups), found) if over.any() else found


def _variance(vector: Vector, groups: Grouping, counts: Values) -> Values:
    apart = vector.values - _average(vector, groups, counts)[groups.of]
    return sums(np.where(vector.present, apart * apart, 0.0), groups).astype(np.float64) / counts


def _reduced(ufunc: np.ufunc) -> Callable[[Vector, Grouping, Values], Values]:
    def reduced(vector: Vector, groups: Grouping, _counts: Values) -> Values:
        found = np.full((len(groups.frame), vector.values.shape[1]), np.nan)
        ufunc.at(found, groups.of, _kept(vector, np.nan))
        return found

    return reduced


_AGGREGATIONS: dict[str, Callable[[Vector, Grouping, Values], Values]] = {
    "sum": _sum,
    "avg": _average,
    "min": _reduced(np.fmin),
    "max": _reduced(np.fmax),
    "count": lambda _vector, _groups, counts: counts,
    "group": lambda _vector, _groups, counts: np.ones(counts.shape),
    "stdvar": _variance,
    "stddev": lambda vector, groups, counts: np.sqrt(_variance(vector, groups, counts)),
}
