"""Reads items and threads of one workspace. With `removal` and `tombstones` the only caller of this sub-room's SQL."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.control.models import Entity, Narrow, StoredItem, StoredJudgement, StoredSummary, StoredThread, Whose
from cmg.memory.models import Owner
from cmg.storage.database import Database
from cmg.storage.named_sql import load

_SQL = load("cmg.memory.control")
_READ_S = 10.0
_EXPORT_ITEMS = 500  # of one step of an export: what it holds in memory
_ENTITIES = 500  # of each type
_LINKS = 50
_items = msgspec.json.Decoder(list[StoredItem])
_threads = msgspec.json.Decoder(list[StoredThread])
_judgements = msgspec.json.Decoder(list[StoredJudgement])
_summaries = msgspec.json.Decoder(list[StoredSummary])
_entities = msgspec.json.Decoder(list[Entity])


class ControlStore:
    """Every method takes the workspace and sees nothing of another one. All raise `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    async def items(
        self, owner: Owner, narrow: Narrow, before: int | None, limit: int, *, offset: int = 0
    ) -> list[StoredItem]:
        """One user's current items, newest first."""
        given = (narrow.kinds, narrow.thread_id, narrow.agent_id, narrow.app_id, narrow.predicate)
        wanted = (*owner, self._clock.now(), before, *given, limit, offset)
        return _items.decode(await self._value("list_items", *wanted))

    async def items_of(
        self, workspace_id: str, whose: Whose, predicate: str | None, *, limit: int, offset: int
    ) -> list[StoredItem]:
        """Current items over users, newest first; a page deep in the list costs what stands before it."""
        if whose.one_user is not None:
            owner = Owner(workspace_id, whose.one_user)
            return await self.items(owner, Narrow(predicate=predicate), None, limit, offset=offset)
        given = (*self._of(whose, predicate), limit, offset)
        found = await self._value("list_entity_items", workspace_id, *given)
        return _items.decode(found)

    async def count_of(self, workspace_id: str, whose: Whose, predicate: str | None) -> int:
        """How many such items there are."""
        return int(await self._value("count_entity_items", workspace_id, *self._of(whose, predicate)))

    async def users_of(self, workspace_id: str, whose: Whose, limit: int) -> list[str]:
        """The users who have items of these agents, applications or threads."""
        given = (whose.agents, whose.apps, whose.threads, limit, whose.key_id)
        return [row[0] for row in await self._rows("entity_users", workspace_id, *given)]

    async def by_id(self, workspace_id: str, ids: Sequence[UUID], predicate: str | None = None) -> list[StoredItem]:
        """The items with these ids, in any order; unknown ones are left out."""
        return _items.decode(await self._value("items_by_id", workspace_id, list(ids), predicate))

    async def one(self, workspace_id: str, item_id: UUID) -> StoredItem | None:
        """The item, of any version; None once it has expired, though it waits for its deletion."""
        found = next(iter(await self.by_id(workspace_id, [item_id])), None)
        current = found
        if found is not None and found.retired_at is not None and found.root_id is not None:
            current = next(iter(await self.by_id(workspace_id, [found.root_id])), None)
        return None if current is None or self.has_expired(current) else found

    def has_expired(self, item: StoredItem) -> bool:
        """Whether the item's time is over."""
        return item.expires_at is not None and item.expires_at <= self._clock.now()

    async def drawn_from(self, workspace_id: str, ids: Sequence[UUID]) -> list[StoredItem]:
        """Current items that name one of these as their source, a bounded number."""
        return _items.decode(await self._value("items_from", workspace_id, list(ids), _LINKS, self._clock.now()))

    async def versions(self, workspace_id: str, root_id: UUID) -> list[StoredItem]:
        """All versions of an item, oldest first."""
        return _items.decode(await self._value("versions", workspace_id, root_id))

    async def threads(self, owner: Owner, before: int | None, name: str | None, limit: int) -> list[StoredThread]:
        """One user's threads, newest first; only the one of a name."""
        now = self._clock.now()
        return _threads.decode(await self._value("list_threads", *owner, before, name, limit, now))

    async def thread_items(self, workspace_id: str, thread_no: int, behind: int, limit: int) -> list[StoredItem]:
        """The current items of a thread, in their order."""
        now = self._clock.now()
        return _items.decode(await self._value("thread_items", workspace_id, thread_no, behind, limit, now))

    async def entities(self, workspace_id: str, key_id: str | None) -> list[Entity]:
        """Users, agents, applications and threads that have items and a key reaches, at most 500 of each."""
        return _entities.decode(await self._value("entities", workspace_id, _ENTITIES, key_id))

    async def subject(self, owner: Owner) -> str | None:
        """The user's name in the audit trail."""
        found = await self._value("subject", *owner)
        return None if found is None else f"user:{found}"

    async def summaries(self, owner: Owner, behind: int, limit: int) -> list[StoredSummary]:
        """The summaries of one user's threads behind a number, in the threads' order."""
        return _summaries.decode(await self._value("summaries", *owner, behind, limit))

    async def judgements(self, workspace_id: str, ids: Sequence[UUID]) -> list[StoredJudgement]:
        """What was said of these items."""
        return _judgements.decode(await self._value("judgements_of", workspace_id, list(ids)))

    async def everything(self, owner: Owner) -> AsyncIterator[list[StoredItem]]:
        """All that is kept about a user, in steps of bounded size."""
        behind = 0
        while True:
            found = _items.decode(await self._value("export_items", *owner, behind, _EXPORT_ITEMS))
            if found:
                yield found
            if len(found) < _EXPORT_ITEMS:
                return
            behind = found[-1].seq

    def _of(self, whose: Whose, predicate: str | None) -> tuple[Any, ...]:
        now: datetime = self._clock.now()
        return (whose.users, whose.agents, whose.apps, whose.threads, now, predicate, whose.key_id)

    async def _value(self, query: str, *args: Any) -> Any:
        return await self._database.fetchval(_SQL[query], *args, timeout_s=_READ_S)

    async def _rows(self, query: str, *args: Any) -> list[Any]:
        return await self._database.fetch(_SQL[query], *args, timeout_s=_READ_S)
