"""Beginning and finishing a login with the identity provider."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import msgspec

from cmg.identity.accounts.models import Account, Role, email_of, token_hash
from cmg.identity.accounts.recording import Recorder, Told, self_actor
from cmg.identity.accounts.store import AccountStore
from cmg.identity.oidc.models import LOGIN_S, Begun, Pending, Returned, refused, role_of, safe_next
from cmg.identity.oidc.store import OidcStore
from cmg.identity.sessions.models import Client, Opened
from cmg.identity.sessions.sessions import Sessions
from cmg.identity.sessions.store import SessionStore
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError, Conflict, Forbidden, Unauthenticated, Unavailable
from cmg.kit.ids import public_id, secret
from cmg.storage.database import Database

if TYPE_CHECKING:
    from cmg.identity.oidc.provider import Provider

_NAME_MAX = 100


class OidcParts(msgspec.Struct, frozen=True):
    """What these logins work with."""

    provider: "Provider"
    accounts: AccountStore
    store: SessionStore
    sessions: Sessions
    recorder: Recorder


class OidcLogin:
    """The provider decides who somebody is, and by its claims which role they have, anew at each login.

    An account with a password is never taken over by an e-mail address of the provider.
    """

    def __init__(self, database: Database, parts: OidcParts, clock: Clock) -> None:
        self._database = database
        self._parts = parts
        self._clock = clock
        self._logins = OidcStore()

    async def begin(self, after: str | None) -> Begun:
        """A login for this browser. Raises `Unavailable`."""
        state, now = secret(), self._clock.time()
        pending = Pending(nonce=secret(), verifier=secret(64), after=safe_next(after))
        url = await self._parts.provider.begin_url(state, pending)
        async with self._database.transaction() as conn:
            if not await self._logins.insert(conn, token_hash(state), pending, now, now + LOGIN_S):
                raise Unavailable("too many logins are on their way; try again", headers={"retry-after": "30"})
        return Begun(url, state)

    async def finish(self, back: Returned, client: Client, former: str | None) -> tuple[Opened, str]:
        """The session of who came back, and where to go on.

        Raises `Unauthenticated`, `Forbidden` (no role), `Conflict` (the address is another account's), `Unavailable`.
        """
        try:
            pending = await self._pending(back)
            claims = await self._parts.provider.claims(back.code or "", pending)
            account = await self._account(claims, client)
        except CmgError as error:
            if not isinstance(error, Unavailable):
                events = self._parts.recorder.events
                events.emit("authn_login_fail", f"identity provider: {error.message}", client=client.address)
            raise
        return await self._parts.sessions.open(account, "oidc", client, former), pending.after

    async def _pending(self, back: Returned) -> Pending:
        """The login that this browser began; it is used up, however the rest goes."""
        if not back.state or not back.cookie or not compare_digest(back.state.encode(), back.cookie.encode()):
            raise refused("this browser did not begin it; begin again")
        async with self._database.transaction() as conn:
            pending = await self._logins.take(conn, token_hash(back.state), self._clock.time())
        if pending is None:
            raise refused("it took too long or was finished before; begin again")
        if back.error or not back.code:
            raise refused("the provider did not let you in")
        if back.issuer is not None and back.issuer != self._parts.provider.settings.issuer:
            raise refused("another provider answered")
        return pending

    async def _account(self, claims: Mapping[str, Any], client: Client) -> Account:
        settings = self._parts.provider.settings
        role = role_of(claims, settings)
        if role is None:
            raise Forbidden("the identity provider gives you no role here; ask an administrator", code="no_role")
        issuer, subject = str(claims["iss"]), str(claims["sub"])
        async with self._database.transaction() as conn:
            found = await self._parts.accounts.by_subject(conn, issuer, subject)
            if found is None:
                return await self._made(conn, claims, role, client)
            account = await self._parts.accounts.locked(conn, found.id)
            if account is None or account.status != "active":
                raise Unauthenticated("this account is disabled; ask an administrator", code="login_failed")
            return await self._updated(conn, account, claims, role, client)

    async def _made(self, conn: Any, claims: Mapping[str, Any], role: Role, client: Client) -> Account:
        now = self._clock.time()
        email = email_of(claims.get("email"))
        account = Account(
            id=public_id(),
            workspace_id=self._parts.provider.settings.workspace,
            email=email,
            name=_name(claims, email),
            role=role,
            status="active",
            issuer=str(claims["iss"]),
            subject=str(claims["sub"]),
            created_at=now,
            updated_at=now,
        )
        if not await self._parts.accounts.insert(conn, account):
            raise Conflict("your e-mail address belongs to an account with a password; sign in with that")
        told = Told("account.create", "user_created", {"email": email, "role": role, "by": "oidc"})
        await self._parts.recorder.tell(conn, self_actor(account, client.address), account, told)
        return account

    async def _updated(
        self, conn: Any, account: Account, claims: Mapping[str, Any], role: Role, client: Client
    ) -> Account:
        """Another role at the provider is another role here, and ends the sessions with the former one."""
        now = self._clock.time()
        new = msgspec.structs.replace(account, name=_name(claims, account.email), role=role, updated_at=now)
        if (new.name, new.role) == (account.name, account.role):
            return account
        lost = account.role == "admin" != role
        if lost and not await self._parts.accounts.other_administrators(conn, account.id):
            raise Conflict("you are the last administrator; make another one before you give the role up")
        await self._parts.accounts.update(conn, new)
        if new.role != account.role:
            await self._parts.store.end_all(conn, new.id, now, "rights changed")
            details = {"role": {"from": account.role, "to": role}, "by": "oidc"}
            told = Told("account.update", "authz_change", details)
            await self._parts.recorder.tell(conn, self_actor(new, client.address), new, told)
        return new


def _name(claims: Mapping[str, Any], email: str) -> str:
    told = claims.get("name")
    shown = " ".join(told.split())[:_NAME_MAX] if isinstance(told, str) else ""
    return shown if shown.isprintable() and shown else email.partition("@")[0]
