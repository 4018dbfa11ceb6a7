"""Straight lines through the samples of a window, by least squares."""

import numpy as np

from cmg.timeseries.promql.windows import Block
from cmg.timeseries.samples import Times, Values


def slope(block: Block) -> Values:
    """How much the line rises in a second."""
    return _line(block, block.times[:, 0])[0]


def predicted(block: Block, ahead_s: Values) -> Values:
    """Where the line will be so many seconds after the step."""
    rise, now = _line(block, block.moments)
    with np.errstate(invalid="ignore", over="ignore"):
        return rise * ahead_s[block.columns] + now


def _line(block: Block, zero: Times) -> tuple[Values, Values]:
    """Slope for each second, and value at `zero` (ms)."""
    n, y = block.counts.astype(np.float64), block.values
    x = (block.times - zero[:, None]) / 1000
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        sum_x, sum_y = block.kahan(x), block.kahan(y)
        sum_xy, sum_xx = block.kahan(x * y), block.kahan(x * x)
        rise = (sum_xy - sum_x * sum_y / n) / (sum_xx - sum_x * sum_x / n)
        level = sum_y / n - rise * sum_x / n
        constant = ((y == y[:, :1]) | ~block.there).all(axis=1)
        flat = np.where(np.isinf(y[:, 0]), np.nan, 0.0)
    return np.where(constant, flat, rise), np.where(constant, y[:, 0] + flat, level)
