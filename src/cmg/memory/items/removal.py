"""What goes for good, and what goes with it."""

from collections.abc import Collection
from typing import Protocol
from uuid import UUID

from cmg.memory.items.models import is_quoted
from cmg.memory.items.store import Holding, ItemStore
from cmg.storage.database import Connection


class Vectors(Protocol):
    """What stored vectors have to know of items; called in the transaction that changes them."""

    async def outdated(self, conn: Connection, ids: Collection[UUID]) -> None:
        """The texts of these items are new or others now: their vectors are to be made, or made again."""
        ...

    async def gone(self, conn: Connection, ids: Collection[UUID]) -> None:
        """These passages and items are about to be deleted."""
        ...


class Removal:
    """Deletes rows of a user whose row the transaction holds."""

    def __init__(self, store: ItemStore, vectors: Vectors | None = None) -> None:
        self._store, self._vectors = store, vectors

    async def remove(self, conn: Connection, holding: Holding, ids: Collection[UUID]) -> int:
        """Delete passages and items with all their versions, and the facts drawn from nothing else.

        Other facts lose these sources. Returns how many rows went.
        """
        if not ids:
            return 0
        doomed = await self._store.doomed(conn, holding, ids)
        await self._store.drop_sources(conn, holding, doomed)
        return await self.delete_rows(conn, holding, doomed)

    async def unquote(self, conn: Connection, holding: Holding, source: UUID, content: str) -> None:
        """A turn has other words now: the facts whose quote is not among them lose it as their source."""
        facts = await self._store.facts_of(conn, holding.workspace_id, source)
        lost = [fact for fact, quote in facts.items() if quote is None or not is_quoted(quote, [content])]
        if lost:
            orphaned = await self._store.orphaned(conn, holding, lost, [source])
            await self._store.drop_sources(conn, holding, [source], lost)
            await self.delete_rows(conn, holding, orphaned)

    async def delete_rows(self, conn: Connection, holding: Holding, ids: Collection[UUID]) -> int:
        """Delete rows; where only earlier versions are left of an item, the newest is the current one again."""
        if not ids:
            return 0
        if self._vectors is not None:
            await self._vectors.gone(conn, ids)
        count = await self._store.delete(conn, holding, ids)
        for root, version in (await self._store.widowed(conn, holding, ids)).items():
            await self._store.promote(conn, holding, version, root)
        return count
