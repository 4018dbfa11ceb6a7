"""Idempotent calls in the database. The only caller of this sub-room's SQL."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cmg.gateway.answers.stored import Stored
from cmg.ledger.people.ledger_users import as_stored
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

_SQL = load("cmg.gateway.answers")
_PURGE_BATCH = 50  # answers of up to 4 MB each


class Place(msgspec.Struct, frozen=True):
    """Where a call stands: an idempotency key belongs to one API key of one workspace."""

    workspace_id: str
    key_id: str
    idempotency_key: str


class FoundCall(msgspec.Struct, frozen=True):
    """The call that holds a place; `stored` is None while it is in flight. `created_at` in epoch seconds."""

    body_hash: bytes
    created_at: float
    stored: Stored | None


async def reserve(
    database: Database,
    place: Place,
    user_id: str | None,
    body_hash: bytes,
    reservation: UUID,
    times: tuple[datetime, datetime, datetime],
) -> bool:
    """Take the place if it is free, for a call of that user, if it names one.

    `times`: now; calls in flight since before are given up; answers before are old.
    """
    taken = await database.fetchval(
        _SQL["reserve"],
        place.workspace_id,
        place.key_id,
        place.idempotency_key,
        body_hash,
        reservation,
        *times,
        None if user_id is None else as_stored(user_id),
    )
    return taken is not None


async def find(database: Database, place: Place) -> FoundCall | None:
    """Who holds the place; None: nobody (any more)."""
    row = await database.fetchrow(_SQL["find_call"], place.workspace_id, place.key_id, place.idempotency_key)
    if row is None:
        return None
    stored = None
    if row["state"] == "done":
        pairs = msgspec.json.decode(row["headers"], type=list[tuple[str, str]])
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
        stored = Stored(row["status"], headers, row["body"], row["stream"])
    return FoundCall(row["body_hash"], row["created_at"].timestamp(), stored)


async def renew(database: Database, held: Sequence[tuple[Place, UUID]], now: datetime) -> None:
    """Note that these calls are still in flight, but for those that were taken over."""
    places = [place for place, _ in held]
    await database.execute(
        _SQL["renew_calls"],
        [place.workspace_id for place in places],
        [place.key_id for place in places],
        [place.idempotency_key for place in places],
        [reservation for _, reservation in held],
        now,
    )


async def finish(database: Database, place: Place, reservation: UUID, stored: Stored, now: datetime) -> bool:
    """Store the answer; False when the reservation was taken over meanwhile."""
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in stored.headers]
    tag = await database.execute(
        _SQL["finish_call"],
        place.workspace_id,
        place.key_id,
        place.idempotency_key,
        reservation,
        now,
        stored.status,
        stored.stream,
        msgspec.json.encode(headers).decode(),
        stored.body,
    )
    return tag == "UPDATE 1"


async def drop(database: Database, place: Place, reservation: UUID) -> None:
    """Give a reservation back, if it is still ours."""
    await database.execute(_SQL["drop_call"], place.workspace_id, place.key_id, place.idempotency_key, reservation)


async def purge(database: Database, before: datetime) -> int:
    """Delete calls that began before that moment, in batches; returns how many."""
    return await purge_batch(database, _SQL["purge_calls"], before, batch=_PURGE_BATCH)


async def erase(database: Database, workspace_id: str, user_id: str) -> int:
    """Delete a user's calls, answered or in flight; returns how many."""
    tag = await database.execute(_SQL["erase_calls"], workspace_id, as_stored(user_id))
    return int(tag.rsplit(" ", 1)[1])


async def users(database: Database, workspace_id: str) -> list[str]:
    """Every user whom a stored call names."""
    return [row[0] for row in await database.fetch(_SQL["call_users"], workspace_id)]
