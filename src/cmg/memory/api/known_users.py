"""Which key stored a user, for a moment in memory: the wall is looked at with every request that names a user."""

from cmg.kit.clock import Clock
from cmg.memory.models import Owner
from cmg.memory.ranking.held import Held
from cmg.memory.store import KnownUser, MemoryStore
from cmg.storage.database import Database

_KEPT = 8192
_KEPT_S = 2.0  # a user who is erased may be somebody else's then


class KnownUsers:
    """One per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._store = database, MemoryStore()
        self._known: Held[Owner, KnownUser] = Held(clock, _KEPT, _KEPT_S)

    async def find(self, owner: Owner) -> KnownUser | None:
        """A user of whom something was stored; None for others, who are looked up each time. Raises `DatabaseAway`."""
        known = self._known.get(owner)
        if known is None:
            known = await self._store.known_user(self._database, owner)
            if known is not None:
                self._known.put(owner, known)
        return known
