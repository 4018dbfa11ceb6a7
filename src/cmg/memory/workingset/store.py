"""The SQL of working sets."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from cmg.memory.models import Owner
from cmg.storage.database import Database
from cmg.storage.named_sql import load


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A current fact; `own`: of the thread that is asked about."""

    id: UUID
    kind: str
    content: str
    tokens: int
    salience: float
    created_at: datetime
    seq: int
    value: str | None
    sources: list[UUID]
    own: bool


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message of the thread."""

    id: UUID
    role: str
    content: str
    created_at: datetime


class WorkingSetStore:
    """Reads what a working set is made of, besides what search finds."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, load("cmg.memory.workingset")

    async def facts(self, owner: Owner, thread_id: str | None, found: Sequence[UUID], now: datetime) -> list[Fact]:
        """The user's current facts: found ones, the thread's, and the newest."""
        rows = await self._database.fetch(self._sql["current_facts"], *owner, thread_id, list(found), now)
        return [Fact(**dict(row)) for row in rows]

    async def thread_ends(self, owner: Owner, thread_id: str) -> list[Said]:
        """The first message of a thread's user and the newest messages, in order."""
        rows = await self._database.fetch(self._sql["thread_ends"], *owner, thread_id)
        return [Said(**dict(row)) for row in rows]
