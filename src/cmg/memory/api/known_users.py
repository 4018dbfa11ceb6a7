"""Which key stored a user, for a moment in memory: the wall is looked at with every request that names a user."""

from collections import OrderedDict

from cmg.kit.clock import Clock
from cmg.memory.models import Owner
from cmg.memory.store import KnownUser, MemoryStore
from cmg.storage.database import Database

_KEPT = 8192
_KEPT_S = 2.0  # a user who is erased may be somebody else's then


class KnownUsers:
    """One per process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._store = database, clock, MemoryStore()
        self._known: OrderedDict[Owner, tuple[float, KnownUser]] = OrderedDict()

    async def find(self, owner: Owner) -> KnownUser | None:
        """A user of whom something was stored; None for others, who are looked up each time. Raises `DatabaseAway`."""
        now = self._clock.monotonic()
        until, known = self._known.get(owner, (now, None))
        if known is not None and until > now:
            return known
        found = await self._store.known_user(self._database, owner)
        if found is not None:
            self._known[owner] = (now + _KEPT_S, found)
            self._known.move_to_end(owner)
            if len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found
