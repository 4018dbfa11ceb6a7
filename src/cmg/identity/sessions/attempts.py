"""How often somebody may try: per account and per address, each failure after a few doubling the wait."""

import math
from hashlib import sha256

import msgspec

from cmg.identity.sessions.models import Client, network_of
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.kit.errors import RateLimited
from cmg.storage.database import Database
from cmg.telemetry.security_events import SecurityEvents

FORGOTTEN_S = 86_400.0
_LONGEST_S = 900.0
# (free failures, longest wait). Behind one address may sit an office, so it has more.
_ACCOUNT, _ADDRESS = (5, _LONGEST_S), (30, _LONGEST_S)


class Attempt(msgspec.Struct, frozen=True):
    """An attempt that was let through; `blocking`: if it fails, the next ones are refused for a while."""

    account: bytes
    address: bytes
    blocking: bool


class Attempts:
    """Counts attempts before they are judged, so that many at once are no way around.

    An account is counted by its e-mail address, whether there is one or not: a refusal tells nothing.
    """

    def __init__(self, database: Database, store: SessionStore, events: SecurityEvents, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._events = events
        self._clock = clock

    async def take(self, email: str, client: Client) -> Attempt:
        """Count one. Raises `RateLimited` with the seconds to wait."""
        address, account = _address(client), _subject("account", email)
        now = self._clock.time()
        # The address first, here and below, so that no two can each hold what the other wants. One that is blocked
        # leaves no row for what it would try.
        async with self._database.transaction() as conn:
            untils = [await self._store.take_attempt(conn, address, now, now - FORGOTTEN_S, _ADDRESS)]
            if untils[0] is not None:
                untils.append(await self._store.take_attempt(conn, account, now, now - FORGOTTEN_S, _ACCOUNT))
        if None in untils:
            raise await self._refusal([address, account], now, client)
        return Attempt(account, address, any(until is not None and until > now for until in untils))

    async def take_address(self, what: str, client: Client) -> None:
        """Count one of what anybody may ask for. Raises `RateLimited`."""
        subject, now = _subject(what, network_of(client.address, 32, 64)), self._clock.time()
        async with self._database.transaction() as conn:
            until = await self._store.take_attempt(conn, subject, now, now - FORGOTTEN_S, _ACCOUNT)
        if until is None:
            raise await self._refusal([subject], now, client)

    async def forgive(self, attempt: Attempt) -> None:
        """It was good: the account's failures are forgotten, the address's are not, but for this one."""
        async with self._database.transaction() as conn:
            await self._store.give_back(conn, attempt.address)
            await self._store.forgive(conn, attempt.account)

    async def give_back(self, attempt: Attempt) -> None:
        """It was no failure, but no full proof either."""
        async with self._database.transaction() as conn:
            await self._store.give_back(conn, attempt.address)
            await self._store.give_back(conn, attempt.account)

    async def _refusal(self, subjects: list[bytes], now: float, client: Client) -> RateLimited:
        until = max([await self._store.blocked_until(self._database, subject) for subject in subjects])
        wait = max(1, math.ceil(until - now))
        self._events.emit("authn_login_fail_max", "too many attempts", client=client.address)
        told = f"too many attempts; try again in {wait} seconds"
        return RateLimited(told, code="too_many_attempts", headers={"retry-after": str(wait)})


def _address(client: Client) -> bytes:
    return _subject("address", network_of(client.address, 32, 64))


def _subject(kind: str, name: str) -> bytes:
    return sha256(f"{kind} {name}".encode("utf-8", "replace")).digest()
