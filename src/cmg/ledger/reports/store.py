"""Sums of usage rows. The only caller of this sub-room's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

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


class MemoryArm(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of the calls of a workspace that read memory, or that were held out of it."""

    workspace_id: str = ""
    held_out: bool = False
    calls: int = 0
    errors: int = 0
    with_items: int = 0
    items: int = 0
    memory_tokens: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_nano: int = 0
    latency_ms: float = 0.0


async def memory_arms(
    database: Database, workspace_id: str | None, since: datetime, until: datetime
) -> list[MemoryArm]:
    """Chat calls with memory beside those that went without it, of one workspace or all. Raises `DatabaseAway`."""
    rows = await database.fetch(_SQL["memory_arms"], workspace_id, since, until, timeout_s=_REPORT_S)
    return [MemoryArm(**dict(row)) for row in rows]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """The calls of a period, over every workspace; `failed` and cut ones. Stored answers are no calls."""

    calls: int = 0
    failed: int = 0
    users: int = 0
    users_affected: int = 0
    workspaces_affected: int = 0
    cost_nano: int = 0
    cost_nano_failed: int = 0
    latency_ms_p95: float | None = None


async def window(database: Database, since: datetime, until: datetime) -> Window:
    """Figures of [since, until). Raises `DatabaseAway`."""
    return Window(**dict(await database.fetchrow(_SQL["window_figures"], since, until, timeout_s=_REPORT_S)))


class CallsWanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls a page holds: of [since, until), behind the call `after` that ended at `until`, if there is one."""

    workspaces: tuple[str, ...]
    since: datetime
    until: datetime
    after: UUID = UUID(int=0)
    filters: Filters = Filters()
    status: str | None = None
    limit: int = 100


async def calls(database: Database, wanted: CallsWanted) -> list[Any]:
    """Rows, newest first. Raises `DatabaseAway`."""
    one = wanted.filters
    return await database.fetch(
        _SQL["list_calls"],
        list(wanted.workspaces),
        wanted.since,
        wanted.until,
        wanted.after,
        one.key,
        one.user,
        one.model,
        wanted.status,
        wanted.limit,
        timeout_s=_REPORT_S,
    )


async def call(database: Database, workspaces: Sequence[str], id_: UUID) -> Any:
    """One row, None when these workspaces have no such call. Raises `DatabaseAway`."""
    return await database.fetchrow(_SQL["one_call"], list(workspaces), id_)
