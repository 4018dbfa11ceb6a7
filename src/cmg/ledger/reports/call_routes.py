"""`/admin/v1/requests`: single calls of the ledger."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from cmg.identity.models import Caller, actor_of
from cmg.kit.permissions import requires
from cmg.ledger.reports.calls import Calls


class CallParameters(BaseModel):
    """Which calls; every condition must hold. All are text here: what is wrong is told by our own error body."""

    since: str | None = Field(None, alias="from", description="Ended at or after: a date (UTC) or a moment")
    until: str | None = Field(None, alias="to", description="Ended before this moment, or on this date at the latest")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    key: str | None = Field(None, description="A key's id")
    user: str | None = Field(None, description="The calls' `user`")
    model: str | None = Field(None, description="The model that was asked for or that answered")
    status: str | None = Field(None, description="ok, error, cut, cancelled")
    cursor: str | None = Field(None, description="The `next` of the page before")
    limit: str | None = Field(None, description="1 to 1000, default 100")


class CallItem(BaseModel):
    """One call. `at`: when it ended; cached and reasoning tokens are parts of the others."""

    id: str
    at: str
    workspace: str
    key: str
    user: str | None
    thread: str | None
    agent: str | None
    app: str | None
    tags: list[str]
    route: str
    upstream: str | None
    model_asked: str
    model_answered: str | None
    status: str
    http_status: int
    error_type: str | None
    finish_reason: str | None
    attempts: int
    stream: bool
    replayed: bool
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    cost_origin: str
    latency_ms: float
    ttft_ms: float | None
    memory_status: str
    memory_items: int
    memory_tokens: int
    trace_id: str | None


class CallPage(BaseModel):
    """A page of calls, newest first; `next` is the cursor of the page after it."""

    items: list[CallItem]
    next: str | None


def router(calls: Calls) -> APIRouter:
    """The routes; the composition root sets `request.state.caller`."""
    routes = APIRouter(prefix="/admin/v1/requests", tags=["usage"], dependencies=[requires("admin:read")])

    @routes.get("", response_model=CallPage, summary="List requests")
    async def list_requests(request: Request, parameters: Annotated[CallParameters, Query()]) -> Any:
        """Single calls of the ledger, newest first."""
        return await calls.page(parameters.model_dump(by_alias=True), _only_workspace(request))

    @routes.get("/{id}", response_model=CallItem, summary="Get a request")
    async def get_request(request: Request, id: str) -> Any:  # noqa: A002  the path's name for it
        """One call, by the id that its answer carried as `x-cmg-request-id`."""
        return await calls.one(id, _only_workspace(request))

    return routes


def _only_workspace(request: Request) -> str | None:
    caller: Caller = request.state.caller
    return actor_of(caller).only_workspace
