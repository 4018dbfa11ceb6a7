"""Erases a person from everything that holds their words or their id, and keeps it so.

First the tombstone, then the places: whatever is still on its way is stored when the tombstone is, or meets it.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Protocol

import msgspec

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.kit.clock import Clock, rfc3339
from cmg.memory.control.models import BegunErasure
from cmg.memory.control.removal import Removal
from cmg.memory.control.tombstone_store import add, begin, bury, claim, end, known_users, unknown
from cmg.memory.control.tombstones import TombstoneFile
from cmg.memory.models import Owner, owner_of
from cmg.storage.changes import announce
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

TOPIC = "erasures"  # of the change feed: every worker begins a new journal segment, so that the old one is deleted
_STEP_S = 30.0
_log = get_logger("cmg.memory.erasure")


class Place(Protocol):
    """Something that holds people's words or ids, beside the memory itself."""

    @property
    def name(self) -> str:
        """Its name in the receipt."""
        ...

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:
        """Delete what is a user's, or put the pseudonym in place of their id; returns how much."""
        ...

    async def users(self, workspace_id: str) -> Sequence[str]:
        """Every user it knows, to find those of a tombstone."""
        ...


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What was erased, counted by place. `pseudonym` stands where rows stay (ledger, audit); its key is destroyed.

    `pending`: places where something was still on its way; it is dropped when it arrives.
    """

    erased_at: str
    pseudonym: str
    erased: dict[str, int]
    pending: list[str]


class Erasure:
    """`settle` waits until the journals of this machine are stored; False when they were not in time."""

    def __init__(
        self,
        database: Database,
        removal: Removal,
        file: TombstoneFile,
        places: Sequence[Place],
        settle: Callable[[], Awaitable[bool]],
        clock: Clock,
    ) -> None:
        self._database, self._file, self._places, self._settle = database, file, places, settle
        self._clock = clock
        self._removal = removal
        self._audit = AuditTrail(database, clock)

    async def erase(self, workspace_id: str, user_id: str, actor: str, client: str = "") -> Receipt:
        """Erase one user of a workspace. Raises `DatabaseAway`; what was begun is then finished by `finish`."""
        owner = owner_of(workspace_id, user_id)
        settled = await self._settle()  # so that what is on its way is counted
        now = self._clock.now()
        async with self._database.transaction(_STEP_S) as conn:
            stone = await bury(conn, owner, now)
            who = (workspace_id, stone.digest, user_id, _pseudonym(owner), actor, client)
            begun = await begin(conn, BegunErasure(*who, stone.erased_at, 0), now)
            await announce(conn, TOPIC, [stone.digest.hex()], now)
        await self._file.append(stone)
        erased, settled_again = await self._finish(begun)
        pending = [] if settled and settled_again else ["journals"]
        at = rfc3339(now.timestamp())
        return Receipt(erased_at=at, pseudonym=begun.pseudonym, erased=erased, pending=pending)

    async def finish(self, untouched_since: datetime) -> int:
        """Go on with erasures that were cut off: their process died, or a place failed. What was said since stays.

        Returns how many were finished; one that fails again is told of, and tried at the next time.
        """
        finished = 0
        while begun := await claim(self._database, untouched_since, max(untouched_since, self._clock.now())):
            try:
                await self._finish(begun)
            except Exception as error:  # noqa: BLE001  a place that fails must not keep the next user's words
                # Only the kind of error: its text may hold the id of the person.
                _log.error("an erasure that was cut off cannot be finished yet", error=type(error).__name__)
            else:
                finished += 1
                _log.warning("an erasure that was cut off is finished", pseudonym=begun.pseudonym)
        return finished

    async def replay(self) -> int:
        """Erase again whom the file of tombstones names and the database does not know as erased: it was set back.

        To be called before anything is served or drained. Returns how many tombstones were new to the database.
        """
        missing = await unknown(self._database, self._file.counting(self._clock.now()))
        known: dict[str, list[str]] = {}
        users = 0
        for stone in missing:
            if stone.workspace_id not in known:
                known[stone.workspace_id] = await self._users(stone.workspace_id)
            for user_id in filter(stone.names, known[stone.workspace_id]):
                owner = Owner(stone.workspace_id, user_id)
                await self._everywhere(owner, user_id, _pseudonym(owner))
                users += 1
            await add(self._database, stone)  # last: a replay that is cut off comes again
        await self._file.compact(self._database)
        if missing:
            _log.warning("the database was set back: erased again", tombstones=len(missing), users=users)
        return len(missing)

    async def _finish(self, begun: BegunErasure) -> tuple[dict[str, int], bool]:
        """What went from every place, and whether the journals are stored; noted in the trail."""
        owner = owner_of(begun.workspace_id, begun.user_id)
        erased = await self._everywhere(owner, begun.user_id, begun.pseudonym, begun.last_seq)
        settled = await self._settle()
        target, details = f"user:{begun.pseudonym}", {"erased": erased}
        entry = Entry(begun.actor, begun.workspace_id, "memory.erase", target, details, begun.client)
        async with self._database.transaction(_STEP_S) as conn:
            await end(conn, begun)
            await self._audit.record(conn, entry)
        return erased, settled

    async def _everywhere(self, owner: Owner, user_id: str, pseudonym: str, up_to: int | None = None) -> dict[str, int]:
        summaries = await self._removal.delete_summaries(owner)  # counted here; they would go with their turns
        removed = await self._removal.forget(owner, up_to)
        erased = {"turns": removed.turns, "facts": removed.facts, "summaries": summaries}
        erased["operations"] = await self._removal.delete_operations(owner)
        for place in self._places:
            erased[place.name] = await place.erase(owner.workspace_id, user_id, pseudonym)
        return erased

    async def _users(self, workspace_id: str) -> list[str]:
        users = set(await known_users(self._database, workspace_id))
        for place in self._places:
            users |= set(await place.users(workspace_id))
        return list(users)


def _pseudonym(owner: Owner) -> str:
    """A name that leads back to nobody: keyed with a secret that is forgotten here and now."""
    return f"erased-{hmac.digest(secrets.token_bytes(32), owner.user_id.encode(), sha256).hex()[:32]}"
