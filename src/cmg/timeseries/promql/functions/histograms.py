"""Quantiles of classic histograms: series that differ in `le` are the buckets of one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.labels import NAME, Frame, without
from cmg.timeseries.promql.vectors import Scalar, Vector
from cmg.timeseries.samples import Mask, Values

_BUCKET = "le"
_SAME = 1e-12  # counts that differ by less differ by their rounding


@dataclass(frozen=True)
class _Shape:
    """Histograms with the same bounds (b,), rising: `rows` (g, b) of their buckets, `places` (g,) in the result."""

    bounds: Values
    rows: NDArray[np.intp]
    places: NDArray[np.intp]


@dataclass(frozen=True)
class _Layout:
    frame: Frame
    shapes: list[_Shape]


def histogram_quantile(share: Scalar, vector: Vector) -> Vector:
    """The quantile of each histogram at each step, interpolated within its bucket. `share` is (T,)."""
    layout = vector.frame.derived("histograms", lambda: _layout(vector.frame))
    steps = vector.values.shape[1]
    values, present = np.zeros((len(layout.frame), steps)), np.zeros((len(layout.frame), steps), bool)
    for shape in layout.shapes:
        counts = vector.values[shape.rows].transpose(0, 2, 1).reshape(-1, len(shape.bounds))
        there = vector.present[shape.rows].transpose(0, 2, 1).reshape(-1, len(shape.bounds))
        found = _quantiles(np.tile(share, len(shape.places)), shape.bounds, counts, there)
        values[shape.places] = found.reshape(-1, steps)
        present[shape.places] = there.any(axis=1).reshape(-1, steps)
    return Vector(layout.frame, values, present)


def _layout(frame: Frame) -> _Layout:
    buckets: dict[object, list[tuple[float, int]]] = {}
    for row, labels in enumerate(frame.labels):
        try:
            bound = float(dict(labels).get(_BUCKET, ""))
        except ValueError:
            continue
        buckets.setdefault(without(labels, frozenset({_BUCKET, NAME})), []).append((bound, row))
    shapes: dict[tuple[float, ...], list[tuple[list[int], int]]] = {}
    for place, found in enumerate(buckets.values()):
        found.sort()
        bounds = tuple(bound for bound, _ in found)
        shapes.setdefault(bounds, []).append(([row for _, row in found], place))
    built = [
        _Shape(np.array(bounds), np.array([rows for rows, _ in same]), np.array([place for _, place in same]))
        for bounds, same in shapes.items()
    ]
    return _Layout(Frame(tuple(buckets)), built)  # type: ignore[arg-type]


def _quantiles(share: Values, bounds: Values, counts: Values, there: Mask) -> Values:
    """For each cell (n,) of (n, b) counts; a bucket that is not there is left out."""
    if there.all():
        return _quantile(share, bounds, counts)
    values = np.full(len(counts), np.nan)
    patterns, of = np.unique(there, axis=0, return_inverse=True)
    order = np.argsort(of.reshape(-1), kind="stable")
    ends = np.cumsum(np.bincount(of.reshape(-1), minlength=len(patterns)))
    for pattern, cells in zip(patterns, np.split(order, ends[:-1]), strict=True):
        values[cells] = _quantile(share[cells], bounds[pattern], counts[cells][:, pattern])
    return values


def _quantile(share: Values, bounds: Values, counts: Values) -> Values:
    distinct, first = np.unique(bounds, return_index=True)
    if len(distinct) < len(bounds):
        counts, bounds = np.add.reduceat(counts, first, axis=1), distinct
    found = np.full(len(share), np.nan)
    if len(bounds) >= 2 and bounds[-1] == np.inf:
        found = _interpolated(share, bounds, _rising(counts))
    found = np.where(share < 0, -np.inf, np.where(share > 1, np.inf, found))
    return np.where(np.isnan(share), np.nan, found)


def _rising(counts: Values) -> Values:
    """Counts that never fall from one bucket to the next, and do not rise by a rounding error."""
    counts = counts.copy()
    with np.errstate(invalid="ignore", divide="ignore"):
        for place in range(1, counts.shape[1]):
            before, now = counts[:, place - 1], counts[:, place]
            same = np.abs(now - before) / (np.abs(now) + np.abs(before)) < _SAME
            counts[:, place] = np.where(same | (now < before), before, now)
    return counts


def _interpolated(share: Values, bounds: Values, counts: Values) -> Values:
    cells, last = np.arange(len(counts)), len(bounds) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        rank = share * counts[:, -1]
        reached = counts[:, :-1] >= rank[:, None]
        place = np.where(reached.any(axis=1), reached.argmax(axis=1), last)
        before = np.maximum(place - 1, 0)
        begin = np.where(place > 0, bounds[before], 0.0)
        below = np.where(place > 0, counts[cells, before], 0.0)
        end = np.where(place == last, 0.0, bounds[place])
        found = begin + (end - begin) * ((rank - below) / (counts[cells, place] - below))
    found = np.where((place == 0) & (bounds[0] <= 0), bounds[0], found)
    found = np.where(place == last, bounds[-2], found)
    return np.where(counts[:, -1] == 0, np.nan, found)
