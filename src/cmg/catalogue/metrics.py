"""Every metric of the service, declared once: name, kind, labels, help, and how many series it may have."""

from dataclasses import dataclass
from typing import Literal

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
FAST_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


@dataclass(frozen=True)
class Metric:
    """One metric. `series` bounds its label sets at run time; `merge` says how workers' gauges add up.

    `optional` gives the reason why an ordinary run may not emit it.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram", "info"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = LATENCY_BUCKETS_S
    series: int = 500
    merge: Literal["sum", "max", "min", "latest"] = "sum"
    optional: str | None = None


# Each room's metrics stand in a block of their own, in the order of the floors.
METRICS: tuple[Metric, ...] = (
    # app
    Metric("cmg_http_requests_total", "counter", "HTTP requests answered.", ("route", "method", "status"), series=2000),
    Metric(
        "cmg_http_request_duration_seconds",
        "histogram",
        "Time from the request's first byte to the answer's last.",
        ("route", "method"),
    ),
)

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in METRICS}
