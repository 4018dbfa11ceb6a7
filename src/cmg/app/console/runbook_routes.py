"""`/admin/v1/runbooks`: what to do when an alert fires, as it was shipped with this version."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from cmg.catalogue.runbook_texts import runbooks
from cmg.kit.errors import NotFound
from cmg.kit.permissions import requires


class RunbookItem(BaseModel):
    """A runbook without its text."""

    name: str
    title: str


class RunbookPage(BaseModel):
    """All of them, by name."""

    items: list[RunbookItem]
    next: str | None


class RunbookView(RunbookItem):
    """`text` is Markdown."""

    text: str


def router() -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/admin/v1/runbooks", tags=["alerts"], dependencies=[requires("admin:read")])

    @routes.get("", response_model=RunbookPage, summary="List runbooks")
    async def list_runbooks() -> Any:
        """Names and titles."""
        return {"items": [{"name": one.name, "title": one.title} for one in runbooks().values()], "next": None}

    @routes.get("/{name}", response_model=RunbookView, summary="Get a runbook")
    async def get_runbook(name: str) -> Any:
        """Its text."""
        found = runbooks().get(name)
        if found is None:
            raise NotFound(f"there is no runbook `{name}`", code="unknown_runbook", param="name")
        return found._asdict()

    return routes
