"""Whom and what an incident hit: calls, users and money, computed from the ledger for its time."""

from datetime import datetime, timedelta
from typing import Any

from cmg.incidents.models import Incident
from cmg.kit.clock import rfc3339
from cmg.kit.money import nano_to_usd
from cmg.ledger.reports.store import Window, window
from cmg.storage.database import Database

LONGEST = timedelta(days=31)


async def impact_of(database: Database, incident: Incident, now: datetime) -> dict[str, Any]:
    """Figures of the incident's time beside those of as long a time before it. Raises `DatabaseAway`.

    `calls_missing`: how many fewer calls there were than before; who was turned away at the door is in no ledger.
    """
    until = incident.resolved_at or now
    since = max(incident.started_at, until - LONGEST)
    during = await window(database, since, until)
    before = await window(database, since - (until - since), since)
    return {
        "from": rfc3339(since.timestamp()),
        "to": rfc3339(until.timestamp()),
        "calls": during.calls,
        "calls_failed": during.failed,
        "calls_before": before.calls,
        "calls_missing": max(0, before.calls - during.calls),
        "users": during.users,
        "users_affected": during.users_affected,
        "workspaces_affected": during.workspaces_affected,
        "cost_usd": nano_to_usd(during.cost_nano),
        "cost_usd_failed": nano_to_usd(during.cost_nano_failed),
        "cost_usd_before": nano_to_usd(before.cost_nano),
        "error_rate": rate(during),
        "error_rate_before": rate(before),
        "latency_ms_p95": during.latency_ms_p95,
        "latency_ms_p95_before": before.latency_ms_p95,
    }


def rate(figures: Window) -> float | None:
    """The share of failed calls; None: there was none."""
    return round(figures.failed / figures.calls, 6) if figures.calls else None
