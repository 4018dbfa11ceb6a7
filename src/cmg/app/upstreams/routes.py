"""`/admin/v1/upstreams`, `/admin/v1/model-routes` and `/admin/v1/models`: who answers, for what, at which price."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from cmg.app.upstreams.offering import Offering
from cmg.kit.permissions import requires


class UpstreamTimeouts(BaseModel):
    """Seconds."""

    connect_s: float
    first_token_s: float
    idle_s: float
    total_s: float


class UpstreamItem(BaseModel):
    """One upstream; `missing` names what it is not configured without, `models` counts those that it lists.

    How well it answers is told by `/admin/v1/health` as the component `upstream/<name>`.
    """

    name: str
    globs: list[str]
    missing: str | None
    models: int
    synced_at: str | None
    sync_error: str | None
    retries: int
    timeouts: UpstreamTimeouts


class UpstreamPage(BaseModel):
    """All of them, in the order in which their globs are tried."""

    items: list[UpstreamItem]
    next: str | None


class PriceAbove(BaseModel):
    """Another price from so many prompt tokens on."""

    prompt_tokens: int
    price: "PriceItem"


class PriceItem(BaseModel):
    """US dollars per million tokens, and per call; null: as an ordinary token of that direction."""

    prompt_usd_per_mtok: float
    completion_usd_per_mtok: float
    cache_read_usd_per_mtok: float | None
    cache_write_usd_per_mtok: float | None
    reasoning_usd_per_mtok: float | None
    request_usd: float
    above: list[PriceAbove]


class CandidateItem(BaseModel):
    """Who answers; `missing`: why it cannot, `listed`: whether its upstream's catalogue names it."""

    name: str
    upstream: str | None
    model: str | None
    missing: str | None
    listed: bool
    price: PriceItem | None


class ModelRouteItem(BaseModel):
    """A model name of the settings and its candidates, asked in this order."""

    model: str
    candidates: list[CandidateItem]


class ModelRoutePage(BaseModel):
    """All of them."""

    items: list[ModelRouteItem]
    next: str | None


class ModelParameters(BaseModel):
    """Which models. All are text here: what is wrong is told by our own error body."""

    q: str | None = Field(None, description="Words that the id holds")
    upstream: str | None = Field(None, description="An upstream's name")
    cursor: str | None = Field(None, description="The `next` of the page before")
    limit: str | None = Field(None, description="1 to 1000, default 100")


class ModelItem(BaseModel):
    """A model of the synced catalogue; `price_origin`: settings or upstream; `routes`: names that lead to it."""

    id: str
    upstream: str
    model: str
    created: str
    context_length: int | None
    price: PriceItem | None
    price_origin: str | None
    routes: list[str]


class ModelPage(BaseModel):
    """A page of models, by id; `next` is the cursor of the page after it."""

    items: list[ModelItem]
    next: str | None


def router(offering: Offering) -> APIRouter:
    """The routes: nothing is changed here, upstreams and prices stand in the settings file."""
    routes = APIRouter(prefix="/admin/v1", tags=["models"], dependencies=[requires("admin:read")])

    @routes.get("/upstreams", response_model=UpstreamPage, summary="List upstreams")
    async def list_upstreams() -> Any:
        """Whether each is configured, and when its models were synced."""
        return {"items": offering.listed_upstreams(), "next": None}

    @routes.get("/model-routes", response_model=ModelRoutePage, summary="List routes of models")
    async def list_model_routes() -> Any:
        """Names of our own with the candidates that a call goes through until one answers."""
        return {"items": offering.listed_routes(), "next": None}

    @routes.get("/models", response_model=ModelPage, summary="List models with their prices")
    async def list_priced_models(parameters: Annotated[ModelParameters, Query()]) -> Any:
        """What upstreams listed at their last good sync, priced as calls are."""
        return offering.page(parameters.model_dump())

    return routes
