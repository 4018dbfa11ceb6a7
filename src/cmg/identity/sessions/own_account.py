"""What people do with their own account: change the password, prove themselves again, keep a second factor."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from cmg.identity.accounts.models import Account
from cmg.identity.accounts.passwords import Passwords
from cmg.identity.accounts.recording import Recorder, Told, self_actor
from cmg.identity.accounts.second_factor import SecondFactor, code_hash, new_codes, new_secret, uri_of
from cmg.identity.accounts.store import AccountStore
from cmg.identity.forms.text import text, wrong
from cmg.identity.models import Caller, SessionMark
from cmg.identity.sessions.models import Client, Opened
from cmg.identity.sessions.proof import Given, Proof
from cmg.identity.sessions.sessions import Sessions
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, Unauthenticated
from cmg.storage.database import Database


class Parts(msgspec.Struct, frozen=True):
    """What these use cases work with."""

    accounts: AccountStore
    store: SessionStore
    passwords: Passwords
    second: SecondFactor
    proof: Proof
    sessions: Sessions
    recorder: Recorder


class OwnAccount:
    """Every one of them that makes an account safer renews this session and ends the person's others."""

    def __init__(self, database: Database, parts: Parts, clock: Clock) -> None:
        self._database = database
        self._parts = parts
        self._clock = clock

    async def get(self, caller: Caller) -> Account:
        """The caller's account."""
        found = await self._parts.accounts.account(self._database, session_of(caller).account_id, caller.workspace_id)
        if found is None:
            raise Unauthenticated("the account is gone", code="session_ended")
        return found

    async def codes_left(self, caller: Caller) -> int:
        """How many recovery codes are left."""
        return await self._parts.accounts.codes_left(self._database, session_of(caller).account_id)

    async def rename(self, caller: Caller, name: str) -> Account:
        """Another name."""
        async with self._changing(caller) as (conn, account):
            new = msgspec.structs.replace(
                account, name=text(name, "name", least=1, most=100), updated_at=self._clock.time()
            )
            await self._parts.accounts.update(conn, new)
            told = Told("account.update", "user_updated", {"name": new.name})
            await self._parts.recorder.tell(conn, self_actor(new, caller.client), new, told)
            return new

    async def confirm(self, caller: Caller, password: str, code: str | None, client: Client) -> Opened:
        """Prove oneself again: the session goes on under a new token, and its client is taken for its owner's."""
        account = await self._prove(caller, password, code, client)
        return await self._parts.sessions.renew(session_of(caller).id, account, client)

    async def change_password(self, caller: Caller, current: str, new: str, client: Client) -> Opened:
        """Another password."""
        parts, account = self._parts, await self.get(caller)
        await self._prove(caller, current, None, client, with_code=False)
        if new == current:
            raise wrong("new", "is the password you have")
        await parts.passwords.check_new(new, "new", (account.email, account.name))
        hashed = await parts.passwords.hash(new)
        async with self._changing(caller) as (conn, locked):
            now = self._clock.time()
            await parts.accounts.set_password(conn, locked.id, hashed, now, must_change=False)
            await parts.accounts.drop_tokens(conn, locked.id, ("invite", "reset"))
            await parts.store.end_all(conn, locked.id, now, "password changed", session_of(caller).id)
            told = Told("account.password", "authn_password_change", {"by": "owner"})
            await parts.recorder.tell(conn, self_actor(locked, caller.client), locked, told)
        return await parts.sessions.renew(session_of(caller).id, await self.get(caller), client)

    async def begin_second_factor(self, caller: Caller) -> tuple[str, str]:
        """(secret, URI for a QR code) for a device; it counts once a first code was shown."""
        async with self._changing(caller) as (conn, account):
            if account.totp_on:
                raise Conflict("there is a second factor already; take it away first")
            if account.subject is not None:
                raise Conflict("you sign in with the identity provider; the second factor is kept there")
            secret = new_secret()
            await self._parts.accounts.set_totp(conn, account.id, secret, self._clock.time(), on=False)
            return secret, uri_of(account, secret)

    async def finish_second_factor(self, caller: Caller, code: str, client: Client) -> tuple[list[str], Opened]:
        """Show a first code of the device: from now on every login asks for one. Gives the recovery codes, once."""
        parts, codes = self._parts, new_codes()
        async with self._changing(caller) as (conn, account):
            if account.totp_on:
                raise Conflict("there is a second factor already")
            if account.totp_secret is None or not await parts.second.matches(conn, account, code):
                raise wrong("code", "is not the present code of the device; begin again if it was set up anew")
            now = self._clock.time()
            await parts.accounts.set_totp(conn, account.id, account.totp_secret, now, on=True)
            await parts.accounts.set_codes(conn, account.id, [code_hash(one) for one in codes])
            await parts.store.end_all(conn, account.id, now, "second factor added", session_of(caller).id)
            told = Told("account.second_factor_on", "user_updated")
            await parts.recorder.tell(conn, self_actor(account, caller.client), account, told)
        return codes, await parts.sessions.renew(session_of(caller).id, await self.get(caller), client)

    async def end_second_factor(self, caller: Caller, password: str, code: str | None, client: Client) -> Opened:
        """Take the second factor away; password and code prove who asks."""
        account = await self._prove(caller, password, code, client)
        if not account.totp_on:
            raise Conflict("there is no second factor")
        async with self._changing(caller) as (conn, locked):
            await self._parts.accounts.set_totp(conn, locked.id, None, self._clock.time(), on=False)
            await self._parts.accounts.set_codes(conn, locked.id, [])
            told = Told("account.second_factor_off", "user_updated")
            await self._parts.recorder.tell(conn, self_actor(locked, caller.client), locked, told)
        return await self._parts.sessions.renew(session_of(caller).id, await self.get(caller), client)

    async def renew_codes(self, caller: Caller, password: str, code: str | None, client: Client) -> list[str]:
        """New recovery codes; the old ones are worth nothing."""
        account = await self._prove(caller, password, code, client)
        if not account.totp_on:
            raise Conflict("there is no second factor")
        codes = new_codes()
        async with self._changing(caller) as (conn, locked):
            await self._parts.accounts.set_codes(conn, locked.id, [code_hash(one) for one in codes])
            told = Told("account.recovery_codes", "user_updated")
            await self._parts.recorder.tell(conn, self_actor(locked, caller.client), locked, told)
        return codes

    async def _prove(
        self, caller: Caller, password: str, code: str | None, client: Client, *, with_code: bool = True
    ) -> Account:
        account = await self.get(caller)
        if account.password_hash is None:
            raise Conflict("you sign in with the identity provider; sign in there again")
        return await self._parts.proof.check(Given(account.email, password, code), client, with_code=with_code)

    @asynccontextmanager
    async def _changing(self, caller: Caller) -> AsyncIterator[tuple[Any, Account]]:
        """A transaction that holds the caller's account."""
        async with self._database.transaction() as conn:
            account = await self._parts.accounts.locked(conn, session_of(caller).account_id, caller.workspace_id)
            if account is None or account.status != "active":
                raise Unauthenticated("the account is gone", code="session_ended")
            yield conn, account


def session_of(caller: Caller) -> SessionMark:
    """The session of a caller whom `signed_in` let pass."""
    if caller.session is None:
        raise Unauthenticated("sign in first: POST /admin/v1/login", code="not_signed_in")
    return caller.session
