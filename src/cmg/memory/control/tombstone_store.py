"""Tombstones in the database."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from cmg.memory.control.models import BegunErasure, Tombstone, digest_of
from cmg.memory.models import Owner
from cmg.memory.text.cleaning import bounded_id
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

_SQL = load("cmg.memory.control")
_LOCK = 0x636D6705
_SALT_BYTES = 16
_STEP_S = 30.0


async def erased(conn: Connection, owners: Iterable[tuple[str, str]]) -> Mapping[tuple[str, str], datetime]:
    """Who of these (workspace, user) pairs was erased, and when; for a transaction that stores what is theirs."""
    await conn.execute(_SQL["read_tombstones"], _LOCK)
    pairs = list(dict.fromkeys(owners))
    workspaces, users = [one[0] for one in pairs], [bounded_id(one[1]) for one in pairs]
    return {pairs[row[0] - 1]: row[1] for row in await conn.fetch(_SQL["erased"], workspaces, users)}


async def bury(conn: Connection, owner: Owner, at: datetime) -> Tombstone:
    """Add the tombstone of a user in the caller's transaction, after every one that did not know of it.

    It is later than every earlier one of theirs, whatever the clock says: a backup may hold those.
    """
    await conn.execute(_SQL["write_tombstones"], _LOCK)
    salt = await conn.fetchval(_SQL["salt"], owner.workspace_id) or secrets.token_bytes(_SALT_BYTES)
    stone = Tombstone(owner.workspace_id, salt, digest_of(salt, owner.user_id), at)
    erased_at = await conn.fetchval(_SQL["bury"], *msgspec.structs.astuple(stone))
    return msgspec.structs.replace(stone, erased_at=erased_at)


async def begin(conn: Connection, begun: BegunErasure, at: datetime) -> BegunErasure:
    """Note that an erasure began, in the transaction of its tombstone; with the pseudonym and the place that count."""
    who = (begun.workspace_id, begun.digest, begun.user_id.encode("utf-8", "surrogatepass"), begun.pseudonym)
    owner = bounded_id(begun.user_id)
    row = await conn.fetchrow(_SQL["begin_erasure"], *who, begun.actor, begun.client, begun.erased_at, at, owner)
    assert row is not None
    return msgspec.structs.replace(begun, pseudonym=row["pseudonym"], last_seq=row["last_seq"])


async def claim(database: Database, untouched_since: datetime, at: datetime) -> BegunErasure | None:
    """The next erasure that was cut off: nobody has touched it since a moment."""
    row = await database.fetchrow(_SQL["claim_erasure"], untouched_since, at, timeout_s=_STEP_S)
    return row and BegunErasure(**{**row, "user_id": row["user_id"].decode("utf-8", "surrogatepass")})


async def end(conn: Connection, begun: BegunErasure) -> None:
    """Forget that an erasure was under way, and with it whose it was."""
    await conn.execute(_SQL["end_erasure"], begun.workspace_id, begun.digest, begun.erased_at)


async def unknown(database: Database, stones: Sequence[Tombstone]) -> list[Tombstone]:
    """Those of these tombstones that the database does not have: it was set back to before them."""
    columns = zip(*((one.workspace_id, one.digest, one.erased_at) for one in stones), strict=True)
    given = [list(column) for column in columns] or [[], [], []]
    rows = await database.fetch(_SQL["missing_tombstones"], *given, timeout_s=_STEP_S)
    return [stones[row[0] - 1] for row in rows]


async def add(database: Database, stone: Tombstone) -> None:
    """Put a tombstone of the file into the database."""
    await database.execute(_SQL["add_tombstone"], *msgspec.structs.astuple(stone), timeout_s=_STEP_S)


async def every(database: Database) -> list[Tombstone]:
    """All tombstones, oldest first."""
    return [Tombstone(*row) for row in await database.fetch(_SQL["tombstones"], timeout_s=_STEP_S)]


async def known_users(database: Database, workspace_id: str) -> list[str]:
    """Every user that a workspace's memory knows."""
    return [row[0] for row in await database.fetch(_SQL["known_users"], workspace_id, timeout_s=_STEP_S)]


async def purge(database: Database, before: datetime) -> int:
    """Delete tombstones and notes of deleted turns from before a moment, in bounded steps; returns how many."""
    stones = await purge_batch(database, _SQL["purge_tombstones"], before)
    return stones + await purge_batch(database, _SQL["purge_marks"], before)
