"""`/admin/v1/keys`, `/admin/v1/workspaces` and `/admin/v1/audit`."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Request

from cmg.audit.trail import AuditTrail, Wanted
from cmg.identity.forms import schemas
from cmg.identity.forms.schemas import ERRORS
from cmg.identity.forms.text import text
from cmg.identity.forms.views import entry_view, key_view, workspace_view
from cmg.identity.key_changes import Made
from cmg.identity.key_rules import workspace_to_list
from cmg.identity.keys import Keys, KeysWanted
from cmg.identity.models import Actor, Caller, actor_of
from cmg.identity.workspaces import Workspaces
from cmg.kit.clock import Clock
from cmg.kit.permissions import joined, requires


def _actor(request: Request) -> Actor:
    caller: Caller = request.state.caller
    return actor_of(caller)


_READ, _CHANGE = [requires("admin:read")], [requires("admin")]

By = Annotated[Actor, Depends(_actor)]
Text = Annotated[str | None, Query()]
Limit = Annotated[int, Query(ge=1, le=200)]


def router(keys: Keys, workspaces: Workspaces, audit: AuditTrail, clock: Clock) -> APIRouter:
    """`admin:read` sees, `admin` changes and reads the trail, `admin:all` walks along the whole of it."""
    return joined(
        _key_routes(keys, clock), _key_actions(keys, clock), _workspace_routes(workspaces), _audit_routes(audit)
    )


def _key_routes(keys: Keys, clock: Clock) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/keys", responses=ERRORS, tags=["keys"])

    @routes.post("", status_code=201, response_model=schemas.MadeKeyView, summary="Create a key", dependencies=_CHANGE)
    async def create_key(by: By, form: schemas.KeyForm) -> Any:
        """The answer holds the secret as `key`, this once."""
        return _made(await keys.create(by, form.given()), clock)

    @routes.get("", response_model=schemas.KeyPageView, summary="List keys", dependencies=_READ)
    async def list_keys(by: By, wanted: Annotated[schemas.KeyQuery, Query()]) -> Any:
        """Newest first; revoked keys only with `state=revoked`."""
        page = await keys.list(by, KeysWanted(**wanted.model_dump()))
        return {"items": [key_view(key, clock.time()) for key in page.items], "next": page.next}

    @routes.get("/{key_id}", response_model=schemas.KeyView, summary="Show a key", dependencies=_READ)
    async def show_key(by: By, key_id: str) -> Any:
        """Everything but the secret."""
        return key_view(await keys.get(by, key_id), clock.time())

    @routes.patch("/{key_id}", response_model=schemas.KeyView, summary="Change a key", dependencies=_CHANGE)
    async def change_key(by: By, key_id: str, form: schemas.KeyPatch) -> Any:
        """Absent fields stay, null brings back the default, `limits` and `budget` are merged (RFC 7396)."""
        return key_view(await keys.update(by, key_id, form.given()), clock.time())

    @routes.delete("/{key_id}", response_model=schemas.KeyView, summary="Revoke a key", dependencies=_CHANGE)
    async def revoke_key(by: By, key_id: str) -> Any:
        """For good; it stops within two seconds in every process."""
        return key_view(await keys.revoke(by, key_id), clock.time())

    return routes


def _key_actions(keys: Keys, clock: Clock) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/keys", responses=ERRORS, tags=["keys"], dependencies=_CHANGE)

    @routes.post("/{key_id}/rotate", response_model=schemas.MadeKeyView, summary="Give a key a new secret")
    async def rotate_key(by: By, key_id: str, form: Annotated[schemas.RotateForm | None, Body()] = None) -> Any:
        """The old secret goes on for `grace_s` seconds (a day by default)."""
        return _made(await keys.rotate(by, key_id, (form or schemas.RotateForm()).grace_s), clock)

    @routes.post("/{key_id}/clone", status_code=201, response_model=schemas.MadeKeyView, summary="Clone a key")
    async def clone_key(by: By, key_id: str, form: Annotated[schemas.KeyPatch | None, Body()] = None) -> Any:
        """A new key and secret with the same settings, those sent laid over them."""
        return _made(await keys.clone(by, key_id, {} if form is None else form.given()), clock)

    @routes.post("/{key_id}/suspend", response_model=schemas.KeyView, summary="Suspend a key")
    async def suspend_key(by: By, key_id: str, form: Annotated[schemas.SuspendForm | None, Body()] = None) -> Any:
        """Until it is resumed; its calls get 403 with the reason."""
        return key_view(await keys.suspend(by, key_id, None if form is None else form.reason), clock.time())

    @routes.post("/{key_id}/resume", response_model=schemas.KeyView, summary="Resume a suspended key")
    async def resume_key(by: By, key_id: str, form: Annotated[schemas.EmptyForm | None, Body()] = None) -> Any:
        """Let it work again."""
        del form
        return key_view(await keys.resume(by, key_id), clock.time())

    return routes


def _workspace_routes(workspaces: Workspaces) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/workspaces", responses=ERRORS, tags=["workspaces"])

    @routes.post(
        "", status_code=201, response_model=schemas.WorkspaceView, summary="Create a workspace", dependencies=_CHANGE
    )
    async def create_workspace(by: By, form: schemas.WorkspaceForm) -> Any:
        """Needs `admin:all`."""
        return workspace_view(await workspaces.create(by, form.given()))

    @routes.get("", response_model=schemas.WorkspacePageView, summary="List workspaces", dependencies=_READ)
    async def list_workspaces(by: By, cursor: Text = None, limit: Limit = 50) -> Any:
        """All of them with `admin:all`, else the caller's own."""
        page = await workspaces.list(by, cursor, limit)
        return {"items": [workspace_view(one) for one in page.items], "next": page.next}

    @routes.get("/{workspace_id}", response_model=schemas.WorkspaceView, summary="Show a workspace", dependencies=_READ)
    async def show_workspace(by: By, workspace_id: str) -> Any:
        """Its name, time zone, and how its memory is kept."""
        return workspace_view(await workspaces.get(by, workspace_id))

    @routes.patch(
        "/{workspace_id}", response_model=schemas.WorkspaceView, summary="Change a workspace", dependencies=_CHANGE
    )
    async def change_workspace(by: By, workspace_id: str, form: schemas.WorkspacePatch) -> Any:
        """The time zone moves the beginning of budgets' days. What is redacted or kept shorter holds from now on."""
        return workspace_view(await workspaces.update(by, workspace_id, form.given()))

    return routes


def _audit_routes(audit: AuditTrail) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1/audit", responses=ERRORS, tags=["audit"])

    @routes.get(
        "", response_model=schemas.EntryPageView, summary="Read the audit trail", dependencies=[requires("admin")]
    )
    async def list_audit(by: By, wanted: Annotated[schemas.AuditQuery, Query()]) -> Any:
        """Newest first; the caller's own workspace, or all of them with `admin:all`."""
        filters = {name: None if one is None else text(one, name, most=200) for name, one in wanted.filters().items()}
        where = workspace_to_list(by, wanted.workspace)
        page = await audit.list(Wanted(where, **filters, cursor=wanted.cursor, limit=wanted.limit))
        return {"items": [entry_view(entry) for entry in page.items], "next": page.next}

    @routes.get(
        "/verify",
        response_model=schemas.VerificationView,
        summary="Verify the audit trail",
        dependencies=[requires("admin:all")],
    )
    async def verify_audit() -> Any:
        """Walks the whole chain of hashes and says where it is broken."""
        return msgspec.structs.asdict(await audit.verify())

    return routes


def _made(made: Made, clock: Clock) -> dict[str, Any]:
    return {**key_view(made.key, clock.time()), "key": made.presented}
