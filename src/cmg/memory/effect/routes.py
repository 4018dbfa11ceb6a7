"""`GET /admin/v1/memory/effectiveness`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from cmg.identity.models import actor_of
from cmg.kit.permissions import requires
from cmg.memory.effect.report import EffectReports


class EffectParameters(BaseModel):
    """All are text here: what is wrong is told by our own error body."""

    since: str | None = Field(None, alias="from", description="A date of UTC, included; default: 30 days")
    until: str | None = Field(None, alias="to", description="A date of UTC, included; default: today")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")


class CallsView(BaseModel):
    """Sums over chat calls, and what one call has on average (null: there was none). `errors`: failed and cut calls."""

    calls: int
    errors: int
    error_rate: float | None
    calls_with_items: int
    items: int
    memory_tokens: int
    prompt_tokens: int
    completion_tokens: int
    tokens_per_call: float | None
    cost_usd: float
    cost_usd_per_call: float | None
    latency_ms_avg: float | None


class UseView(BaseModel):
    """What became of injected items that are stored.

    Used: the answer holds rare words of theirs that the question does not hold. `items_unjudged`: nobody compared
    them, since only a sample is. `use_rate`: of those that were judged.
    """

    notes: int
    notes_judged: int
    notes_used: int
    items_injected: int
    items_used: int
    items_ignored: int
    items_unjudged: int
    use_rate: float | None
    calls_shortened: int
    messages_left_out: int


class JudgementsView(BaseModel):
    """Judgements of items (`POST /v1/feedback`); `rate`: per item that was injected."""

    helpful: int
    not_helpful: int
    outdated: int
    duplicate: int
    rate: float | None


class EffectItem(BaseModel):
    """One workspace: calls that read memory, calls that the hold-out kept from it, and what became of notes."""

    workspace: str
    memory: CallsView
    holdout: CallsView
    use: UseView
    feedback: JudgementsView


class EffectAnswer(BaseModel):
    """Workspaces by name; `from` and `to` are days of UTC, both included."""

    items: list[EffectItem]
    since: str = Field(alias="from")
    until: str = Field(alias="to")


def router(reports: EffectReports) -> APIRouter:
    """The route; the composition root sets `request.state.caller`."""
    routes = APIRouter(prefix="/admin/v1/memory", tags=["memory"])

    @routes.get("/effectiveness", dependencies=[requires("admin:read")], response_model=EffectAnswer)
    async def effectiveness(request: Request, parameters: Annotated[EffectParameters, Query()]) -> Any:
        """Whether memory is of use: calls with it beside calls held out of it, items used and ignored, feedback."""
        only = actor_of(request.state.caller).only_workspace
        period, items = await reports.report(parameters.since, parameters.until, parameters.workspace, only)
        return {"items": items, "from": period.first.isoformat(), "to": period.last.isoformat()}

    return routes
