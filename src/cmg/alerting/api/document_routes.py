"""`/admin/v1/silences`, `/admin/v1/schedules` and the other documents: list, show, write, remove, alike for all."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import AwareDatetime, BaseModel, Field, create_model

from cmg.alerting.api.routes import By, Limit
from cmg.alerting.setup.configuring import Configuring
from cmg.alerting.setup.documents import KINDS, Document
from cmg.identity.forms.schemas import ERRORS
from cmg.kit.permissions import joined, requires

_NOUNS = {
    "silences": "silence",
    "maintenance-windows": "maintenance window",
    "inhibitions": "inhibition",
    "routes": "alert route",
    "responders": "responder",
    "channels": "notification channel",
    "schedules": "on-call schedule",
    "escalation-policies": "escalation policy",
    "business-calendars": "business calendar",
    "handling": "handling of alerts (`default`)",
    "heartbeats": "heartbeat",
    "drills": "drill",
    "alert-rules": "rule of the workspace's own",
}
PATHS = {"routes": "alert-routes", "channels": "notification-channels", "handling": "alert-handling"}
Name = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", max_length=63)]


def router(configuring: Configuring) -> APIRouter:
    """Four routes for each kind of document."""
    return joined(*(_routes(configuring, kind, document) for kind, document in KINDS.items()))


def _routes(configuring: Configuring, kind: str, document: type[Document]) -> APIRouter:
    routes = APIRouter(prefix=f"/admin/v1/{PATHS.get(kind, kind)}", responses=ERRORS, tags=["alerting"])
    noun = _NOUNS[kind]
    view, page = _views(document)

    async def list_documents(
        by: By, cursor: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = None, limit: Limit = 50
    ) -> Any:
        """By id."""
        items, more = await configuring.page(by, kind, cursor or "", limit)
        return {"items": items, "next": more}

    async def show_document(by: By, name: Name) -> Any:
        """With who wrote it last. Secrets are hidden."""
        return await configuring.get(by, kind, name)

    async def put_document(by: By, name: Name, form: Any) -> Any:
        """In the place of the one with this id, if there is one. It holds at once, for what comes and what is held."""
        return await configuring.put(by, kind, name, form)

    async def remove_document(by: By, name: Name) -> Response:
        """Refused while another document names it."""
        await configuring.remove(by, kind, name)
        return Response(status_code=204)

    put_document.__annotations__["form"] = document
    plain = kind.replace("-", "_")
    look: dict[str, Any] = {"dependencies": [requires("admin:read")]}
    change: dict[str, Any] = {"dependencies": [requires("admin")]}
    routes.get("", response_model=page, summary=f"List every {noun}", operation_id=f"list_{plain}", **look)(
        list_documents
    )
    routes.get("/{name}", response_model=view, summary=f"Show a {noun}", operation_id=f"show_{plain}", **look)(
        show_document
    )
    routes.put("/{name}", response_model=view, summary=f"Write a {noun}", operation_id=f"put_{plain}", **change)(
        put_document
    )
    routes.delete("/{name}", status_code=204, summary=f"Remove a {noun}", operation_id=f"remove_{plain}", **change)(
        remove_document
    )
    return routes


def _views(document: type[Document]) -> tuple[type[BaseModel], type[BaseModel]]:
    """What is shown of a document, and a page of it."""
    name = document.__name__
    view = create_model(
        f"{name}View",
        __base__=document,
        __doc__=document.__doc__,
        id=(str, ...),
        updated_at=(AwareDatetime, ...),
        updated_by=(str, Field(description="as in the audit trail")),
    )
    page = create_model(
        f"{name}PageView",
        __doc__="By id; `next` is the cursor of the following page.",
        items=(list[view], ...),
        next=(str | None, ...),
    )
    return view, page
