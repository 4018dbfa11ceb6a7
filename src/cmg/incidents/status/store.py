"""The days of the status page; the only caller of this folder's SQL."""

from datetime import date, datetime, timedelta
from typing import Any

from cmg.incidents.status.models import Day
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

KEPT = timedelta(days=400)
_SQL = load("cmg.incidents.status")


async def add_span(conn: Any, component: str, state: str, since: datetime, until: datetime) -> None:
    """A component was in a state from `since` to `until`, moments of one day (UTC); what was counted counts once."""
    await conn.execute(_SQL["add_span"], since.date(), component, since, until, state)


async def counted(database: Database, since: date) -> dict[str, datetime]:
    """Component → until when its days are counted."""
    return {row["component"]: row["until"] for row in await database.fetch(_SQL["counted"], since)}


async def days(database: Database, since: date) -> list[Day]:
    """Every component's days since a date."""
    return [Day(**dict(row)) for row in await database.fetch(_SQL["days"], since)]


async def purge(database: Database, now: datetime) -> int:
    """Delete days that are older than they are kept."""
    return await purge_batch(database, _SQL["purge_days"], (now - KEPT).date())
