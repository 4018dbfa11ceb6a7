"""What administrators do with accounts: invite, create, show, change, disable, delete, and help after a lost password.

An actor with `admin` sees and changes accounts of its own workspace; other workspaces' accounts do not exist for it.
Nobody gives a role, or changes an account, whose scopes exceed their own; and one administrator always stays.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from cmg.identity.accounts.models import (
    ROLE_SCOPES,
    ROLES,
    Account,
    Purpose,
    Role,
    account_view,
    email_of,
    new_token,
    token_hash,
)
from cmg.identity.accounts.recording import Recorder, Told
from cmg.identity.accounts.store import AccountStore, Asked
from cmg.identity.forms.text import integer, one_of, text
from cmg.identity.forms.views import differences
from cmg.identity.key_rules import administrator, cursor_at, position_of, workspace_to_create_in, workspace_to_list
from cmg.identity.models import Actor, Caller
from cmg.identity.sessions.store import SessionStore
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, Forbidden, NotFound
from cmg.kit.ids import public_id
from cmg.storage.database import Database
from cmg.telemetry.security_events import Event

PAGE_MAX = 200
INVITED_S = 7 * 86_400
RESET_S = 3600
_BATCH = 1000


class Link(msgspec.Struct, frozen=True):
    """An account with a token for its owner, shown this once: it lets them choose a password."""

    account: Account
    token: str
    until: float

    def __repr__(self) -> str:
        return f"Link({self.account.id})"


class AccountPage(msgspec.Struct, frozen=True):
    """Accounts, newest first; `next` is the cursor of the following page."""

    items: tuple[Account, ...]
    next: str | None


class AskedPage(msgspec.Struct, frozen=True):
    """Requests, newest first."""

    items: tuple[Asked, ...]
    next: str | None


class Accounts:
    """The use cases of administrators."""

    def __init__(
        self, database: Database, stores: tuple[AccountStore, SessionStore], recorder: Recorder, clock: Clock
    ) -> None:
        self._database = database
        self._store, self._sessions = stores
        self._recorder = recorder
        self._clock = clock
        self._workspaces = IdentityStore()

    async def invite(self, by: Actor | Caller, fields: Mapping[str, Any]) -> Link:
        """A new account from `{email, name?, role, workspace?}`, whose owner chooses a password with the token."""
        actor = administrator(by)
        account = self._new(actor, fields, "invited")
        async with self._database.transaction() as conn:
            await self._insert(conn, account)
            link = await self._link(conn, account, "invite", INVITED_S)
            told = Told("account.invite", "user_created", _settings(account))
            await self._recorder.tell(conn, actor, account, told)
        return link

    async def create(self, by: Actor | Caller, fields: Mapping[str, Any], hashed: str) -> Account:
        """The same, active at once with a password that its owner has to change."""
        actor = administrator(by)
        account = msgspec.structs.replace(self._new(actor, fields, "active"), password_hash=hashed, must_change=True)
        async with self._database.transaction() as conn:
            await self._insert(conn, account)
            told = Told("account.create", "user_created", _settings(account))
            await self._recorder.tell(conn, actor, account, told)
        return account

    async def get(self, by: Actor | Caller, account_id: str) -> Account:
        """An account that the actor may see. Raises `NotFound`."""
        actor = administrator(by)
        found = await self._store.account(self._database, _readable(account_id), actor.only_workspace)
        if found is None:
            raise _no_account(account_id)
        return found

    async def find(self, by: Actor | Caller, email: str) -> Account:
        """The same by its address."""
        actor = administrator(by)
        found = await self._store.by_email(self._database, email_of(email))
        if found is None or actor.only_workspace not in {None, found.workspace_id}:
            raise NotFound(f"there is no account of `{email_of(email)}`")
        return found

    async def list(
        self, by: Actor | Caller, workspace: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> AccountPage:
        """A page of accounts."""
        where = workspace_to_list(administrator(by), workspace)
        integer(limit, "limit", 1, PAGE_MAX)
        found = await self._store.page(self._database, where, position_of(cursor), limit + 1)
        more = len(found) > limit
        last = found[limit - 1] if more else None
        return AccountPage(tuple(found[:limit]), None if last is None else cursor_at(last.created_at, last.id))

    async def requests(self, by: Actor | Caller, cursor: str | None = None, limit: int = 50) -> AskedPage:
        """A page of what people asked for: resets of their passwords."""
        where = workspace_to_list(administrator(by), None)
        integer(limit, "limit", 1, PAGE_MAX)
        found = await self._store.requests(self._database, where, position_of(cursor), limit + 1)
        last = found[limit - 1] if len(found) > limit else None
        return AskedPage(tuple(found[:limit]), None if last is None else cursor_at(last.at, last.id))

    async def update(self, by: Actor | Caller, account_id: str, fields: Mapping[str, Any]) -> Account:
        """Change `{name?, role?, workspace?}`. Another role or workspace ends its sessions."""
        async with self._changing(by, account_id) as (conn, actor, old):
            changes: dict[str, Any] = {}
            if fields.get("name") is not None:
                changes["name"] = text(fields["name"], "name", most=100)
            if fields.get("role") is not None:
                changes["role"] = _role(actor, fields["role"])
            if fields.get("workspace") is not None:
                changes["workspace_id"] = await self._existing(conn, actor, fields["workspace"])
            new = msgspec.structs.replace(old, **changes)
            if new == old:
                return old
            rights = (new.role, new.workspace_id) != (old.role, old.workspace_id)
            if rights and actor.name == f"account:{old.id}":
                raise Forbidden("nobody changes their own role; ask another administrator", param="role")
            if new.role != "admin":
                await self._keep_one(conn, old)
            return await self._write(conn, actor, old, new, end_sessions=rights)

    async def disable(self, by: Actor | Caller, account_id: str) -> Account:
        """Let nobody sign in with it; its sessions and links end."""
        async with self._changing(by, account_id) as (conn, actor, old):
            if old.status == "disabled":
                return old
            await self._may_go(conn, actor, old)
            await self._store.drop_tokens(conn, old.id, ("invite", "reset"))
            new = msgspec.structs.replace(old, status="disabled")
            return await self._write(conn, actor, old, new, end_sessions=True)

    async def enable(self, by: Actor | Caller, account_id: str) -> Account:
        """Let its owner sign in again; who never chose a password is invited again."""
        async with self._changing(by, account_id) as (conn, actor, old):
            if old.status != "disabled":
                return old
            chosen = old.password_hash is not None or old.subject is not None
            new = msgspec.structs.replace(old, status="active" if chosen else "invited")
            return await self._write(conn, actor, old, new, end_sessions=False)

    async def delete(self, by: Actor | Caller, account_id: str) -> Account:
        """Forget it for good; the trail keeps what it did under its id."""
        async with self._changing(by, account_id) as (conn, actor, old):
            await self._may_go(conn, actor, old)
            await self._store.delete(conn, old)
            await self._recorder.tell(conn, actor, old, Told("account.delete", "user_deleted"))
            return old

    async def reset(self, by: Actor | Caller, account_id: str) -> Link:
        """A token with which its owner chooses a new password within an hour; who was only invited is invited again."""
        async with self._changing(by, account_id) as (conn, actor, account):
            if account.status == "disabled":
                raise Conflict("the account is disabled; enable it first")
            if account.subject is not None:
                raise Conflict("this person signs in with the identity provider; their password is changed there")
            purpose: Purpose = "invite" if account.status == "invited" else "reset"
            link = await self._link(conn, account, purpose, INVITED_S if purpose == "invite" else RESET_S)
            told = Told(f"account.{purpose}_link", "authn_token_created", {"until": link.until})
            await self._recorder.tell(conn, actor, account, told)
            return link

    async def drop_second_factor(self, by: Actor | Caller, account_id: str) -> Account:
        """Take the second factor away from who lost device and codes; its sessions end."""
        async with self._changing(by, account_id) as (conn, actor, old):
            if not old.totp_on:
                raise Conflict("the account has no second factor")
            now = self._clock.time()
            await self._store.set_totp(conn, old.id, None, now, on=False)
            await self._store.set_codes(conn, old.id, [])
            await self._sessions.end_all(conn, old.id, now, "second factor removed")
            await self._recorder.tell(conn, actor, old, Told("account.second_factor_off", "user_updated"))
            return msgspec.structs.replace(old, totp_on=False, totp_secret=None)

    async def purge(self, requests_kept_s: float) -> int:
        """Forget a batch of expired tokens and of old requests."""
        now = self._clock.time()
        async with self._database.transaction() as conn:
            return await self._store.purge(conn, now, now - requests_kept_s, _BATCH)

    def _new(self, actor: Actor, fields: Mapping[str, Any], status: Any) -> Account:
        now = self._clock.time()
        email = email_of(fields.get("email"))
        given = fields.get("name")
        return Account(
            id=public_id(),
            workspace_id=workspace_to_create_in(actor, fields.get("workspace")),
            email=email,
            name=text(given, "name", most=100) if given else email.partition("@")[0],
            role=_role(actor, fields.get("role")),
            status=status,
            created_at=now,
            updated_at=now,
        )

    async def _insert(self, conn: Any, account: Account) -> None:
        if not await self._workspaces.workspaces_by_ids(conn, [account.workspace_id]):
            raise NotFound(f"there is no workspace `{account.workspace_id}`; create it first", param="workspace")
        if not await self._store.insert(conn, account):
            raise Conflict("there is an account with this e-mail address already", param="email")

    async def _link(self, conn: Any, account: Account, purpose: Purpose, valid_s: float) -> Link:
        token, until = new_token(), self._clock.time() + valid_s
        await self._store.add_token(conn, token_hash(token), account.id, purpose, until)
        return Link(account, token, until)

    async def _existing(self, conn: Any, actor: Actor, wanted: Any) -> str:
        named = workspace_to_create_in(actor, wanted)
        if not await self._workspaces.workspaces_by_ids(conn, [named]):
            raise NotFound(f"there is no workspace `{named}`; create it first", param="workspace")
        return named

    async def _may_go(self, conn: Any, actor: Actor, account: Account) -> None:
        if actor.name == f"account:{account.id}":
            raise Forbidden("nobody disables or deletes their own account; ask another administrator")
        await self._keep_one(conn, account)

    async def _keep_one(self, conn: Any, account: Account) -> None:
        """Raise `Conflict` when nobody would administer everything any more."""
        last = account.role == "admin" and account.status == "active"
        if last and not await self._store.other_administrators(conn, account.id):
            raise Conflict("this is the last administrator; make another one first")

    async def _write(self, conn: Any, actor: Actor, old: Account, new: Account, *, end_sessions: bool) -> Account:
        now = self._clock.time()
        new = msgspec.structs.replace(new, updated_at=now)
        await self._store.update(conn, new)
        if end_sessions:
            await self._sessions.end_all(conn, new.id, now, "rights changed")
        details = differences(_settings(old), _settings(new))
        verb = {"disabled": "disable"}.get(new.status, "enable") if old.status != new.status else "update"
        event: Event = "user_archived" if verb == "disable" else "authz_change" if "role" in details else "user_updated"
        await self._recorder.tell(conn, actor, new, Told(f"account.{verb}", event, details))
        return new

    @asynccontextmanager
    async def _changing(self, by: Actor | Caller, account_id: str) -> AsyncIterator[tuple[Any, Actor, Account]]:
        """A transaction that holds an account which the actor may change."""
        actor = administrator(by)
        async with self._database.transaction() as conn:
            account = await self._store.locked(conn, _readable(account_id), actor.only_workspace)
            if account is None:
                raise _no_account(account_id)
            if not actor.may_grant(account.scopes):
                raise Forbidden("this account has a greater role than yours; ask an administrator")
            yield conn, actor, account


def _role(actor: Actor, value: Any) -> Role:
    role: Any = one_of(value, "role", ROLES)
    if not actor.may_grant(ROLE_SCOPES[role]):
        raise Forbidden(f"you cannot give the role `{role}`: it exceeds your own", param="role")
    found: Role = role
    return found


def _settings(account: Account) -> dict[str, Any]:
    """What an administrator decides, for the trail."""
    view = account_view(account)
    return {name: view[name] for name in ("email", "name", "role", "status", "workspace")}


def _readable(account_id: str) -> str:
    if not (account_id.isascii() and account_id.isalnum()):
        raise _no_account(account_id)
    return account_id


def _no_account(account_id: str) -> NotFound:
    shown = account_id.encode("utf-8", "replace").decode()[:64]
    return NotFound(f"there is no account `{shown}`; list the accounts to find its id")
