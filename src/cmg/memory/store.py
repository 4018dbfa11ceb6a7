"""The memory's tables; the only caller of this room's SQL."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from cmg.memory.models import Owner, Thread, walled
from cmg.memory.text.rows import Row
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load

_PURGE_ROWS = 2000


class KnownUser(NamedTuple):
    """`key_id`: which key stored the user first (None: everybody's); `subject`: the name in the audit trail."""

    key_id: str | None
    subject: str


class SaidAt(msgspec.Struct, frozen=True):
    """A passage that something was drawn from."""

    thread_id: str
    message_id: str
    role: str
    name: str | None
    created_at: datetime


class Ground(NamedTuple):
    """When an item is true (None: since it was said; without an end), and the passages that it was drawn from."""

    valid_from: datetime | None
    valid_to: datetime | None
    sources: list[SaidAt]


_passages = msgspec.json.Decoder(list[SaidAt])


class MemoryStore:
    """Reads and writes users, threads, turns and operations. Writers work in the caller's transaction."""

    def __init__(self) -> None:
        self._sql = load("cmg.memory")

    async def hold(
        self, conn: Connection, threads: Iterable[Thread], at: datetime, shares: Callable[[str], bool]
    ) -> dict[Thread, tuple[int, int]]:
        """(user number, thread number) of each thread; new ones are made, their users' rows held until the commit.

        Writers of one user therefore wait for each other, in an order that cannot deadlock. A thread whose key may not
        reach its user is left out, unless its workspace `shares` its users.
        """
        wanted = list(dict.fromkeys(threads))
        owners = {one.owner: one.key_id for one in reversed(wanted)}  # the first key that names a user counts
        workspaces, users_ids = [one.workspace_id for one in owners], [one.user_id for one in owners]
        held = await conn.fetch(self._sql["hold_users"], workspaces, users_ids, at, list(owners.values()))
        users = {Owner(row[0], row[1]): row[2] for row in held}
        keys = {Owner(row[0], row[1]): row[3] for row in held}
        wanted = [one for one in wanted if not walled(one.key_id, keys[one.owner]) or shares(one.owner.workspace_id)]
        named = {(users[one.owner], one.thread_id): one for one in wanted}
        touched = await conn.fetch(
            self._sql["touch_threads"],
            [one.owner.workspace_id for one in named.values()],
            [user for user, _ in named],
            [thread for _, thread in named],
            [one.implicit for one in named.values()],
            at,
        )
        numbers = {(row[0], row[1]): row[2] for row in touched}
        return {one: (users[one.owner], numbers[users[one.owner], one.thread_id]) for one in wanted}

    async def known_user(self, database: Database, owner: Owner) -> KnownUser | None:
        """What walls and the audit trail need to know of a user; None: nothing was ever stored."""
        row = await database.fetchrow(self._sql["known_user"], *owner)
        return None if row is None else KnownUser(row["key_id"], str(row["subject"]))

    async def known(
        self, conn: Connection, ids: Sequence[uuid.UUID], workspaces: Iterable[str]
    ) -> Mapping[uuid.UUID, int | None]:
        """The digests of those of these passages that are stored; None for those that somebody deleted."""
        rows = await conn.fetch(self._sql["known_turns"], ids, list(set(workspaces)))
        return {row[0]: row[1] for row in rows}

    async def add(self, conn: Connection, rows: Sequence[Row], at: datetime, *, embedded: bool) -> int:
        """Store passages, in order; `embedded`: they wait for vectors then. Returns how many were new."""
        if not rows:
            return 0
        *columns, metadata, terms = zip(*rows, strict=True)
        flat: list[int] = []
        first, last = [], []
        for one in terms:
            first.append(len(flat) + 1)
            flat.extend(one)
            last.append(len(flat))
        arguments = (*columns, flat, first, last, at, metadata, embedded)
        return int(await conn.fetchval(self._sql["add_turns"], *arguments))

    async def add_operation(
        self, conn: Connection, operation_id: uuid.UUID, owner: Owner, state: tuple[Any, ...]
    ) -> None:
        """Note an operation; `state` is (status, items as JSON, at, the thread whose facts are drawn)."""
        await conn.execute(self._sql["add_operation"], operation_id, *owner, *state)

    async def operation(self, database: Database, operation_id: uuid.UUID, workspace_id: str) -> Any:
        """The row of one operation, or None."""
        return await database.fetchrow(self._sql["operation"], operation_id, workspace_id)

    async def grounds(
        self, database: Database, workspace_id: str, ids: Sequence[uuid.UUID], as_of: datetime | None
    ) -> dict[str, Ground]:
        """What stands behind those of these items that are still stored, by their ids, as was known at a moment."""
        async with database.connection(keeps_plans=True) as conn:  # a part of each recall
            rows = await conn.fetch(self._sql["grounds"], workspace_id, ids, as_of)
        return {
            str(row["id"]): Ground(row["valid_from"], row["valid_to"], _passages.decode(row["sources"] or "[]"))
            for row in rows
        }

    async def purge_operations(self, database: Database, before: datetime) -> int:
        """Delete operations older than a moment, in bounded steps; returns how many."""
        return await self._purge(database, "purge_operations", before)

    async def users_with_turns_before(
        self, database: Database, workspace_id: str, before: datetime, behind: int
    ) -> list[int]:
        """The next users of a workspace, by number, who said something that was stored before a moment."""
        given = (workspace_id, before, behind, _PURGE_ROWS)
        return [row[0] for row in await database.fetch(self._sql["expired_users"], *given, timeout_s=60)]

    async def purge_threads(self, database: Database, workspace_id: str, before: datetime) -> int:
        """Delete empty threads of a workspace that nobody has touched since a moment; returns how many."""
        return await self._purge(database, "purge_threads", workspace_id, before)

    async def purge_users(self, database: Database, workspace_id: str, before: datetime) -> int:
        """Delete users of a workspace of whom nothing is kept since a moment; returns how many."""
        return await self._purge(database, "purge_users", workspace_id, before)

    async def _purge(self, database: Database, query: str, *given: Any) -> int:
        total, count = 0, _PURGE_ROWS
        while count == _PURGE_ROWS:
            done = await database.execute(self._sql[query], *given, _PURGE_ROWS, timeout_s=60)
            count = int(done.rpartition(" ")[2])
            total += count
        return total
