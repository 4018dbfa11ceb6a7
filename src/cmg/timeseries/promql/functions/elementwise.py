"""Functions of single values."""

from collections.abc import Callable

import numpy as np

from cmg.timeseries.samples import Values

Elementwise = Callable[[Values], Values]


def sign(values: Values) -> Values:
    """1, 0 or -1; NaN stays."""
    return np.where(np.isnan(values), values, np.sign(values))


def rounded(values: Values, nearest: Values) -> Values:
    """To multiples of `nearest`, halves up."""
    inverse = 1.0 / nearest
    return np.floor(values * inverse + 0.5) / inverse


def below(values: Values, most: Values) -> Values:
    """At most `most`; NaN wins."""
    return np.minimum(most, values)


def above(values: Values, least: Values) -> Values:
    """At least `least`; NaN wins."""
    return np.maximum(least, values)


MATHEMATICS: dict[str, Elementwise] = {
    "abs": np.abs, "ceil": np.ceil, "floor": np.floor, "exp": np.exp, "sqrt": np.sqrt,
    "ln": np.log, "log2": np.log2, "log10": np.log10, "sgn": sign,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "deg": np.rad2deg, "rad": np.deg2rad,
}  # fmt: skip
