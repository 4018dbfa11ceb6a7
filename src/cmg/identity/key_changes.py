"""Writing a change of a key: row, audit entry and announcement, in this order and in one transaction."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.authenticator import KEY_FORM, secret_hash
from cmg.identity.models import Actor, ApiKey
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock
from cmg.kit.ids import secret as new_secret
from cmg.storage.changes import announce


class Made(msgspec.Struct, frozen=True):
    """A key with what opens it. `presented` is `cmg_<id>_<secret>`, shown this once and kept nowhere."""

    key: ApiKey
    presented: str

    def __repr__(self) -> str:
        return f"Made({self.key.id})"


class Change(msgspec.Struct, frozen=True):
    """Who does what, for the trail. `details` never hold a secret."""

    actor: Actor
    action: str
    details: Mapping[str, Any] = {}


class KeyChanges:
    """Writes changes of keys into the caller's transaction."""

    def __init__(self, store: IdentityStore, audit: AuditTrail, clock: Clock) -> None:
        self._store = store
        self._audit = audit
        self._clock = clock

    async def insert(self, conn: Any, change: Change, key: ApiKey, presented: str | None = None) -> Made:
        """Add a key that opens with `presented`, or with a new secret."""
        presented = presented or f"cmg_{key.id}_{new_secret()}"
        await self._store.insert_key(conn, key)
        await self._store.add_secret(conn, key.id, presented_hash(presented), self._clock.time())
        return Made(await self._told(conn, change, key), presented)

    async def replace(self, conn: Any, change: Change, key: ApiKey) -> ApiKey:
        """Write a key's new settings or status."""
        await self._store.update_key(conn, key)
        return await self._told(conn, change, key)

    async def add_secret(self, conn: Any, change: Change, key: ApiKey, presented: str, old_until: float) -> Made:
        """Give a key a new secret; the present ones end at `old_until`."""
        now = self._clock.time()
        await self._store.end_secrets(conn, key.id, old_until, now)
        await self._store.add_secret(conn, key.id, presented_hash(presented), now)
        await self._store.update_key(conn, key)
        return Made(await self._told(conn, change, key), presented)

    async def _told(self, conn: Any, change: Change, key: ApiKey) -> ApiKey:
        entry = Entry(change.actor.name, key.workspace_id, change.action, key.id, change.details, change.actor.client)
        await self._audit.record(conn, entry)
        await announce(conn, "keys", [key.id], self._clock.now())
        return await self._store.key(conn, key.id, key.workspace_id) or key


def presented_hash(presented: str) -> bytes:
    """The hash of the secret in a presented key; `ValueError` when it has not the form `cmg_<id>_<secret>`."""
    form = KEY_FORM.fullmatch(presented)
    if form is None:
        raise ValueError("not of the form cmg_<id>_<secret>")
    return secret_hash(form[2])
