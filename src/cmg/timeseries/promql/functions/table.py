"""Which function is what, by its name in PromQL."""

from collections.abc import Callable

from cmg.timeseries.promql.functions import over_time, rates, regression
from cmg.timeseries.promql.functions.dates import DATES
from cmg.timeseries.promql.functions.elementwise import MATHEMATICS
from cmg.timeseries.promql.windows import Block, Windows
from cmg.timeseries.samples import Mask, Values

# From the edges of a window alone.
EDGES: dict[str, Callable[[Windows], tuple[Values, Mask]]] = {
    "rate": rates.rate,
    "increase": rates.increase,
    "delta": rates.delta,
    "irate": rates.irate,
    "idelta": rates.idelta,
    "count_over_time": over_time.count,
    "present_over_time": over_time.present,
    "last_over_time": over_time.last,
}
# From all samples of a window, and how many there must be.
BLOCKS: dict[str, tuple[Callable[[Block], Values], int]] = {
    "sum_over_time": (over_time.total, 1),
    "avg_over_time": (over_time.average, 1),
    "min_over_time": (over_time.least, 1),
    "max_over_time": (over_time.greatest, 1),
    "stddev_over_time": (over_time.deviation, 1),
    "stdvar_over_time": (over_time.variance, 1),
    "changes": (over_time.changes, 1),
    "resets": (over_time.resets, 1),
    "deriv": (regression.slope, 2),
}
# The same with a number for each step: name → (place of the window among the arguments, function, how many samples).
NUMBERED: dict[str, tuple[int, Callable[[Block, Values], Values], int]] = {
    "quantile_over_time": (1, over_time.quantile, 1),
    "predict_linear": (0, regression.predicted, 2),
}
# What only native histograms have: of the numbers that are stored here it gives nothing, as in Prometheus.
NATIVE = frozenset({"histogram_avg", "histogram_count", "histogram_sum", "histogram_stddev", "histogram_stdvar"})
SPECIAL = frozenset({
    "absent", "absent_over_time", "clamp", "clamp_max", "clamp_min", "histogram_quantile", "label_join",
    "label_replace", "pi", "round", "scalar", "sort", "sort_desc", "time", "timestamp", "vector",
})  # fmt: skip
KNOWN = frozenset(EDGES) | frozenset(BLOCKS) | frozenset(NUMBERED) | frozenset(MATHEMATICS) | frozenset(DATES)
KNOWN |= NATIVE | SPECIAL
