"""Functions that sum a window up: `…_over_time`, `changes`, `resets`."""

import numpy as np
from numpy.typing import NDArray

from cmg.timeseries.promql.windows import Block, Windows
from cmg.timeseries.samples import Mask, Values


def count(windows: Windows) -> tuple[Values, Mask]:
    """How many samples."""
    return windows.counts.astype(np.float64), windows.counts > 0


def present(windows: Windows) -> tuple[Values, Mask]:
    """1 where there is a sample."""
    return np.ones(windows.counts.shape), windows.counts > 0


def last(windows: Windows) -> tuple[Values, Mask]:
    """The last sample."""
    values = windows.samples.values
    found = windows.last(values) if len(values) else np.zeros(windows.counts.shape)
    return found, windows.counts > 0


def total(block: Block) -> Values:
    """The sum, compensated."""
    return block.kahan(block.values)


def average(block: Block) -> Values:
    """The mean; of values whose sum overflows too."""
    summed = block.kahan(block.values) / block.counts
    over = np.isinf(summed) & ~(np.isinf(block.values) & block.there).any(axis=1)
    if over.any():
        summed = np.where(over, block.kahan(block.values / block.counts[:, None]), summed)
    return summed


def least(block: Block) -> Values:
    """The smallest number, or NaN when there is no number."""
    return np.asarray(np.fmin.reduce(np.where(block.there, block.values, np.nan), axis=1))


def greatest(block: Block) -> Values:
    """The greatest number, or NaN when there is no number."""
    return np.asarray(np.fmax.reduce(np.where(block.there, block.values, np.nan), axis=1))


def variance(block: Block) -> Values:
    """The population variance."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = average(block)
        return block.kahan((block.values - mean[:, None]) ** 2) / block.counts


def deviation(block: Block) -> Values:
    """The population standard deviation."""
    return np.sqrt(variance(block))


def changes(block: Block) -> Values:
    """How often the value changed; from NaN to NaN is no change."""
    before, after = block.values[:, :-1], block.values[:, 1:]
    differ = (before != after) & ~(np.isnan(before) & np.isnan(after))
    return np.asarray((differ & block.there[:, 1:]).sum(axis=1), np.float64)


def resets(block: Block) -> Values:
    """How often the value fell."""
    with np.errstate(invalid="ignore"):
        fell = block.values[:, 1:] < block.values[:, :-1]
    return np.asarray((fell & block.there[:, 1:]).sum(axis=1), np.float64)


def quantiles(share: Values, values: Values, there: Mask) -> Values:
    """The `share[i]`-quantile of the values that are there in row `i` (n, k), interpolated; NaN sorts first."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    nan = there & np.isnan(values)
    ordered = np.sort(np.where(there, np.where(nan, -np.inf, values), np.nan), axis=1)
    counts, nans = there.sum(axis=1), nan.sum(axis=1)
    with np.errstate(invalid="ignore"):
        rank = np.where(np.isfinite(share), share, 0.0) * (counts - 1)
        floor = np.floor(rank)
        lower = np.clip(floor, 0, counts - 1).astype(np.intp)
        upper = np.minimum(lower + 1, counts - 1)
        weight = rank - floor
        low, high = _picked(ordered, lower, nans), _picked(ordered, upper, nans)
        found = low * (1 - weight) + high * weight
    found = np.where(share < 0, -np.inf, np.where(share > 1, np.inf, found))
    return np.where(np.isnan(share), np.nan, found)


def _picked(ordered: Values, places: NDArray[np.intp], nans: NDArray[np.intp]) -> Values:
    return np.where(places < nans, np.nan, ordered[np.arange(len(ordered)), places])


def quantile(block: Block, share: Values) -> Values:
    """The quantile of each window; `share` for each step."""
    return quantiles(share[block.columns], block.values, block.there)
