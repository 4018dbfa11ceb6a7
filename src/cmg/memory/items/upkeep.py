"""What time does to items: they lose salience, expire, and go when nobody mentions them; in bounded steps."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.memory.items.removal import Removal
from cmg.memory.items.salience import Weights, salience
from cmg.memory.items.store import ItemStore, UpkeepStore
from cmg.memory.policies import Policies
from cmg.memory.vectors.renewal_store import VectorRenewal
from cmg.storage.database import Database

_BATCH = 1000
_NOTICED = 0.02  # smaller changes of salience are not worth a new row
_WRITE_S = 60.0
_FIRST = UUID(int=0)


class ItemUpkeep:
    """Jobs over all users."""

    def __init__(self, database: Database, clock: Clock, policies: Policies) -> None:
        self._database, self._clock, self._policies = database, clock, policies
        self._store = UpkeepStore(database)
        self._removal = Removal(ItemStore(), VectorRenewal(clock, policies.settings))

    async def age(self) -> int:
        """Write the saliences that have changed noticeably; returns how many."""
        now, after, changed = self._clock.now(), _FIRST, 0
        while rows := await self._store.salience_batch(after, _BATCH):
            after = rows[-1]["item_id"]
            moved: dict[UUID, float] = {}
            for row in rows:
                parts = {name: row[name] for name in Weights.__struct_fields__}
                half_life_days = self._policies.of(row["workspace_id"]).half_life_days
                found = salience(Weights(**parts), now, half_life_days).salience
                if abs(found - row["salience"]) >= _NOTICED:
                    moved[row["item_id"]] = found
            if moved:
                await self._store.age(list(moved), list(moved.values()))
            changed += len(moved)
        return changed

    async def purge(self) -> int:
        """Delete what has expired, and items that nobody mentioned or used for as long as their workspace allows."""
        now, total = self._clock.now(), 0
        while found := await self._store.expired(now, _BATCH):
            total += await self._remove(found)
        for workspace_id, policy in self._policies.all().items():
            before = now - timedelta(days=policy.item_days)
            while policy.item_days and (found := await self._store.forgotten(workspace_id, before, _BATCH)):
                total += await self._remove(found)
        return total

    async def purge_turns(self, workspace_id: str, user_no: int, before: datetime) -> int:
        """Delete what a user said and was stored before a moment, and what was drawn from it; returns how many rows."""
        total = 0
        while ids := await self._store.old_turns(workspace_id, user_no, before, _BATCH):
            total += await self._remove({user_no: ids})
        return total

    async def _remove(self, found: Mapping[int, list[UUID]]) -> int:
        total = 0
        for user_no, ids in found.items():
            async with self._database.transaction(_WRITE_S) as conn:
                for holding in await ItemStore().hold_numbers(conn, [user_no]):
                    total += (await self._removal.remove(conn, holding, ids)).rows
        return total
