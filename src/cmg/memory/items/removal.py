"""What goes for good, and what goes with it."""

from collections.abc import Collection
from uuid import UUID

from cmg.memory.items.models import NOTHING_GONE, Gone, is_quoted
from cmg.memory.items.store import Holding, ItemStore
from cmg.memory.vectors.renewal_store import VectorRenewal
from cmg.storage.database import Connection


class Removal:
    """Deletes rows of a user whose row the transaction holds."""

    def __init__(self, store: ItemStore, vectors: VectorRenewal) -> None:
        self._store, self._vectors = store, vectors

    async def remove(self, conn: Connection, holding: Holding, ids: Collection[UUID]) -> Gone:
        """Delete passages and items with all their versions, and the facts drawn from nothing else.

        Other facts lose these sources. Returns what went.
        """
        if not ids:
            return NOTHING_GONE
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

    async def delete_rows(self, conn: Connection, holding: Holding, ids: Collection[UUID]) -> Gone:
        """Delete rows; where only earlier versions are left of an item, the newest is the current one again."""
        if not ids:
            return NOTHING_GONE
        await self._vectors.gone(conn, holding.workspace_id, holding.user_no, ids)
        gone = await self._store.delete(conn, holding, ids)
        for root, version in (await self._store.widowed(conn, holding, ids)).items():
            await self._store.promote(conn, holding, version, root)
        return gone
