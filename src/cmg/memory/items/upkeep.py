"""What time does to items: they lose salience, expire, and go when nobody mentions them; in bounded steps."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.memory.items.removal import Removal, Vectors
from cmg.memory.items.salience import Weights, salience
from cmg.memory.items.store import ItemStore, UpkeepStore
from cmg.storage.database import Database

_BATCH = 1000
_NOTICED = 0.02  # smaller changes of salience are not worth a new row
_WRITE_S = 60.0
_FIRST = UUID(int=0)


class ItemUpkeep:
    """Jobs over all users. `vectors` as in `ItemWriter`."""

    def __init__(
        self, database: Database, clock: Clock, *, half_life_days: float, vectors: Vectors | None = None
    ) -> None:
        self._database, self._clock, self._half_life_days = database, clock, half_life_days
        self._store, self._removal = UpkeepStore(database), Removal(ItemStore(), vectors)

    async def age(self) -> int:
        """Write the saliences that have changed noticeably; returns how many."""
        now, after, changed = self._clock.now(), _FIRST, 0
        while rows := await self._store.salience_batch(after, _BATCH):
            after = rows[-1]["item_id"]
            moved: dict[UUID, float] = {}
            for row in rows:
                parts = {name: row[name] for name in Weights.__struct_fields__}
                found = salience(Weights(**parts), now, self._half_life_days).salience
                if abs(found - row["salience"]) >= _NOTICED:
                    moved[row["item_id"]] = found
            if moved:
                await self._store.age(list(moved), list(moved.values()))
            changed += len(moved)
        return changed

    async def purge(self, item_days: int) -> int:
        """Delete what has expired and, with `item_days`, items that nobody mentioned or used for so long."""
        now, total = self._clock.now(), 0
        while found := await self._store.expired(now, _BATCH):
            total += await self._remove(found)
        if item_days:
            before = now - timedelta(days=item_days)
            while found := await self._store.forgotten(before, _BATCH):
                total += await self._remove(found)
        return total

    async def purge_turns(self, user_no: int, before: datetime) -> int:
        """Delete what a user said and was stored before a moment, and what was drawn from it; returns how many rows."""
        total = 0
        while ids := await self._store.old_turns(user_no, before, _BATCH):
            total += await self._remove({user_no: ids})
        return total

    async def _remove(self, found: Mapping[int, list[UUID]]) -> int:
        total = 0
        for user_no, ids in found.items():
            async with self._database.transaction(_WRITE_S) as conn:
                for holding in await ItemStore().hold_numbers(conn, [user_no]):
                    total += await self._removal.remove(conn, holding, ids)
        return total
