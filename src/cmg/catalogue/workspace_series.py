"""The series of workspaces, which their own rules read: recorded from the ledger, never part of `/metrics`.

They name a tenant, so no workspace sees those of another: see `timeseries.api.walls` and `alerting.owned`. Counters are
what the ledger counted ever, so they go on over every restart, and are the same wherever they are read.
"""

from dataclasses import dataclass
from typing import Literal

PREFIX = "cmg_workspace_"
LABEL = "workspace"
MOST_WORKSPACES = 200
"""Those that have rules come first, then those that were used last."""


@dataclass(frozen=True)
class WorkspaceSeries:
    """One metric; `labels` stand beside `workspace`, and `series` is how many of it a workspace has at most."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    series: int = 1


WORKSPACE_SERIES: tuple[WorkspaceSeries, ...] = (
    WorkspaceSeries(
        "cmg_workspace_calls_total",
        "counter",
        "Calls that the ledger has counted, by outcome (ok, error, cut, cancelled).",
        ("outcome",),
        series=4,
    ),
    WorkspaceSeries(
        "cmg_workspace_call_seconds_total", "counter", "Time that these calls took, from first byte to last."
    ),
    WorkspaceSeries(
        "cmg_workspace_tokens_total", "counter", "Tokens of these calls, by kind (prompt, completion).", ("kind",), 2
    ),
    WorkspaceSeries("cmg_workspace_cost_usd_total", "counter", "What these calls cost."),
    WorkspaceSeries(
        "cmg_workspace_budget_used_ratio",
        "gauge",
        "Share that is used of the keys' budgets together, by period (day, week, month, lifetime).",
        ("period",),
        series=4,
    ),
    WorkspaceSeries(
        "cmg_workspace_key_budget_used_ratio", "gauge", "Share that the key nearest to its budget has used of it."
    ),
)
NAMES = frozenset(one.name for one in WORKSPACE_SERIES)
