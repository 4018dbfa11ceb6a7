"""Where a panel leads: to the runbook about its figures, and to the traces, calls and log lines of its span.

By the first metric of the panel, or the scope of a report: so a new panel has its links without being told.
"""

import re
from dataclasses import dataclass
from typing import Literal

from cmg.catalogue.dashboards.models import Panel, Report

Kind = Literal["runbook", "traces", "requests", "logs"]
_METRIC = re.compile(r"\b(?:cmg_[a-z0-9_]+|ALERTS)\b")
_TRACED = ("cmg_http_", "cmg_llm_", "cmg_gateway_", "cmg_memory_recall")
_MONEY = re.compile(r"cost|budget|spenders")
# Metric's beginning → runbook, and the loggers whose lines tell more; the first that fits.
_SUBJECTS: tuple[tuple[str, str, str], ...] = (
    ("cmg_http_request_duration", "api-slow", ""),
    ("cmg_gateway_overhead", "api-slow", "cmg.gateway"),
    ("cmg_http_", "api-errors", ""),
    ("cmg_llm_cost", "budget", "cmg.ledger"),
    ("cmg_llm_", "upstream", "cmg.gateway"),
    ("cmg_upstream_", "upstream", "cmg.gateway"),
    ("cmg_limit_", "budget", "cmg.ledger"),
    ("cmg_health_", "health", "cmg.health"),
    ("ALERTS", "alerting", "cmg.alerting"),
    ("cmg_host_cpu", "cpu", ""),
    ("cmg_host_load", "cpu", ""),
    ("cmg_process_cpu", "cpu", ""),
    ("cmg_container_memory", "kubernetes", ""),
    ("cmg_container_", "kubernetes", ""),
    ("cmg_host_memory", "memory", ""),
    ("cmg_process_", "memory", ""),
    ("cmg_disk_", "disk", ""),
    ("cmg_network_", "network", ""),
    ("cmg_jobs_", "jobs", "cmg.jobs"),
    ("cmg_journal_", "journal", "cmg.ledger"),
    ("cmg_database_away", "database-away", "cmg.storage"),
    ("cmg_database_connections", "database-connections", "cmg.storage"),
    ("cmg_database_table", "disk", "cmg.storage"),
    ("cmg_database_", "database-slow", "cmg.storage"),
    ("cmg_memory_", "memory-service", "cmg.memory"),
    ("cmg_cache_", "cache", "cmg.storage"),
    ("cmg_timeseries_", "time-series", "cmg.timeseries"),
    ("cmg_log_", "logs-traces", "cmg.logbook"),
    ("cmg_authentication_", "security", "cmg.identity"),
    ("cmg_key", "security", "cmg.identity"),
    ("cmg_security_", "security", "cmg.security"),
)


@dataclass(frozen=True)
class Link:
    """A page of the console; `$from` and `$to` in it stand for the span that is looked at (RFC 3339)."""

    kind: Kind
    title: str
    path: str


def links_of(panel: Panel) -> tuple[Link, ...]:
    """The links of a panel, the runbook first."""
    if isinstance(panel.source, Report):
        calls = Link("requests", "Calls of this span", "/requests?from=$from&to=$to")
        return (_runbook("budget"), calls) if _MONEY.search(panel.source.query) else (calls,)
    found = _METRIC.search(panel.source[0].expr)
    metric = found[0] if found else ""
    subject = next((one for one in _SUBJECTS if metric.startswith(one[0])), None)
    links = [] if subject is None else [_runbook(subject[1])]
    if metric.startswith(_TRACED):
        links.append(Link("traces", "Slowest traces of this span", "/traces?order=slowest&from=$from&to=$to"))
    component = f"&logger={subject[2]}" if subject is not None and subject[2] else ""
    lines = f"/logs?level=warning&since=$from&until=$to{component}"
    return (*links, Link("logs", "Warnings of this span", lines))


def _runbook(name: str) -> Link:
    return Link("runbook", "What to do", f"/runbooks/{name}")
