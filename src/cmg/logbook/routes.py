"""`/admin/v1/logs`: searching what was logged."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from cmg.kit.permissions import requires
from cmg.logbook.searching import Search

Text = Annotated[str | None, Query()]
Visible = Callable[[Request, str | None], str | None]
"""The workspace whose lines a request may see, of the one it names; None: all. Raises `Forbidden`."""


class LogQuery(BaseModel):
    """All are text here: what is wrong is told by our own error body."""

    q: str | None = Field(None, description='Words that a line must hold; "a phrase", or, -not')
    since: str | None = Field(None, description="A time with its offset, a date, or so long ago: 15m, 2h, 7d")
    until: str | None = Field(None, description="As `since`; left out: up to now")
    level: str | None = Field(None, description="debug, info, warning, error, critical: this one and above")
    logger: str | None = Field(None, description="The component: a logger, with everything below it")
    service: str | None = Field(None, description="The program that wrote the line")
    request_id: str | None = Field(None, description="The id that answers carry as x-cmg-request-id")
    trace_id: str | None = Field(None, description="The trace's id, 32 hex digits")
    pattern: str | None = Field(None, description="The number of a pattern of messages")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    cursor: str | None = Field(None, description="`next` of the page before")
    limit: str | None = Field(None, description="How many lines at most, 1 to 1000; default: 100")


class LogPageView(BaseModel):
    """Lines newest first, each by its ECS names."""

    items: list[dict[str, Any]]
    next: str | None


def router(search: Search, visible: Visible) -> APIRouter:
    """The routes of this room: a key with `admin` sees lines of its workspace, with `admin:all` all."""
    routes = APIRouter(prefix="/admin/v1/logs", tags=["logs"])

    @routes.get("", response_model=LogPageView, summary="Search the logs", dependencies=[requires("admin")])
    async def search_logs(request: Request, wanted: Annotated[LogQuery, Query()]) -> Any:
        """By words, time, level, component, request and trace."""
        page = await search.page(wanted.model_dump(), visible(request, wanted.workspace))
        return {"items": page.items, "next": page.next}

    return routes
