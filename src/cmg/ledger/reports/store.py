"""Sums of usage rows. The only caller of this sub-room's SQL."""

from collections.abc import Sequence
from typing import Any

import msgspec

from cmg.kit.clock import at
from cmg.ledger.reports.parameters import GROUPS, Filters
from cmg.storage.database import Database
from cmg.storage.named_sql import load

_SQL = load("cmg.ledger.reports")
_REPORT_S = 20.0


class Slice(msgspec.Struct, frozen=True):
    """Which rows: workspaces of one time zone, [since, until) in epoch seconds, and what `filters` let pass."""

    workspaces: tuple[str, ...]
    since: float
    until: float
    filters: Filters


async def usage_sums(
    database: Database, rows: Slice, groups: Sequence[str], days: Sequence[float], limit: int
) -> list[Any]:
    """One row a group; `day` is the number (from 1) of the moment in `days` at which its day begins."""
    filters = rows.filters
    return await database.fetch(
        _SQL["usage_sums"],
        list(rows.workspaces),
        at(rows.since),
        at(rows.until),
        filters.key,
        filters.user,
        filters.model,
        filters.tag,
        [at(day) for day in days],
        *(group in groups for group in GROUPS),
        limit,
        timeout_s=_REPORT_S,
    )
