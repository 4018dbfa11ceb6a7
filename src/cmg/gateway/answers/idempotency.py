"""`Idempotency-Key`: the same call again gets the stored answer, or a 409 while the first is in flight."""

from collections.abc import Awaitable, Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID, uuid4

import asyncpg

from cmg.gateway.answers import store
from cmg.gateway.answers.store import FoundCall, Place
from cmg.gateway.answers.stored import Stored
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, InvalidRequest
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.logs import get_logger

__all__ = ["IdempotentCalls", "Stored"]

_PARAM = "Idempotency-Key"
_CHARACTERS_MAX = 255
BODY_BYTES_MAX = 4 * 2**20
_RENEW_S = 5.0  # so often a process says that its calls are in flight
_GIVEN_UP = timedelta(seconds=30)  # a call of which nobody said so for longer died with its process
_LONGEST = timedelta(minutes=15)  # no call takes longer, so nobody says so any more
_RETRY_AFTER_S = 2
_HELD_MAX = 10_000
_log = get_logger("cmg.gateway.idempotency")


class IdempotentCalls:
    """Reservations and stored answers, by workspace, API key and idempotency key, for `hours`.

    Whoever gets None from `begin` calls `finish` or `give_up` once, whatever happens; else the key stays reserved for
    15 minutes, or half a minute after the process died. Only good answers belong into `finish`: a call that failed may
    be tried again with the same key.
    """

    name = "stored_answers"  # in the receipt of an erasure

    def __init__(self, database: Database, clock: Clock, hours: int) -> None:
        self._database, self._clock = database, clock
        self._kept = timedelta(hours=hours)
        self._held: dict[Place, tuple[UUID, datetime]] = {}

    async def run(self) -> None:
        """Keep what is in flight reserved, until cancelled."""
        while True:
            await self._clock.sleep(_RENEW_S)
            await self.renew()

    async def renew(self) -> None:
        """Say which calls are in flight. Never raises."""
        now = self._clock.now()
        held = [(place, reservation) for place, (reservation, since) in self._held.items() if now - since < _LONGEST]
        if held:
            await _quietly(store.renew(self._database, held, now))

    async def begin(
        self, workspace_id: str, key_id: str, idempotency_key: str, body: bytes, user_id: str | None = None
    ) -> Stored | None:
        """The stored answer to the same call; None when there is none and the key is reserved for this call.

        `user_id`: whose call it is, so that it goes when they are erased.
        Raises `InvalidRequest` for a key that is empty, longer than 255 or holds control characters, `Conflict`
        when it came with another body before (code `idempotency_key_reused`) or its call is still in flight (code
        `idempotency_call_in_flight`, with Retry-After), `Unavailable` when the database is away.
        """
        _check(idempotency_key)
        place, body_hash = Place(workspace_id, key_id, idempotency_key), sha256(body).digest()
        now = self._clock.now()
        for _ in range(3):  # between the two looks the other call may have given up
            reservation = uuid4()
            times = (now, now - _GIVEN_UP, now - self._kept)
            if await store.reserve(self._database, place, user_id, body_hash, reservation, times):
                self._hold(place, reservation, now)
                return None
            found = await store.find(self._database, place)
            if found is not None:
                return _answer_of(found, body_hash)
        raise _in_flight()

    async def finish(self, workspace_id: str, key_id: str, idempotency_key: str, stored: Stored) -> bool:
        """Keep the answer of a reserved call; False when it could not be kept (over 4 MB, taken over, database away).

        Never raises: the client has its answer already.
        """
        if len(stored.body) > BODY_BYTES_MAX:
            await self.give_up(workspace_id, key_id, idempotency_key)
            return False
        place = Place(workspace_id, key_id, idempotency_key)
        reservation, _ = self._held.pop(place, (None, None))
        if reservation is None:
            return False
        now = self._clock.now()
        return await _quietly(store.finish(self._database, place, reservation, stored, now)) is True

    async def give_up(self, workspace_id: str, key_id: str, idempotency_key: str) -> None:
        """The call failed: let the next one with this key be a new call. Never raises."""
        place = Place(workspace_id, key_id, idempotency_key)
        reservation, _ = self._held.pop(place, (None, None))
        if reservation is not None:
            await _quietly(store.drop(self._database, place, reservation))

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:  # noqa: ARG002  rows go whole
        """Delete a user's calls, answered or in flight; returns how many."""
        return await store.erase(self._database, workspace_id, user_id)

    async def users(self, workspace_id: str) -> Sequence[str]:
        """Every user whom a stored call names."""
        return await store.users(self._database, workspace_id)

    async def purge(self) -> int:
        """Delete what is older than `hours` (and no call in flight), in batches; returns how many."""
        return await store.purge(self._database, self._clock.now() - max(self._kept, _GIVEN_UP))

    def _hold(self, place: Place, reservation: UUID, now: datetime) -> None:
        """Remember what is ours to finish; bounded, should callers forget to."""
        self._held[place] = reservation, now
        if len(self._held) > _HELD_MAX:
            del self._held[next(iter(self._held))]


def _check(idempotency_key: str) -> None:
    if not 1 <= len(idempotency_key) <= _CHARACTERS_MAX:
        raise InvalidRequest(f"{_PARAM} must have 1 to {_CHARACTERS_MAX} characters; use a UUID", param=_PARAM)
    if any(one < " " or "\x7f" <= one <= "\x9f" for one in idempotency_key):
        raise InvalidRequest(f"{_PARAM} must not hold control characters; use a UUID", param=_PARAM)


def _answer_of(found: FoundCall, body_hash: bytes) -> Stored:
    """What the call that holds the key means for another one with these bytes."""
    if found.body_hash != body_hash:
        raise Conflict(
            f"this {_PARAM} was used with another body; send a new one with a new request",
            param=_PARAM,
            code="idempotency_key_reused",
        )
    if found.stored is None:
        raise _in_flight()
    return found.stored


def _in_flight() -> Conflict:
    return Conflict(
        f"a call with this {_PARAM} is still in flight; ask again for its answer in {_RETRY_AFTER_S} s",
        param=_PARAM,
        code="idempotency_call_in_flight",
        headers={"Retry-After": str(_RETRY_AFTER_S)},
    )


async def _quietly(work: Awaitable[bool | None]) -> bool | None:
    """Do it; what fails costs only that the key stays reserved for a while."""
    try:
        return await work
    except (DatabaseAway, asyncpg.PostgresError, UnicodeError) as error:
        _log.warning("an idempotent call could not be written down; its key stays reserved", reason=str(error))
        return None
