"""`/admin/v1/traces`: what was kept of the last hours' requests and jobs."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from cmg.kit.permissions import requires
from cmg.traces.reading import TraceReader

OnlyWorkspace = Callable[[Request], str | None]


class TraceParameters(BaseModel):
    """Which traces; every condition must hold."""

    model_config = ConfigDict(populate_by_name=True)
    since: str | None = Field(None, alias="from", description="Begun at or after this moment")
    until: str | None = Field(None, alias="to", description="Begun before this moment")
    status: str | None = Field(None, description="ok or error")
    model: str | None = Field(None, description="The model that was asked for")
    workspace: str | None = Field(None, description="For keys that see every workspace")
    min_ms: str | None = Field(None, description="At least so many milliseconds long")
    order: str | None = Field(None, description="newest (default) or slowest")
    cursor: str | None = Field(None, description="The `next` of the page before")
    limit: str | None = Field(None, description="1 to 1000, default 100")


class TraceItem(BaseModel):
    """One request or job. `kept_for`: error, slow, asked (by the caller's traceparent) or share (of the ordinary)."""

    trace_id: str
    request_id: str
    at: str
    workspace: str | None
    kind: str
    name: str
    model: str | None
    status: str
    http_status: int | None
    duration_ms: float
    kept_for: str
    spans: int


class TracePage(BaseModel):
    """A page of traces; `next` is the cursor of the page after it."""

    items: list[TraceItem]
    next: str | None


class SpanNode(BaseModel):
    """A span; `start_ms` counts from the trace's first span, `self_ms` is what no child covers."""

    span_id: str
    parent_id: str | None
    name: str
    part: str
    kind: str
    status: str
    start_ms: float
    duration_ms: float
    self_ms: float
    attributes: dict[str, Any]
    children: list["SpanNode"]


class WhereItem(BaseModel):
    """A span that took much of the time itself."""

    span_id: str
    name: str
    part: str
    self_ms: float
    share: float


class TraceTree(BaseModel):
    """One trace: its requests and jobs, where its time went, and all of its spans."""

    trace_id: str
    started_at: str
    duration_ms: float
    status: str
    parts: list[TraceItem]
    where: list[WhereItem]
    spans: list[SpanNode]


def router(reader: TraceReader, only_workspace: OnlyWorkspace) -> APIRouter:
    """The room's routes; `only_workspace` tells whose traces a request may see."""
    routes = APIRouter(prefix="/admin/v1/traces", tags=["traces"])

    @routes.get("", dependencies=[requires("admin:read")], response_model=TracePage)
    async def traces(request: Request, parameters: Annotated[TraceParameters, Query()]) -> dict[str, Any]:
        """Kept traces of the last hours, newest or slowest first."""
        return await reader.page(parameters.model_dump(by_alias=True), only_workspace(request))

    @routes.get("/{id}", dependencies=[requires("admin:read")], response_model=TraceTree)
    async def trace(request: Request, id: str) -> dict[str, Any]:  # noqa: A002  the path's name for it
        """One trace as a tree with times; `id` is its own or that of a request (`x-cmg-request-id`)."""
        return await reader.trace(id, only_workspace(request))

    return routes
