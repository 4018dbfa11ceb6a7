"""The use cases of API keys. Every change is checked against its actor, audited and announced in one transaction.

An actor with `admin` sees and changes keys of its own workspace; other workspaces' keys do not exist for it. Nobody
grants, or gets hold of, scopes beyond their own: not by creating a key, nor by changing, cloning or rotating one.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from cmg.audit.trail import AuditTrail
from cmg.identity.first_keys import FirstKeys
from cmg.identity.forms.fields import changed
from cmg.identity.forms.text import integer, text, wrong
from cmg.identity.forms.views import differences, settings_view
from cmg.identity.key_changes import Change, KeyChanges, Made
from cmg.identity.key_rules import (
    OF_ITSELF,
    administrator,
    check_alive,
    check_grant,
    check_not_from_settings,
    cursor_after,
    no_key,
    position_of,
    readable_id,
    reader,
    workspace_to_create_in,
    workspace_to_list,
)
from cmg.identity.models import SYSTEM, Actor, ApiKey, Caller
from cmg.identity.store import IdentityStore, KeyFilter
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, Forbidden, NotFound
from cmg.kit.ids import public_id
from cmg.kit.ids import secret as new_secret
from cmg.storage.database import Database

GRACE_S = 86_400
GRACE_S_MAX = 30 * 86_400
SECRETS_MAX = 5
PAGE_MAX = 200
STATES = ("active", "suspended", "revoked")
_SECRETS_KEPT_S = 86_400
_REVOKED_KEPT_S = 400 * 86_400
_PURGE_BATCH = 1000


class KeysWanted(msgspec.Struct, frozen=True):
    """Which keys to list. `state` None: all but the revoked; `workspace` only for actors who see several."""

    workspace: str | None = None
    state: str | None = None
    owner: str | None = None
    tag: str | None = None
    cursor: str | None = None
    limit: int = 50


class KeyPage(msgspec.Struct, frozen=True):
    """Keys, newest first; `next` is the cursor of the following page."""

    items: tuple[ApiKey, ...]
    next: str | None


class Keys:
    """API keys: create, show, list, update, rotate, clone, suspend, resume, revoke."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._store = IdentityStore()
        self._changes = KeyChanges(self._store, audit, clock)
        self._first = FirstKeys(database, self._store, self._changes, clock)

    async def create(self, by: Actor | Caller, fields: Mapping[str, Any]) -> Made:
        """A new key with its secret. `fields` as in the contract; raises `InvalidRequest` naming the wrong one."""
        actor = administrator(by)
        if fields.get("name") is None:
            raise wrong("name", "must be given")
        settings = {name: value for name, value in fields.items() if name != "workspace" and value is not None}
        now = self._clock.time()
        empty = ApiKey(id=public_id(), workspace_id=workspace_to_create_in(actor, fields.get("workspace")), name="")
        key = msgspec.structs.replace(changed(empty, settings, now), created_at=now, updated_at=now)
        check_grant(actor, key.scopes)
        async with self._database.transaction() as conn:
            await self._check_workspace(conn, key.workspace_id)
            return await self._changes.insert(conn, Change(actor, "key.create", settings_view(key)), key)

    async def get(self, by: Actor | Caller, key_id: str) -> ApiKey:
        """A key that the actor may see, revoked ones too. Raises `NotFound`."""
        actor = reader(by)
        found = await self._store.key(self._database, readable_id(key_id), actor.only_workspace)
        if found is None:
            raise no_key(key_id)
        return found

    async def list(self, by: Actor | Caller, wanted: KeysWanted) -> KeyPage:
        """A page of keys. Raises `InvalidRequest` for an odd cursor, limit or filter."""
        actor = reader(by)
        limit = integer(wanted.limit, "limit", 1, PAGE_MAX)
        if wanted.state is not None and wanted.state not in STATES:
            raise wrong("state", f"must be one of {', '.join(STATES)}")
        before, before_id = position_of(wanted.cursor)
        found = await self._store.keys(
            self._database,
            KeyFilter(
                workspace_id=workspace_to_list(actor, wanted.workspace),
                states=STATES[:2] if wanted.state is None else (wanted.state,),
                owner=None if wanted.owner is None else text(wanted.owner, "owner", most=200),
                tag=None if wanted.tag is None else text(wanted.tag, "tag", most=64),
                before=before,
                before_id=before_id,
                limit=limit + 1,
            ),
        )
        return KeyPage(tuple(found[:limit]), cursor_after(found[limit - 1]) if len(found) > limit else None)

    async def update(self, by: Actor | Caller, key_id: str, fields: Mapping[str, Any]) -> ApiKey:
        """Change settings: absent ones stay, null brings back the default, `limits` and `budget` are merged."""
        async with self._changing(by, key_id) as (conn, actor, key):
            check_alive(key)
            if actor.key_id == key.id and not actor.everywhere and not OF_ITSELF.issuperset(fields):
                raise Forbidden("a key cannot change its own rights, limits or budget; use another key")
            now = self._clock.time()
            new = changed(key, fields, now)
            check_grant(actor, new.scopes)
            details = differences(settings_view(key), settings_view(new))
            if not details:
                return key
            new = msgspec.structs.replace(new, updated_at=now)
            return await self._changes.replace(conn, Change(actor, "key.update", details), new)

    async def rotate(self, by: Actor | Caller, key_id: str, grace_s: int = GRACE_S) -> Made:
        """A new secret; the old ones work for `grace_s` seconds more (0: no longer). `Conflict` over 5 secrets."""
        integer(grace_s, "grace_s", 0, GRACE_S_MAX)
        async with self._changing(by, key_id) as (conn, actor, key):
            check_alive(key)
            check_not_from_settings(key)
            now = self._clock.time()
            valid = sum(until is None or until > now for _, until in key.hashes)
            if grace_s and valid >= SECRETS_MAX:
                raise Conflict(f"the key has {valid} valid secrets already; rotate with `grace_s` 0, or wait")
            presented = f"cmg_{key.id}_{new_secret()}"
            renewed = msgspec.structs.replace(key, updated_at=now)
            change = Change(actor, "key.rotate", {"grace_s": grace_s})
            return await self._changes.add_secret(conn, change, renewed, presented, now + grace_s)

    async def clone(self, by: Actor | Caller, key_id: str, fields: Mapping[str, Any] | None = None) -> Made:
        """A new key with the same settings, `fields` laid over them, and a secret of its own."""
        async with self._changing(by, key_id) as (conn, actor, key):
            check_alive(key)
            now = self._clock.time()
            over = dict(fields or {})
            over.setdefault("name", f"{key.name[:90]} (copy)")
            if key.expired(now) and "expires_at" not in over:
                raise Conflict("the key has expired; send a new `expires_at` for its clone, or null")
            copy = ApiKey(id=public_id(), workspace_id=key.workspace_id, name=key.name)
            same = {name: getattr(key, name) for name in settings_view(key)}
            new = changed(msgspec.structs.replace(copy, **same), over, now)
            check_grant(actor, new.scopes)
            new = msgspec.structs.replace(new, created_at=now, updated_at=now)
            details = {"cloned_from": key.id, **settings_view(new)}
            return await self._changes.insert(conn, Change(actor, "key.clone", details), new)

    async def suspend(self, by: Actor | Caller, key_id: str, reason: str | None = None) -> ApiKey:
        """Refuse the key until it is resumed; whoever uses it is told the reason."""
        told = text(reason, "reason", most=500) if reason is not None else None
        async with self._changing(by, key_id) as (conn, actor, key):
            check_alive(key)
            check_not_from_settings(key)
            return await self._suspended(conn, Change(actor, "key.suspend", {"reason": told}), key, told)

    async def resume(self, by: Actor | Caller, key_id: str) -> ApiKey:
        """Let a suspended key work again."""
        async with self._changing(by, key_id) as (conn, actor, key):
            check_alive(key)
            if key.status == "active":
                return key
            new = msgspec.structs.replace(key, status="active", suspended_reason=None, updated_at=self._clock.time())
            return await self._changes.replace(conn, Change(actor, "key.resume"), new)

    async def revoke(self, by: Actor | Caller, key_id: str) -> ApiKey:
        """End the key for good; revoking it again changes nothing."""
        async with self._changing(by, key_id) as (conn, actor, key):
            if key.status == "revoked":
                return key
            check_not_from_settings(key)
            new = msgspec.structs.replace(key, status="revoked", updated_at=self._clock.time())
            return await self._changes.replace(conn, Change(actor, "key.revoke"), new)

    async def suspend_for_budget(self, workspace_id: str, key_id: str, reason: str, conn: Any = None) -> bool:
        """Suspend a key whose budget is used up; False when it is not active any more.

        With `conn` in the caller's transaction: one key a transaction, as its last step (`AuditTrail.record`).
        """
        if conn is None:
            async with self._database.transaction() as own:
                return await self.suspend_for_budget(workspace_id, key_id, reason, own)
        key = await self._store.locked_key(conn, key_id, workspace_id)
        if key is None or key.status != "active":
            return False
        await self._suspended(conn, Change(SYSTEM, "key.suspend", {"reason": reason}), key, reason)
        return True

    async def ensure_bootstrap(self, presented: str | None) -> None:
        """Make `CMG_BOOTSTRAP_KEY` work, and no former one (see `FirstKeys.ensure_bootstrap`)."""
        await self._first.ensure_bootstrap(presented)

    async def ensure_first_key(self) -> str | None:
        """The first application's key, at the first start only (see `FirstKeys.ensure_first_key`)."""
        return await self._first.ensure_first_key()

    async def ensure_admin_key(self) -> str | None:
        """The administrator's key, at the first start only (see `FirstKeys.ensure_admin_key`)."""
        return await self._first.ensure_admin_key()

    async def purge(self) -> int:
        """Forget a batch of secrets a day after their end and of keys 400 days after their revocation."""
        now = self._clock.time()
        async with self._database.transaction() as conn:
            return await self._store.purge(conn, now - _SECRETS_KEPT_S, now - _REVOKED_KEPT_S, _PURGE_BATCH)

    async def _suspended(self, conn: Any, change: Change, key: ApiKey, reason: str | None) -> ApiKey:
        now = self._clock.time()
        new = msgspec.structs.replace(key, status="suspended", suspended_reason=reason, updated_at=now)
        return await self._changes.replace(conn, change, new)

    @asynccontextmanager
    async def _changing(self, by: Actor | Caller, key_id: str) -> AsyncIterator[tuple[Any, Actor, ApiKey]]:
        """A transaction that holds a key which the actor may change."""
        actor = administrator(by)
        async with self._database.transaction() as conn:
            key = await self._store.locked_key(conn, readable_id(key_id), actor.only_workspace)
            if key is None:
                raise no_key(key_id)
            if not actor.may_grant(key.scopes):
                raise Forbidden("this key has scopes that yours lacks; use a key with `admin:all`")
            yield conn, actor, key

    async def _check_workspace(self, conn: Any, workspace_id: str) -> None:
        if not await self._store.workspaces_by_ids(conn, [workspace_id]):
            raise NotFound(f"there is no workspace `{workspace_id}`; create it first", param="workspace")
