"""Deletes what is older than its workspace keeps it; the composition root runs it as a job."""

from datetime import timedelta

from cmg.kit.clock import Clock
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.policies import Policies
from cmg.memory.store import MemoryStore
from cmg.storage.database import Database


class MemoryRetention:
    """Purges turns and items by their workspace's policy, operations after `operation_days`."""

    def __init__(
        self, database: Database, clock: Clock, upkeep: ItemUpkeep, policies: Policies, operation_days: int
    ) -> None:
        self._database, self._clock, self._upkeep, self._policies = database, clock, upkeep, policies
        self._operation_days = operation_days
        self._store = MemoryStore()

    async def purge(self) -> tuple[int, int]:
        """Delete in bounded steps; returns how many turns and items, and how many operations went."""
        gone = await self._upkeep.purge()
        for workspace_id, policy in self._policies.all().items():
            if policy.retention_days:
                gone += await self._purge_turns(workspace_id, policy.retention_days)
        before = self._clock.now() - timedelta(days=max(1, self._operation_days))
        return gone, await self._store.purge_operations(self._database, before)

    async def _purge_turns(self, workspace_id: str, days: int) -> int:
        """A workspace's turns, by when they were stored, and the threads and users of whom nothing is left then."""
        before, gone, behind = self._clock.now() - timedelta(days=days), 0, 0
        while users := await self._store.users_with_turns_before(self._database, workspace_id, before, behind):
            for user_no in users:
                gone += await self._upkeep.purge_turns(workspace_id, user_no, before)
            behind = users[-1]
        await self._store.purge_threads(self._database, workspace_id, before)
        await self._store.purge_users(self._database, workspace_id, before)
        return gone
