"""Takes what a person said and what was drawn from it out for good, in steps that hold nobody up for long."""

from collections.abc import Collection
from uuid import UUID

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.control import removal_store as store
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner
from cmg.storage.database import Connection, Database

_STEP = 1000  # items of one transaction
_STEP_S = 30.0
_OWNERS = 1000  # users of one agent that a single delete reaches


class Doomed(msgspec.Struct, frozen=True, kw_only=True):
    """What of a user is to go: all, or what belongs to a thread, an agent or an application."""

    thread_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None


class Removed(msgspec.Struct, kw_only=True):
    """How many passages that were said, and items that were written or drawn from them, are gone.

    Each once, however many versions of it there were.
    """

    turns: int = 0
    facts: int = 0

    @property
    def items(self) -> int:
        """Both together."""
        return self.turns + self.facts


ALL = Doomed()


class Removal:
    """Deletes by user. What hangs on an item goes with it, as `items` decides."""

    def __init__(self, database: Database, writer: ItemWriter, clock: Clock) -> None:
        self._database, self._writer, self._clock = database, writer, clock

    async def remove(
        self, owner: Owner, doomed: Doomed = ALL, *, up_to: int | None = None, marked: bool = True
    ) -> Removed:
        """Delete what a user had when this began, or up to a place.

        `marked`: a history that is sent again does not bring it back.
        """
        removed, place = Removed(), 0
        async with self._database.transaction(_STEP_S) as conn:
            user = await store.hold(conn, owner)
            if user is None:
                return removed
            last = up_to if up_to is not None else await store.newest(conn, owner.workspace_id, user)
        while True:
            async with self._database.transaction(_STEP_S) as conn:
                if await store.hold(conn, owner) != user:
                    return removed  # erased by somebody else meanwhile
                wanted = (user, place, last, *msgspec.structs.astuple(doomed), _STEP)
                rows = await store.doomed(conn, owner.workspace_id, wanted)
                if rows:
                    await self._take(conn, owner, [row["id"] for row in rows], removed, marked=marked)
                    place = rows[-1]["seq"]
                if len(rows) < _STEP:
                    await store.drop_empty_threads(conn, owner.workspace_id, user)
                    return removed

    async def forget(self, owner: Owner, up_to: int | None = None) -> Removed:
        """Delete all that a user had when this began, or up to a place; the user too unless something new came."""
        removed = await self.remove(owner, up_to=up_to, marked=False)
        async with self._database.transaction(_STEP_S) as conn:
            user = await store.hold(conn, owner)
            if user is not None:
                await store.drop_empty_threads(conn, owner.workspace_id, user)
                await store.drop_user(conn, owner.workspace_id, user)
        return removed

    async def remove_items(self, owner: Owner, ids: Collection[UUID]) -> Removed:
        """Delete these items of a user."""
        removed = Removed()
        async with self._database.transaction(_STEP_S) as conn:
            await self._take(conn, owner, ids, removed, marked=True)
            user = await store.hold(conn, owner)
            if user is not None:
                await store.drop_empty_threads(conn, owner.workspace_id, user)
        return removed

    async def owners(self, workspace_id: str, doomed: Doomed, key_id: str | None) -> list[str]:
        """The users whom a delete without a user reaches, at most 1,000; of a key's own ones, unless that is None."""
        wanted = (doomed.agent_id, doomed.app_id, doomed.thread_id, _OWNERS, key_id)
        return await store.owners(self._database, workspace_id, wanted)

    async def delete_operations(self, owner: Owner) -> int:
        """Delete a user's operations; returns how many."""
        return await store.drop_operations(self._database, owner)

    async def delete_summaries(self, owner: Owner) -> int:
        """Delete the summaries of a user's threads; returns how many."""
        return await store.drop_summaries(self._database, owner)

    async def _take(
        self, conn: Connection, owner: Owner, ids: Collection[UUID], removed: Removed, *, marked: bool
    ) -> None:
        if marked:
            await store.mark(conn, owner.workspace_id, ids, self._clock.now())
        gone = await self._writer.delete(conn, owner, ids)
        removed.turns += gone.turns
        removed.facts += gone.facts
