"""The coarse resolution: of every five minutes the last sample, and of counters what a reset would hide."""

import numpy as np

from cmg.timeseries.labels import NAME, Labels
from cmg.timeseries.samples import Times, Values
from cmg.timeseries.series import in_order

RESOLUTION_MS = 300_000
_COUNTERS = ("_total", "_count", "_sum", "_bucket")


def rolled_up(labels: Labels, times: Times, values: Values) -> tuple[Times, Values]:
    """What is kept of samples after the fine resolution is gone.

    The last sample of each five minutes stands at their end, so that the lookback of five minutes always meets
    exactly one. Of a counter that fell within them the highest sample before the fall stays where it was, so that the
    increase over a longer window is the same as before.
    """
    windows = (times - 1) // RESOLUTION_MS
    last = np.append(windows[1:] > windows[:-1], True)
    kept_times, kept_values = (windows[last] + 1) * RESOLUTION_MS, values[last]
    if not dict(labels).get(NAME, "").endswith(_COUNTERS):
        return kept_times, kept_values
    with np.errstate(invalid="ignore"):
        peaks = np.append((values[1:] < values[:-1]) & (windows[1:] == windows[:-1]), False)
    return in_order(np.concatenate((times[peaks], kept_times)), np.concatenate((values[peaks], kept_values)))
