"""What deleting asks of the database, each in the caller's transaction unless it takes the database itself."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from cmg.memory.models import Owner
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_SQL = load("cmg.memory.control")
_STEP_S = 30.0


async def hold(conn: Connection, owner: Owner) -> int | None:
    """A user's number, their row held until the transaction ends; None: there is no such user."""
    number: int | None = await conn.fetchval(_SQL["hold_user"], *owner)
    return number


async def newest(conn: Connection, workspace_id: str, user: int) -> int:
    """The place of a user's newest item."""
    return int(await conn.fetchval(_SQL["newest_item"], workspace_id, user))


async def doomed(conn: Connection, workspace_id: str, wanted: tuple[Any, ...]) -> list[Any]:
    """The next items that are to go; `wanted`: user, places behind and up to, thread, agent, application, how many."""
    return list(await conn.fetch(_SQL["doomed"], workspace_id, *wanted))


async def mark(conn: Connection, workspace_id: str, ids: Collection[UUID], at: datetime) -> None:
    """Note which turns were deleted one by one."""
    await conn.execute(_SQL["mark_deleted"], workspace_id, ids, at)


async def drop_empty_threads(conn: Connection, workspace_id: str, user: int) -> None:
    """Delete a user's threads that hold nothing any more."""
    await conn.execute(_SQL["delete_empty_threads"], workspace_id, user)


async def drop_user(conn: Connection, workspace_id: str, user: int) -> None:
    """Delete the notes of a user's deleted turns, and the user when nothing is left of them."""
    await conn.execute(_SQL["delete_marks"], workspace_id, user)
    await conn.execute(_SQL["delete_user"], workspace_id, user)


async def owners(database: Database, workspace_id: str, wanted: tuple[Any, ...]) -> list[str]:
    """Users who have something of an agent, an application or a thread; `wanted`: these, how many, the key."""
    rows = await database.fetch(_SQL["entity_owners"], workspace_id, *wanted, timeout_s=_STEP_S)
    return [row[0] for row in rows]


async def drop_operations(database: Database, owner: Owner) -> int:
    """Delete a user's operations; returns how many."""
    done = await database.execute(_SQL["delete_operations"], *owner, timeout_s=_STEP_S)
    return int(done.rpartition(" ")[2])


async def drop_summaries(database: Database, owner: Owner) -> int:
    """Delete the summaries of a user's threads; returns how many."""
    done = await database.execute(_SQL["delete_summaries"], *owner, timeout_s=_STEP_S)
    return int(done.rpartition(" ")[2])
