"""Rates of counters and differences of gauges: from the first and last sample of a window, extrapolated to its edges.

The rules are those of Prometheus 3: an edge nearer than 1.1 average intervals is reached, a farther one counts half
an interval, and a counter is never extrapolated below zero.
"""

import numpy as np

from cmg.timeseries.promql.windows import Windows
from cmg.timeseries.samples import Mask, Values

_NEAR = 1.1


def rate(windows: Windows) -> tuple[Values, Mask]:
    """The increase for each second."""
    values, present = increase(windows)
    return values / windows.range_s, present


def increase(windows: Windows) -> tuple[Values, Mask]:
    """How much a counter grew, resets added up."""
    return _extrapolated(windows, counter=True)


def delta(windows: Windows) -> tuple[Values, Mask]:
    """How much a gauge changed."""
    return _extrapolated(windows, counter=False)


def irate(windows: Windows) -> tuple[Values, Mask]:
    """The rate between the last two samples."""
    values, seconds, present = _last_two(windows, counter=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return values / seconds, present


def idelta(windows: Windows) -> tuple[Values, Mask]:
    """The difference between the last two samples."""
    values, _, present = _last_two(windows, counter=False)
    return values, present


def _last_two(windows: Windows, *, counter: bool) -> tuple[Values, Values, Mask]:
    samples = windows.samples
    if not len(samples.values):
        nothing = np.zeros(windows.counts.shape)
        return nothing, nothing, windows.counts > 0
    last, before = windows.last(samples.values), windows.last(samples.values, before=1)
    with np.errstate(invalid="ignore"):
        values = np.where((last < before) & counter, last, last - before)
    seconds = (windows.last(samples.times) - windows.last(samples.times, before=1)) / 1000
    return values, seconds, windows.counts >= 2


def _extrapolated(windows: Windows, *, counter: bool) -> tuple[Values, Mask]:
    samples, present = windows.samples, windows.counts >= 2
    if not present.any():
        return np.zeros(present.shape), present
    first, last = windows.first(samples.values), windows.last(samples.values)
    first_at, last_at = windows.first(samples.times), windows.last(samples.times)
    to_start = (first_at - windows.starts) / 1000
    to_end = (windows.ends - last_at) / 1000
    sampled = (last_at - first_at) / 1000
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        result = last - first
        if counter:
            result = result + _resets(windows)
        average = sampled / (windows.counts - 1)
        to_start = np.where(to_start >= average * _NEAR, average / 2, to_start)
        if counter:
            to_zero = np.where((result > 0) & (first >= 0), sampled * (first / result), to_start)
            to_start = np.where(to_zero < to_start, to_zero, to_start)
        to_end = np.where(to_end >= average * _NEAR, average / 2, to_end)
        return result * ((sampled + to_start + to_end) / sampled), present


def _resets(windows: Windows) -> Values:
    """What was counted before each fall of a counter, summed over each window."""
    values, offsets = windows.samples.values, windows.samples.offsets
    fell = np.zeros(len(values) + 1, bool)
    with np.errstate(invalid="ignore"):
        fell[1:-1] = values[1:] < values[:-1]
    fell[offsets[1:-1]] = False  # the first sample of a series follows nothing
    before = np.cumsum(fell)
    lost = np.zeros(windows.low.shape)
    hit = windows.counts >= 2
    # Falls after the first sample of the window: those up to the last one, less those up to the first.
    hit &= before[np.maximum(windows.high - 1, 0)] > before[np.minimum(windows.low, len(values))]
    if hit.any():
        drops = np.where(fell[:-1], np.concatenate(([0.0], values[:-1])), 0.0)
        edges = np.column_stack((windows.low[hit] + 1, windows.high[hit])).ravel()
        lost[hit] = np.add.reduceat(np.append(drops, 0.0), edges)[::2]
    return lost
