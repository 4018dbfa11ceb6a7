"""The use cases of workspaces: create, show, list, update."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.identity.forms.policy import changed_policy
from cmg.identity.forms.text import integer, text, wrong
from cmg.identity.forms.views import differences, workspace_view
from cmg.identity.key_rules import administrator, reader
from cmg.identity.models import Actor, Caller, MemoryPolicy, Workspace
from cmg.identity.store import IdentityStore
from cmg.kit.clock import Clock, time_zones
from cmg.kit.errors import Conflict, Forbidden, NotFound
from cmg.kit.ids import public_id
from cmg.storage.changes import announce
from cmg.storage.database import Database

PAGE_MAX = 200
_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_FIELDS = ("id", "name", "timezone", "memory")
_NO_POLICY = MemoryPolicy()


class WorkspacePage(msgspec.Struct, frozen=True):
    """Workspaces in order of id; `next` is the cursor of the following page."""

    items: tuple[Workspace, ...]
    next: str | None


class Workspaces:
    """Tenants. Actors with `admin` see and change their own, `admin:all` creates and sees all."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock
        self._store = IdentityStore()

    async def create(self, by: Actor | Caller, fields: Mapping[str, Any]) -> Workspace:
        """A new workspace from `{id?, name, timezone?, memory?}`. Raises `Conflict` when the id is taken."""
        actor = administrator(by)
        if not actor.everywhere:
            raise Forbidden("creating workspaces needs the scope `admin:all`", code="missing_scope")
        given = {name: value for name, value in fields.items() if value is not None}
        if "name" not in given:
            raise wrong("name", "must be given")
        blank = Workspace(id=public_id(), name="", created_at=self._clock.time())
        made = msgspec.structs.replace(blank, **_read(given, _NO_POLICY))
        async with self._database.transaction() as conn:
            if not await self._store.insert_workspace(conn, made):
                raise Conflict(f"there is a workspace `{made.id}` already; choose another id", param="id")
            await self._tell(conn, actor, "workspace.create", made, workspace_view(made))
        return made

    async def get(self, by: Actor | Caller, workspace_id: str) -> Workspace:
        """A workspace that the actor may see. Raises `NotFound`."""
        actor = reader(by)
        found = await self._store.workspaces_by_ids(self._database, [_visible(actor, workspace_id)])
        if not found:
            raise _no_workspace(workspace_id)
        return found[0]

    async def list(self, by: Actor | Caller, cursor: str | None = None, limit: int = 50) -> WorkspacePage:
        """A page of workspaces; an actor bound to one sees that one."""
        actor = reader(by)
        integer(limit, "limit", 1, PAGE_MAX)
        if cursor is not None and not _ID.fullmatch(cursor):
            raise wrong("cursor", "is not one that this list gave out; leave it away to begin")
        if not actor.everywhere:
            return WorkspacePage((await self.get(actor, actor.workspace_id),), None)
        found = await self._store.workspaces_after(self._database, cursor or "", limit + 1)
        return WorkspacePage(tuple(found[:limit]), found[limit - 1].id if len(found) > limit else None)

    async def update(self, by: Actor | Caller, workspace_id: str, fields: Mapping[str, Any]) -> Workspace:
        """Change settings; absent ones stay, null brings back UTC, or a memory kept as the service says."""
        actor = administrator(by)
        if "id" in fields:
            raise wrong("id", "cannot be changed")
        fields = {**fields, **({"timezone": "UTC"} if fields.get("timezone", "") is None else {})}
        async with self._database.transaction() as conn:
            old = await self._store.locked_workspace(conn, _visible(actor, workspace_id))
            if old is None:
                raise _no_workspace(workspace_id)
            new = msgspec.structs.replace(old, **_read(fields, old.memory))
            details = differences(workspace_view(old), workspace_view(new))
            if details:
                await self._store.update_workspace(conn, new, self._clock.time())
                await self._tell(conn, actor, "workspace.update", new, details)
            return new

    async def _tell(self, conn: Any, actor: Actor, action: str, workspace: Workspace, details: dict[str, Any]) -> None:
        await self._audit.record(conn, Entry(actor.name, workspace.id, action, workspace.id, details, actor.client))
        await announce(conn, "workspaces", [workspace.id], self._clock.now())


def _read(fields: Mapping[str, Any], policy: MemoryPolicy) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "id":
            if not isinstance(value, str) or not _ID.fullmatch(value):
                raise wrong("id", "must be 1 to 63 of a-z, 0-9, _ and -, and begin with a letter or digit")
            read["id"] = value
        elif name == "name":
            read["name"] = text(value, "name", least=1, most=100)
        elif name == "timezone":
            read["timezone"] = _timezone(value)
        elif name == "memory":
            read["memory"] = _NO_POLICY if value is None else changed_policy(policy, value)
        else:
            raise wrong(name, f"is not known; known are {', '.join(_FIELDS)}")
    return read


def _timezone(value: Any) -> str:
    if not isinstance(value, str) or value not in time_zones():
        raise wrong("timezone", "must be an IANA time zone as in Europe/Berlin")
    return value


def _visible(actor: Actor, workspace_id: str) -> str:
    if not _ID.fullmatch(workspace_id) or not (actor.everywhere or workspace_id == actor.workspace_id):
        raise _no_workspace(workspace_id)
    return workspace_id


def _no_workspace(workspace_id: str) -> NotFound:
    shown = workspace_id.encode("utf-8", "replace").decode()[:64]
    return NotFound(f"there is no workspace `{shown}`; list the workspaces to find its id")
