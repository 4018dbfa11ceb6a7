"""Spending and budget events in the database. The only caller of this room's SQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from cmg.config import RetentionSettings
from cmg.kit.clock import at
from cmg.kit.ids import uuid7
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import drop_old, ensure_partitions, purge_batch

_SQL = load("cmg.ledger")
_MONTH = timedelta(days=32)  # the longest period: an event that is forgotten earlier would be told again
_FOLDED = timedelta(days=400)
TEXT_MAX = 512  # of a name that callers choose: a user's id whole, or its tombstone would not name it
_SECONDS = 60.0  # deadline of upkeep, which nobody waits for


class BudgetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold (share of the budget) that a key's spending has passed, or its suspension for that.

    Times are epoch seconds, money nano-USD; `spent_nano` is the spending when it was noticed.
    """

    at: float
    workspace_id: str
    key_id: str
    owner: str
    kind: str
    period: str
    period_start: float
    budget_nano: int
    threshold: float
    spent_nano: int
    id: str = ""


async def add_spending(conn: Any, spent: Mapping[tuple[str, float], int], owners: Mapping[str, str]) -> None:
    """Add (key, first moment of the day) → nano-USD in the caller's transaction; `owners`: key → workspace."""
    rows = [(key, at(day), nano, owners[key]) for (key, day), nano in spent.items()]
    await conn.execute(_SQL["add_spending"], *(list(column) for column in zip(*rows, strict=True)))


async def spent(database: Database, since: Mapping[str, float]) -> dict[str, int]:
    """Key → nano-USD since that moment, which must begin a day of its workspace's calendar."""
    if not since:
        return {}
    rows = await database.fetch(_SQL["spent"], list(since), [at(day) for day in since.values()])
    return dict.fromkeys(since, 0) | {row["key_id"]: row["spent_nano"] for row in rows}


async def spent_before(
    database: Database, workspace_id: str, key_id: str, starts: Sequence[float], until: float
) -> tuple[int, int, int, int]:
    """Nano-USD of the key's records before `until`, since the starts of its day, week and month, and ever."""
    day, week, month = (at(start) for start in starts)
    row = await database.fetchrow(_SQL["spent_before"], workspace_id, key_id, day, week, month, at(until))
    return row["day"], row["week"], row["month"], row["ever"]


async def fold_spending(database: Database, before: datetime) -> None:
    """Add up all days before that moment in one row a key."""
    async with database.transaction(_SECONDS) as conn:
        await conn.execute(_SQL["fold_spending"], before)


async def add_budget_event(conn: Any, event: BudgetEvent) -> bool:
    """Store the event; False when it is there already."""
    row = await conn.fetchval(
        _SQL["add_budget_event"],
        uuid7(),
        at(event.at),
        event.workspace_id,
        event.key_id,
        event.owner,
        event.kind,
        event.period,
        at(event.period_start),
        event.budget_nano,
        event.threshold,
        event.spent_nano,
    )
    return row is not None


async def list_budget_events(
    database: Database, workspace_id: str | None, key_id: str | None, before: str | None, limit: int
) -> list[BudgetEvent]:
    """At most `limit` events, newest first, of one workspace (None: of all) and key (None: of all)."""
    cursor = None if before is None else UUID(before)
    rows = await database.fetch(_SQL["list_budget_events"], workspace_id, key_id, cursor, limit)
    return [_event(row) for row in rows]


async def upkeep(database: Database, retention: RetentionSettings, now: datetime) -> None:
    """Keep the room's tables bounded; once a day, and at start (it makes the partitions of the next months).

    Usage rows go with their month when all of it is older than `usage_days`; events after `events_days`.
    """
    oldest = now - timedelta(days=retention.usage_days)
    async with database.transaction(_SECONDS) as conn:
        await ensure_partitions(conn, "usage_records", period="month", now=now)
        await drop_old(conn, "usage_records", before=oldest)
    await purge_batch(database, _SQL["purge_stray_usage"], oldest)
    await purge_batch(database, _SQL["purge_budget_events"], now - max(timedelta(days=retention.events_days), _MONTH))
    await fold_spending(database, now - _FOLDED)


async def pseudonymise(database: Database, user: tuple[str, str], pseudonym: str, step: int) -> int:
    """Put a pseudonym in place of a (workspace, user) and of their threads' names; returns how many records."""
    changed, since, full = 0, at(0), True
    while full:
        args = (*user, pseudonym, since, step)
        row = await database.fetchrow(_SQL["pseudonymise"], *args, timeout_s=_SECONDS)
        changed, since, full = changed + int(row["changed"]), row["last"], row["changed"] == step
    return changed


async def users(database: Database, workspace_id: str) -> list[str]:
    """Every user whom a record of the workspace names."""
    return [row[0] for row in await database.fetch(_SQL["users"], workspace_id, timeout_s=_SECONDS)]


def _event(row: Any) -> BudgetEvent:
    times = {"at": row["at"].timestamp(), "period_start": row["period_start"].timestamp()}
    return BudgetEvent(**{**row, **times, "id": row["id"].hex})
