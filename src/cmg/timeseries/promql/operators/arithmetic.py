"""Operators between two numbers, and between a number and every series of a vector."""

from collections.abc import Callable

import numpy as np

from cmg.timeseries.promql.vectors import Scalar, Vector
from cmg.timeseries.samples import Mask, Values

ARITHMETIC: dict[str, Callable[[Values, Values], Values]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.float_power,  # power takes a short cut for ^ 0.5 that knows no infinity
    "atan2": np.arctan2,
}
COMPARISONS: dict[str, Callable[[Values, Values], Mask]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}


def applied(op: str, left: Values, right: Values, *, as_bool: bool) -> tuple[Values, Mask | None]:
    """Values, and which are kept: all (None) but for a comparison that filters, whose values are the left ones."""
    with np.errstate(all="ignore"):
        if op in ARITHMETIC:
            return ARITHMETIC[op](left, right), None
        holds = COMPARISONS[op](left, right)
    return (holds.astype(np.float64), None) if as_bool else (left, holds)


def between_scalars(op: str, left: Scalar, right: Scalar) -> Scalar:
    """A number for each step; comparisons give 0 and 1."""
    return applied(op, left, right, as_bool=True)[0]


def with_scalar(op: str, vector: Vector, scalar: Scalar, *, as_bool: bool, scalar_first: bool) -> Vector:
    """Every series beside the number of its step; a comparison that filters keeps the series' own values and name."""
    sides = (scalar[None, :], vector.values) if scalar_first else (vector.values, scalar[None, :])
    values, kept = applied(op, *sides, as_bool=as_bool)
    if kept is None:
        return vector.nameless(np.broadcast_to(values, vector.values.shape))
    return Vector(vector.frame, vector.values, vector.present & kept)
