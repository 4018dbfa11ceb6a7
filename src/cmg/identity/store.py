"""The tables of identity; the only caller of this room's SQL. Works on the connection or database it is given."""

import sys
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from cmg.identity.models import ApiKey, Budget, Limits, MemoryPolicy, Workspace
from cmg.kit.clock import at
from cmg.storage.named_sql import load

Reader = Any  # a Database or a connection: both have fetch, fetchrow and fetchval

# Most keys have the settings of another key: equal ones are read once and shared.
_read_limits = lru_cache(maxsize=4096)(msgspec.json.Decoder(Limits).decode)
_read_budget = lru_cache(maxsize=4096)(msgspec.json.Decoder(Budget).decode)
_read_policy = lru_cache(maxsize=4096)(msgspec.json.Decoder(MemoryPolicy).decode)


@lru_cache(maxsize=1024)
def _shared(scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sys.intern(scope) for scope in scopes)


class KeyFilter(msgspec.Struct, frozen=True):
    """Which keys to list, newest first, after the position (`before`, `before_id`)."""

    workspace_id: str | None
    states: tuple[str, ...]
    owner: str | None
    tag: str | None
    before: datetime
    before_id: str
    limit: int


class IdentityStore:
    """Rows of `workspaces`, `api_keys` and `api_key_secrets`."""

    def __init__(self) -> None:
        self._sql = load("cmg.identity")

    async def key(self, reader: Reader, key_id: str, workspace_id: str | None = None) -> ApiKey | None:
        """A key by its id, in one workspace or in any."""
        row = await reader.fetchrow(self._sql["key"], key_id, workspace_id)
        return None if row is None else _key(row)

    async def locked_key(self, conn: Any, key_id: str, workspace_id: str | None) -> ApiKey | None:
        """The same, its row held until the transaction ends."""
        if await conn.fetchval(self._sql["lock_key"], key_id, workspace_id) is None:
            return None
        return await self.key(conn, key_id, workspace_id)

    async def keys_by_ids(self, reader: Reader, ids: Sequence[str]) -> list[ApiKey]:
        """Those of the keys that exist and are not revoked."""
        return [_key(row) for row in await reader.fetch(self._sql["keys_by_ids"], list(ids))]

    async def keys_after(self, reader: Reader, last_id: str, limit: int) -> list[ApiKey]:
        """The next keys in order of id that are not revoked."""
        return [_key(row) for row in await reader.fetch(self._sql["keys_after"], last_id, limit)]

    async def keys(self, reader: Reader, wanted: KeyFilter) -> list[ApiKey]:
        """A page of keys, newest first."""
        filters = (wanted.before, wanted.before_id, list(wanted.states), wanted.owner, wanted.tag, wanted.limit)
        if wanted.workspace_id is None:
            rows = await reader.fetch(self._sql["keys_of_all"], *filters)
        else:
            rows = await reader.fetch(self._sql["keys_of_workspace"], wanted.workspace_id, *filters)
        return [_key(row) for row in rows]

    async def keys_of_origin(self, conn: Any, *origins: str, limit: int = 100) -> list[ApiKey]:
        """Keys that exist for one of these reasons, oldest first."""
        return [_key(row) for row in await conn.fetch(self._sql["keys_of_origin"], list(origins), limit)]

    async def lock_first_keys(self, conn: Any) -> None:
        """Be alone with making first keys until the transaction ends."""
        await conn.execute(self._sql["lock_first_keys"])

    async def insert_key(self, conn: Any, key: ApiKey) -> None:
        """Add a key, without its secret."""
        await conn.execute(
            self._sql["insert_key"],
            key.id,
            key.workspace_id,
            *_settings(key),
            key.origin,
            at(key.created_at),
            at(key.updated_at),
        )

    async def update_key(self, conn: Any, key: ApiKey) -> None:
        """Write every setting of a key."""
        await conn.execute(self._sql["update_key"], key.id, key.workspace_id, *_settings(key), at(key.updated_at))

    async def add_secret(self, conn: Any, key_id: str, digest: bytes, now: float) -> None:
        """Let one more secret open the key."""
        await conn.execute(self._sql["add_secret"], key_id, digest, at(now))

    async def end_secrets(self, conn: Any, key_id: str, until: float, now: float) -> None:
        """Let the present secrets end by `until`, and forget those that have ended."""
        await conn.execute(self._sql["end_secrets"], key_id, at(until))
        await conn.execute(self._sql["drop_ended_secrets"], key_id, at(now))

    async def purge(self, conn: Any, secrets_before: float, keys_before: float, limit: int) -> int:
        """Delete at most `limit` each of old secrets and of keys long revoked; returns how many rows went."""
        secrets = await conn.execute(self._sql["purge_secrets"], at(secrets_before), limit)
        keys = await conn.execute(self._sql["purge_keys"], at(keys_before), limit)
        return sum(int(tag.rpartition(" ")[2]) for tag in (secrets, keys))

    async def workspaces_after(self, reader: Reader, last_id: str, limit: int) -> list[Workspace]:
        """The next workspaces in order of id."""
        return [_workspace(row) for row in await reader.fetch(self._sql["all_workspaces"], last_id, limit)]

    async def workspaces_by_ids(self, reader: Reader, ids: Sequence[str]) -> list[Workspace]:
        """Those of the workspaces that exist."""
        return [_workspace(row) for row in await reader.fetch(self._sql["workspaces_by_ids"], list(ids))]

    async def locked_workspace(self, conn: Any, workspace_id: str) -> Workspace | None:
        """A workspace, its row held until the transaction ends."""
        row = await conn.fetchrow(self._sql["lock_workspace"], workspace_id)
        return None if row is None else _workspace(row)

    async def insert_workspace(self, conn: Any, made: Workspace) -> bool:
        """Add a workspace; False when the id is taken."""
        given = (made.id, made.name, made.timezone, at(made.created_at), _policy(made))
        return await conn.fetchval(self._sql["insert_workspace"], *given) is not None

    async def update_workspace(self, conn: Any, changed: Workspace, now: float) -> None:
        """Write the settings of a workspace."""
        given = (changed.id, changed.name, changed.timezone, at(now), _policy(changed))
        await conn.execute(self._sql["update_workspace"], *given)


