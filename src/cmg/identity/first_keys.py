"""Keys that the service makes by itself: the one of the settings, the first application's, the administrator's."""

from typing import Any

import msgspec

from cmg.identity.authenticator import KEY_FORM
from cmg.identity.forms.views import settings_view
from cmg.identity.key_changes import Change, KeyChanges, presented_hash
from cmg.identity.models import (
    APPLICATION_SCOPES,
    DEFAULT_WORKSPACE,
    SCOPES,
    SYSTEM,
    ApiKey,
    Origin,
)
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, InvalidRequest
from cmg.kit.ids import public_id
from cmg.kit.scopes import EVERYTHING
from cmg.storage.database import Database

_BOOTSTRAP_SECRET_MIN = 16


class FirstKeys:
    """Makes each of them at most once, also when several services start at once on one database."""

    def __init__(self, database: Database, store: IdentityStore, changes: KeyChanges, clock: Clock) -> None:
        self._database = database
        self._store = store
        self._changes = changes
        self._clock = clock

    async def ensure_bootstrap(self, presented: str | None) -> None:
        """Make this key work with every scope, and revoke former bootstrap keys; None: only the latter.

        Nothing is written when all is so already. Another secret for the same id replaces the old one at once.
        Raises `InvalidRequest` for a malformed key, `Conflict` when the id belongs to another key.
        """
        key_id = None if presented is None else _bootstrap_id(presented)
        async with self._database.transaction() as conn:
            await self._store.lock_first_keys(conn)
            for former in await self._store.keys_of_origin(conn, "bootstrap"):
                if former.id != key_id and former.status != "revoked":
                    gone = msgspec.structs.replace(former, status="revoked", updated_at=self._clock.time())
                    change = Change(SYSTEM, "key.revoke", {"reason": "CMG_BOOTSTRAP_KEY names another key or none"})
                    await self._changes.replace(conn, change, gone)
            if presented is not None and key_id is not None:
                await self._ensure(conn, key_id, presented)

    async def _ensure(self, conn: Any, key_id: str, presented: str) -> None:
        key = await self._store.locked_key(conn, key_id, None)
        now = self._clock.time()
        if key is None:
            made = self._key("bootstrap", "bootstrap", SCOPES, key_id)
            await self._changes.insert(conn, Change(SYSTEM, "key.create", settings_view(made)), made, presented)
            return
        if key.origin != "bootstrap":
            raise Conflict(f"CMG_BOOTSTRAP_KEY: the id {key_id} belongs to another key; choose another id")
        opens = [digest for digest, until in key.hashes if until is None]
        settled = (key.status, key.scopes, key.expires_at) == ("active", SCOPES, None)
        if settled and opens == [presented_hash(presented)]:
            return
        anew = msgspec.structs.replace(
            key, status="active", suspended_reason=None, scopes=SCOPES, expires_at=None, updated_at=now
        )
        await self._changes.add_secret(conn, Change(SYSTEM, "key.bootstrap"), anew, presented, now)

    async def ensure_first_key(self) -> str | None:
        """A key for a first application, when nobody has made a key yet; its secret, to be shown once, else None."""
        return await self._once(("api", "first"), self._key("first", "first application", APPLICATION_SCOPES))

    async def ensure_admin_key(self) -> str | None:
        """The administrator's key with `admin:all`, when there never was one; its secret, to be shown once."""
        return await self._once(("administrator",), self._key("administrator", "administrator", (EVERYTHING,)))

    async def _once(self, unless: tuple[Origin, ...], key: ApiKey) -> str | None:
        async with self._database.transaction() as conn:
            await self._store.lock_first_keys(conn)
            if await self._store.keys_of_origin(conn, *unless, limit=1):
                return None
            made = await self._changes.insert(conn, Change(SYSTEM, "key.create", settings_view(key)), key)
            return made.presented

    def _key(self, origin: Origin, name: str, scopes: tuple[str, ...], key_id: str | None = None) -> ApiKey:
        now = self._clock.time()
        return ApiKey(
            id=key_id or public_id(),
            workspace_id=DEFAULT_WORKSPACE,
            name=name,
            scopes=scopes,
            origin=origin,
            created_at=now,
            updated_at=now,
        )


def _bootstrap_id(presented: str) -> str:
    form = KEY_FORM.fullmatch(presented)
    if form is None or len(form[2]) < _BOOTSTRAP_SECRET_MIN:
        raise InvalidRequest(
            "CMG_BOOTSTRAP_KEY must be cmg_<id>_<secret>: the id 1 to 40 letters and digits, the secret "
            f"{_BOOTSTRAP_SECRET_MIN} to 128 of them or of - and _, drawn at random",
            param="CMG_BOOTSTRAP_KEY",
        )
    return form[1]
