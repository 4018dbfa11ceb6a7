"""The catalogue of models in the database. The only caller of this sub-room's SQL."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cmg.storage.changes import announce
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

TOPIC = "models"
_SQL = load("cmg.gateway.routing")
_VANISHED_KEPT = timedelta(days=30)
_UPSTREAM_KEPT = timedelta(days=90)


class ListedModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its upstream lists it: `pricing` as told, `context_length` in tokens, `created` in epoch seconds."""

    model: str
    pricing: dict[str, Any] | None = None
    context_length: int | None = None
    created: int | None = None


class KeptModel(ListedModel, frozen=True, kw_only=True):
    """A model of the stored catalogue; `first_seen` is when we first saw it, in epoch seconds."""

    upstream: str
    first_seen: int
    vanished: bool


class SyncState(msgspec.Struct, frozen=True, kw_only=True):
    """How syncs of an upstream went: the last that worked (None: none yet), the last attempt, what was wrong with it.

    Times are epoch seconds.
    """

    upstream: str
    synced_at: float | None
    attempted_at: float
    error: str | None


async def keep_listing(database: Database, upstream: str, listed: Sequence[ListedModel], now: datetime) -> None:
    """Take over what an upstream lists, mark what it lists no more, and tell every process; all or nothing."""
    columns = (
        [one.model for one in listed],
        [None if one.pricing is None else msgspec.json.encode(one.pricing).decode() for one in listed],
        [one.context_length for one in listed],
        [one.created for one in listed],
    )
    async with database.transaction(timeout_s=15) as connection:
        await connection.execute(_SQL["note_sync"], upstream, now, None)
        await connection.execute(_SQL["keep_models"], upstream, *columns, now)
        await connection.execute(_SQL["mark_vanished"], upstream, now)
        await _purge(connection, upstream, now)
        await announce(connection, TOPIC, [upstream], now)


async def note_failure(database: Database, upstream: str, error: str, now: datetime) -> None:
    """Write down why a sync failed; the models stay as they are."""
    async with database.transaction() as connection:
        await connection.execute(_SQL["note_sync"], upstream, now, error)
        await announce(connection, TOPIC, [upstream], now)


async def all_models(database: Database) -> list[KeptModel]:
    """The whole catalogue, sorted by upstream and model, vanished ones included."""
    return [
        KeptModel(
            upstream=row["upstream"],
            model=row["model"],
            pricing=None if row["pricing"] is None else msgspec.json.decode(row["pricing"]),
            context_length=row["context_length"],
            created=row["created"],
            first_seen=int(row["first_seen_at"].timestamp()),
            vanished=row["vanished_at"] is not None,
        )
        for row in await database.fetch(_SQL["all_models"])
    ]


async def all_syncs(database: Database) -> list[SyncState]:
    """How the last sync of each upstream went."""
    return [
        SyncState(
            upstream=row["upstream"],
            synced_at=None if row["synced_at"] is None else row["synced_at"].timestamp(),
            attempted_at=row["attempted_at"].timestamp(),
            error=row["error"],
        )
        for row in await database.fetch(_SQL["all_syncs"])
    ]


async def _purge(connection: Connection, upstream: str, now: datetime) -> None:
    forgotten = now - _UPSTREAM_KEPT
    await connection.execute(_SQL["purge_models"], upstream, now - _VANISHED_KEPT, forgotten)
    await connection.execute(_SQL["purge_syncs"], forgotten)