def _settings(key: ApiKey) -> tuple[Any, ...]:
    """A key's settings in the order of both writing statements."""
    return (
        key.name,
        key.status,
        key.suspended_reason,
        key.description,
        key.owner,
        list(key.tags),
        list(key.scopes),
        key.memory,
        key.memory_scope,
        None if key.models_allow is None else list(key.models_allow),
        list(key.models_block),
        None if key.ip_allow is None else list(key.ip_allow),
        key.default_model,
        key.response_cache_s,
        msgspec.json.encode(key.limits).decode(),
        None if key.budget is None else msgspec.json.encode(key.budget).decode(),
        None if key.expires_at is None else at(key.expires_at),
        None if key.review_at is None else at(key.review_at),
        key.user_prefix,
    )


def _key(row: Any) -> ApiKey:
    ends = row["ends"]
    return ApiKey(
        id=row["id"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        hashes=() if ends is None else tuple(zip(row["hashes"], map(_epoch, ends), strict=True)),
        status=row["status"],
        description=row["description"],
        owner=row["owner"],
        tags=tuple(row["tags"]),
        scopes=_shared(tuple(row["scopes"])),
        memory=row["memory"],
        memory_scope=row["memory_scope"],
        user_prefix=row["user_prefix"],
        models_allow=_tuple(row["models_allow"]),
        models_block=tuple(row["models_block"]),
        ip_allow=_tuple(row["ip_allow"]),
        default_model=row["default_model"],
        response_cache_s=row["response_cache_s"],
        limits=_read_limits(row["limits"]),
        budget=None if row["budget"] is None else _read_budget(row["budget"]),
        expires_at=_epoch(row["expires_at"]),
        review_at=_epoch(row["review_at"]),
        created_at=row["created_at"].timestamp(),
        updated_at=row["updated_at"].timestamp(),
        suspended_reason=row["suspended_reason"],
        origin=row["origin"],
    )


def _workspace(row: Any) -> Workspace:
    return Workspace(
        id=row["id"],
        name=row["name"],
        timezone=row["timezone"],
        created_at=row["created_at"].timestamp(),
        memory=_read_policy(row["memory"]),
    )


def _policy(workspace: Workspace) -> str:
    return msgspec.json.encode(workspace.memory).decode()


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)


def _epoch(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()
