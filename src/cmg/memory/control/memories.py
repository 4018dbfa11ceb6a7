"""The use cases on memories, the same for our own API, for mem0's and for MCP's tools."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.memory.control.models import EVERYTHING, Narrow, StoredItem, StoredThread, Whose
from cmg.memory.control.removal import ALL, Doomed, Removal, Removed
from cmg.memory.control.store import ControlStore
from cmg.memory.items.feedback import Feedback, Judgement
from cmg.memory.items.models import FACT_KINDS, SAID_KINDS, Changes, FeedbackType, Kept, NewItem
from cmg.memory.items.salience import Salience
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Filters, Message, Owner
from cmg.memory.ranking.finder import Wanted
from cmg.memory.service import MemoryService
from cmg.memory.store import MemoryStore
from cmg.memory.text.redaction import Redactor
from cmg.memory.writing import TurnWriter
from cmg.storage.database import Database

_NO_ITEM = "there is no such item"
_SEARCH_S = 5.0
_WRITE_S = 20.0
_OVERFETCH = 5  # for predicates that the search itself does not know
_SEARCH_MAX = 500
_EVERY_KIND = msgspec.json.encode((*SAID_KINDS, *FACT_KINDS)).decode()
_SEARCHED_USERS = 20  # by a search that names an agent, an application or a thread, but no user


class Found(NamedTuple):
    """An item and how well it fits."""

    item: StoredItem
    score: float


class Page(NamedTuple):
    """A part of a list and the place where the next part begins; None: it ends here."""

    items: list[StoredItem]
    next: int | None


class Memories:
    """One per process. Every method takes the workspace, by an owner or by name, and reaches nothing of another."""

    def __init__(
        self, database: Database, service: MemoryService, writer: ItemWriter, feedback: Feedback, clock: Clock
    ) -> None:
        self._database, self._service, self._writer, self._feedback = database, service, writer, feedback
        self._policies = service.policies
        self._turns = TurnWriter(MemoryStore(), clock, service.policies)
        self.store = ControlStore(database, clock)
        self.removal = Removal(database, writer, clock)

    def redactor(self, workspace_id: str) -> Redactor:
        """What takes secrets out of what a workspace stores."""
        return self._policies.of(workspace_id).redactor

    async def add(self, item: NewItem) -> Kept:
        """Keep one memory that somebody wrote. Raises `InvalidRequest` when it is refused."""
        async with self._database.transaction(_WRITE_S) as conn:
            (kept,) = await self._writer.put(conn, [item])
        if kept.item_id is None:
            raise InvalidRequest(kept.reason or "the memory was refused", param="content")
        return kept

    async def say(self, messages: Sequence[Message]) -> int:
        """Store turns; returns how many passages were new. Raises `Conflict`."""
        async with self._database.transaction(_WRITE_S) as conn:
            return await self._turns.write(conn, messages, strict=True)

    async def page(self, owner: Owner, narrow: Narrow, before: int | None, limit: int) -> Page:
        """A user's current items, newest first."""
        await self._service.settle(owner)
        found = await self.store.items(owner, narrow, before, limit + 1)
        items = found[:limit]
        return Page(items, items[-1].seq if len(found) > limit else None)

    async def get(self, workspace_id: str, item_id: UUID) -> StoredItem:
        """One item, of any version. Raises `NotFound`, also for one that has expired."""
        found = await self.store.one(workspace_id, item_id)
        if found is None:
            raise NotFound(_NO_ITEM, param="id")
        return found

    async def current(self, workspace_id: str, item_id: UUID) -> StoredItem:
        """One item that is no earlier version. Raises `NotFound`."""
        found = await self.get(workspace_id, item_id)
        if found.retired_at is not None:
            raise NotFound(f"this is an earlier version of the item {found.root_id}; name that one", param="id")
        return found

    async def edit(self, workspace_id: str, item_id: UUID, changes: Changes) -> StoredItem:
        """Change an item; what it was stays in its history. Raises `NotFound`, `InvalidRequest`."""
        item = await self.current(workspace_id, item_id)
        async with self._database.transaction(_WRITE_S) as conn:
            await self._writer.edit(conn, Owner(workspace_id, item.user_id), item_id, changes)
        for changed in await self.store.by_id(workspace_id, [item_id]):  # also when it has expired by this
            return changed
        raise NotFound(_NO_ITEM, param="id")

    async def history(self, workspace_id: str, item_id: UUID) -> list[StoredItem]:
        """All versions of an item, oldest first. Raises `NotFound`."""
        item = await self.get(workspace_id, item_id)
        return await self.store.versions(workspace_id, item.root_id or item_id)

    async def delete(self, workspace_id: str, item_id: UUID) -> Removed:
        """Delete an item with its history for good. Raises `NotFound`."""
        item = await self.current(workspace_id, item_id)
        return await self.removal.remove_items(Owner(workspace_id, item.user_id), [item_id])

    async def delete_all(self, owner: Owner, doomed: Doomed = ALL) -> Removed:
        """Delete everything of a user, or what belongs to one of their threads, an agent or an application."""
        await self._service.settle(owner)
        return await self.removal.remove(owner, doomed)

    async def delete_of(self, workspace_id: str, doomed: Doomed, key_id: str | None) -> Removed:
        """Delete what belongs to an agent, an application or a thread, over all users whom a key reaches."""
        removed, seen = Removed(), set[str]()
        # Whoever goes on writing meanwhile is not waited for.
        while users := set(await self.removal.owners(workspace_id, doomed, key_id)) - seen:
            seen |= users
            for user_id in sorted(users):
                gone = await self.removal.remove(Owner(workspace_id, user_id), doomed)
                removed.turns += gone.turns
                removed.facts += gone.facts
        return removed

    async def judge(
        self, workspace_id: str, item_id: UUID, judged: tuple[FeedbackType, float | None, str | None]
    ) -> Salience:
        """Take feedback (type, value, comment) on an item; returns its salience now. Raises `NotFound`."""
        item = await self.current(workspace_id, item_id)
        async with self._database.transaction(_WRITE_S) as conn:
            return await self._feedback.judge(conn, Owner(workspace_id, item.user_id), item_id, judged)

    async def explained(self, item: StoredItem, workspace_id: str) -> tuple[Salience, list[Judgement]]:
        """What an item's salience is made of, and the newest judgements."""
        return await self._feedback.explained(self._database, Owner(workspace_id, item.user_id), item.id)

    async def thread(self, owner: Owner, name: str) -> StoredThread:
        """One thread of a user. Raises `NotFound`."""
        await self._service.settle(owner)
        found = await self.store.threads(owner, None, name, 1)
        if not found:
            raise NotFound("the user has no such thread", param="id")
        return found[0]

    async def search(self, owner: Owner, query: str, filters: Filters, narrow: Narrow, limit: int) -> list[Found]:
        """A user's items that fit a query, best first; `narrow` holds what the search does not know.

        Of every kind when the filters name none: a recall gives facts only to those who ask for them, but here one
        looks for what is kept.
        """
        if filters.kinds is None:
            filters = msgspec.structs.replace(filters, kinds=_EVERY_KIND)
        fetched = limit if narrow == EVERYTHING else min(limit * _OVERFETCH, _SEARCH_MAX)
        wanted = Wanted(owner=owner, query=query, limit=fetched, filters=filters)
        hits = await self._service.find(wanted, _SEARCH_S)
        known = await self.store.by_id(owner.workspace_id, [UUID(hit.id) for hit in hits], narrow.predicate)
        items = {item.id: item for item in known}
        found = [Found(items[one], hit.score) for hit in hits if (one := UUID(hit.id)) in items]
        return found[:limit]

    async def search_of(self, workspace_id: str, whose: Whose, query: str, narrow: Narrow, limit: int) -> list[Found]:
        """The same over several users; with an agent, application or thread alone, over those active last."""
        users = list(dict.fromkeys(whose.users))
        if len(users) > _SEARCHED_USERS:
            raise InvalidRequest(f"a search covers at most {_SEARCHED_USERS} users at once", param="filters.user_id")
        if whose.agents or whose.apps or whose.threads:
            users += [
                one for one in await self.store.users_of(workspace_id, whose, _SEARCHED_USERS) if one not in users
            ]
        found: list[Found] = []
        for user_id in users[:_SEARCHED_USERS]:
            found += await self.search(Owner(workspace_id, user_id), query, Filters(), narrow, limit)
        return sorted(found, key=lambda one: -one.score)[:limit]
