"""The table of feeds; the only caller of this folder's SQL."""

from datetime import datetime
from typing import Any

from cmg.alerting.calendar.models import Feed
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

_SQL = load("cmg.alerting.calendar")


async def count(conn: Any, workspace_id: str) -> int:
    """How many feeds a workspace has."""
    return int(await conn.fetchval(_SQL["count_feeds"], workspace_id))


async def insert(conn: Any, feed: Feed) -> None:
    """Keep a new feed."""
    subject = (feed.workspace_id, feed.id, feed.kind, feed.subject, feed.secret_hash)
    await conn.execute(_SQL["insert_feed"], *subject, feed.created_at, feed.created_by, feed.expires_at)


async def page(database: Database, workspace_id: str, after: str, limit: int) -> list[Feed]:
    """A page of feeds, by id."""
    return [Feed(**dict(row)) for row in await database.fetch(_SQL["page_of_feeds"], workspace_id, after, limit)]


async def rotate(conn: Any, workspace_id: str, feed_id: str, secret_hash: bytes, now: datetime) -> Feed | None:
    """Give a feed another secret; None when there is no such feed."""
    row = await conn.fetchrow(_SQL["rotate_feed"], workspace_id, feed_id, secret_hash, now)
    return None if row is None else Feed(**dict(row))


async def drop(conn: Any, workspace_id: str, feed_id: str) -> bool:
    """Remove a feed; False when there was none."""
    return str(await conn.execute(_SQL["drop_feed"], workspace_id, feed_id)).endswith(" 1")


async def named(database: Database, feed_id: str) -> Feed | None:
    """The feed of an id, of whichever workspace: its secret has yet to be compared."""
    row = await database.fetchrow(_SQL["feed_of_token"], feed_id)
    return None if row is None else Feed(**dict(row))


async def mark_read(database: Database, feed: Feed, now: datetime) -> None:
    """Keep that it was read, at most once an hour."""
    await database.execute(_SQL["mark_read"], feed.workspace_id, feed.id, now)


async def schedules_changed(database: Database, workspace_id: str) -> dict[str, datetime]:
    """Schedule → when it was written last."""
    return {row["id"]: row["updated_at"] for row in await database.fetch(_SQL["schedules_changed"], workspace_id)}


async def purge(database: Database, before: datetime) -> int:
    """Delete feeds that expired before a moment."""
    return await purge_batch(database, _SQL["purge_feeds"], before)
