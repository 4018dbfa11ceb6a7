"""Keeps vectors in step with passages that are written, edited or deleted one by one."""

from collections.abc import Collection
from uuid import UUID

from cmg.config import MemorySettings
from cmg.kit.clock import Clock
from cmg.storage.database import Connection
from cmg.storage.named_sql import load


class VectorRenewal:
    """Works in the transaction that changes the passages and that holds their user.

    Without an embedder in the settings they get their vectors when there is one again.
    """

    def __init__(self, clock: Clock, settings: MemorySettings) -> None:
        self._clock, self._embedded = clock, settings.embedder != "none"
        self._sql = load("cmg.memory.vectors")

    async def changed(self, conn: Connection, workspace_id: str, user_no: int, ids: Collection[UUID]) -> None:
        """These passages or their texts are new: they wait for vectors, and so do the neighbours of what was said."""
        await self._renew(conn, (workspace_id, user_no), ids, stay=True)

    async def gone(self, conn: Connection, workspace_id: str, user_no: int, ids: Collection[UUID]) -> None:
        """These passages are about to be deleted: nothing that was made of their text stays."""
        await self._renew(conn, (workspace_id, user_no), ids, stay=False)

    async def _renew(self, conn: Connection, whose: tuple[str, int], ids: Collection[UUID], *, stay: bool) -> None:
        now = self._clock.now()
        await conn.execute(self._sql["renew_vectors"], *whose, list(ids), now, self._embedded, stay)
