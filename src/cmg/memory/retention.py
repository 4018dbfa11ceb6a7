"""Deletes what is older than the settings allow; the composition root runs it as a job."""

from datetime import timedelta

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.store import MemoryStore
from cmg.storage.database import Database


class KeptFor(msgspec.Struct, frozen=True, kw_only=True):
    """Days that things are kept; 0: until they are erased. Items count from when they were last mentioned or used."""

    turn_days: int
    item_days: int = 0
    operation_days: int


class MemoryRetention:
    """Purges turns, items and operations."""

    def __init__(self, database: Database, clock: Clock, upkeep: ItemUpkeep, kept: KeptFor) -> None:
        self._database, self._clock, self._upkeep, self._kept = database, clock, upkeep, kept
        self._store = MemoryStore()

    async def purge(self) -> tuple[int, int]:
        """Delete in bounded steps; returns how many turns and items, and how many operations went."""
        now = self._clock.now()
        gone = await self._upkeep.purge(self._kept.item_days)
        if self._kept.turn_days:
            before = now - timedelta(days=self._kept.turn_days)
            while users := await self._store.users_with_turns_before(self._database, before):
                for user_no in users:
                    gone += await self._upkeep.purge_turns(user_no, before)
            await self._store.purge_threads(self._database, before)
        before = now - timedelta(days=max(1, self._kept.operation_days))
        return gone, await self._store.purge_operations(self._database, before)
