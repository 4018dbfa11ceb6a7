"""Whether somebody is who they say: the password, and the code where the account has a second factor."""

from typing import Any

import msgspec

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.accounts.models import Account
from cmg.identity.accounts.passwords import LENGTH_MAX, Passwords
from cmg.identity.accounts.second_factor import SecondFactor
from cmg.identity.accounts.store import AccountStore
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.identity.sessions.attempts import Attempt, Attempts
from cmg.identity.sessions.models import Client
from cmg.kit.clock import Clock
from cmg.kit.errors import Unauthenticated
from cmg.storage.database import Database
from cmg.telemetry.security_events import SecurityEvents

# Anybody can fail to sign in; the trail is kept for years, so it takes so many of these in an hour from one process.
_AUDITED_IN_AN_HOUR = 600
_HOUR_S = 3600.0


class Given(msgspec.Struct, frozen=True):
    """What somebody shows: an address, a password, perhaps a code."""

    email: str
    password: str
    code: str | None = None

    def __repr__(self) -> str:
        return "Given(…)"


class Tools(msgspec.Struct, frozen=True):
    """What proving works with."""

    store: AccountStore
    passwords: Passwords
    second: SecondFactor
    attempts: Attempts
    audit: AuditTrail
    events: SecurityEvents


class Proof:
    """Refusals are alike in text and in work done, whether the account exists, is disabled, or has no password."""

    def __init__(self, database: Database, tools: Tools, clock: Clock) -> None:
        self._database = database
        self._tools = tools
        self._clock = clock
        self._hour, self._audited = 0.0, 0

    async def check(self, given: Given, client: Client, *, with_code: bool = True) -> Account:
        """The account that is proved.

        Raises `Unauthenticated` (`login_failed`; `code_needed` when the password is right and only the code is
        missing), `RateLimited`, and `Unavailable` while too many passwords are being checked.
        """
        tools = self._tools
        attempt = await tools.attempts.take(given.email, client)
        account = await tools.store.by_email(self._database, given.email)
        usable = account is not None and account.status == "active"
        hashed = account.password_hash if account is not None and usable else None
        good = len(given.password) <= LENGTH_MAX and await tools.passwords.matches(hashed, given.password)
        if account is None or not good:
            raise await self._failed(account, attempt, client, "password")
        if with_code and account.totp_on:
            await self._check_code(account, given.code, attempt, client)
        await tools.attempts.forgive(attempt)
        if hashed is not None and tools.passwords.outdated(hashed):
            await tools.store.rehash(self._database, account, await tools.passwords.hash(given.password))
        return account

    async def _check_code(self, account: Account, code: str | None, attempt: Attempt, client: Client) -> None:
        if not code:
            await self._tools.attempts.give_back(attempt)
            raise Unauthenticated("send the code of your device, or a recovery code, as `code`", code="code_needed")
        async with self._database.transaction() as conn:
            good = await self._tools.second.matches(conn, account, code)
        if not good:
            raise await self._failed(account, attempt, client, "code")

    async def _failed(self, account: Account | None, attempt: Attempt, client: Client, what: str) -> Unauthenticated:
        """Tell of a failure, and give the error for it."""
        events, user = self._tools.events, "" if account is None else account.id
        events.emit("authn_login_fail", f"wrong {what}", client=client.address, user=user)
        if attempt.blocking:
            events.emit("authn_login_lock", "attempts are refused for a while", client=client.address, user=user)
        await self._audit(account, attempt, client, what)
        return Unauthenticated("the e-mail address, the password or the code is wrong", code="login_failed")

    async def _audit(self, account: Account | None, attempt: Attempt, client: Client, what: str) -> None:
        """An entry for a failure, of an account or of none: the same work for both."""
        now = self._clock.time()
        if now - self._hour >= _HOUR_S:
            self._hour, self._audited = now, 0
        if self._audited >= _AUDITED_IN_AN_HOUR:
            return
        self._audited += 1
        target, where = ("unknown", DEFAULT_WORKSPACE) if account is None else (account.id, account.workspace_id)
        details: dict[str, Any] = {"wrong": what, "locked": attempt.blocking}
        async with self._database.transaction() as conn:
            await self._tools.audit.record(
                conn, Entry("anybody", where, "account.login_failed", target, details, client.address)
            )
