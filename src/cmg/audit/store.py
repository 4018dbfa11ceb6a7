"""The trail's tables; the only caller of this room's SQL. Every function works on the connection it is given."""

from datetime import datetime
from typing import Any

from cmg.audit.models import Head, Stored
from cmg.storage.named_sql import load

Reader = Any  # a Database or a connection: both have fetch, fetchrow and fetchval


class AuditStore:
    """Reads and appends rows of `audit_entries` and `audit_head`."""

    def __init__(self) -> None:
        self._sql = load("cmg.audit")

    async def lock(self, conn: Any) -> Head:
        """Wait for the other writers, then the head as they left it."""
        await conn.execute(self._sql["lock_chain"])
        return await self.head(conn)

    async def head(self, reader: Reader) -> Head:
        """The head row."""
        row = await reader.fetchrow(self._sql["read_head"])
        return Head(row["first_seq"], row["first_previous"], row["last_seq"], row["last_hash"])

    async def append(self, conn: Any, entry: Stored) -> None:
        """Add an entry and move the head to it."""
        fields = (entry.seq, entry.at, entry.actor, entry.workspace_id, entry.action)
        rest = (entry.target, entry.details, entry.client, entry.previous, entry.hash)
        await conn.execute(self._sql["append"], *fields, *rest)
        await conn.execute(self._sql["move_head"], entry.seq, entry.hash)

    async def batch(self, reader: Reader, first: int, last: int, limit: int) -> list[Stored]:
        """At most `limit` entries from `first` to `last`, in order."""
        return [_stored(row) for row in await reader.fetch(self._sql["batch"], first, last, limit)]

    async def page(self, reader: Reader, workspace_id: str | None, wanted: tuple[Any, ...]) -> list[Stored]:
        """Entries newest first; `wanted` is (before seq, action, target, actor, limit); no workspace: all of them."""
        if workspace_id is None:
            rows = await reader.fetch(self._sql["page_of_all"], *wanted)
        else:
            rows = await reader.fetch(self._sql["page_of_workspace"], workspace_id, *wanted)
        return [_stored(row) for row in rows]

    async def between(self, reader: Reader, since: datetime, until: datetime, limit: int) -> list[Stored]:
        """Entries of [since, until], oldest first."""
        return [_stored(row) for row in await reader.fetch(self._sql["between"], since, until, limit)]

    async def last_before(self, conn: Any, at: datetime, first: int, limit: int) -> tuple[int, bytes] | None:
        """(seq, hash) of the last of the `limit` oldest entries that is older than `at`."""
        row = await conn.fetchrow(self._sql["last_before"], at, first, limit)
        return None if row is None else (row["seq"], row["hash"])

    async def purge(self, conn: Any, through: int, through_hash: bytes) -> None:
        """Delete entries up to `through` and let the chain begin after them."""
        await conn.execute(self._sql["allow_purge"], str(through))
        await conn.execute(self._sql["purge"], through)
        await conn.execute(self._sql["move_beginning"], through, through_hash)


def _stored(row: Any) -> Stored:
    return Stored(*(row[name] for name in Stored.__struct_fields__))
