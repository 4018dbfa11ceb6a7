"""Deletes what is older than the settings allow; the composition root runs it as a job."""

from datetime import timedelta

from cmg.kit.clock import Clock
from cmg.memory.store import MemoryStore
from cmg.storage.database import Database


class MemoryRetention:
    """`turn_days` 0: turns are kept until they are erased."""

    def __init__(self, database: Database, clock: Clock, *, turn_days: int, operation_days: int) -> None:
        self._database, self._clock = database, clock
        self._turn_days, self._operation_days = turn_days, operation_days
        self._store = MemoryStore()

    async def purge(self) -> tuple[int, int]:
        """Delete in bounded steps; returns how many turns and operations went."""
        now = self._clock.now()
        turns = 0
        if self._turn_days:
            turns = await self._store.purge_turns(self._database, now - timedelta(days=self._turn_days))
        before = now - timedelta(days=max(1, self._operation_days))
        return turns, await self._store.purge_operations(self._database, before)
