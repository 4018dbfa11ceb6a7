"""`/admin/v1/usage` and `/admin/v1/budget-events`."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from cmg.identity.models import Caller, actor_of
from cmg.kit.clock import rfc3339
from cmg.kit.errors import InvalidRequest
from cmg.kit.money import nano_to_usd
from cmg.kit.parameters.pages import page_size
from cmg.kit.permissions import requires
from cmg.ledger.budget_events import BudgetEvents
from cmg.ledger.reports.csv_table import csv_table
from cmg.ledger.reports.usage_reports import UsageReports

_FORMATS = ("json", "csv")


class UsageParameters(BaseModel):
    """All are text here: what is wrong is told by our own error body."""

    since: str | None = Field(
        None, alias="from", description="A date of the workspace's calendar, or a moment with its offset"
    )
    until: str | None = Field(None, alias="to", description="A date (included) or a moment (left out)")
    group_by: str | None = Field(
        None, description="key, workspace, user, model, tag, day; several separated by commas; default: day"
    )
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    key: str | None = Field(None, description="A key's id")
    user: str | None = Field(None, description="The calls' `user`")
    model: str | None = Field(None, description="The model that was asked for or that answered")
    tag: str | None = Field(None, description="A tag of the key")
    format: str | None = Field(None, description="json or csv; default: as the Accept header says, else json")


class UsageSums(BaseModel):
    """Sums over calls. `errors` counts failed and cut calls; cached and reasoning tokens are parts of the others."""

    calls: int
    errors: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: float
    latency_ms_avg: float


class UsageItem(UsageSums):
    """The sums of one group; only the groups asked for are present."""

    key: str | None = None
    workspace: str | None = None
    user: str | None = None
    model: str | None = None
    tag: str | None = None
    day: str | None = None


class UsageAnswer(BaseModel):
    """Items, most expensive first; `truncated` when there are more. `totals` is complete and counts each call once."""

    items: list[UsageItem]
    totals: UsageSums
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    truncated: bool


class BudgetEventItem(BaseModel):
    """A threshold (share of the budget) was passed, or the key was suspended for it."""

    id: str
    at: str
    workspace: str
    key: str
    owner: str
    kind: str
    period: str
    period_start: str
    budget_usd: float
    threshold: float
    spent_usd: float


class BudgetEventPage(BaseModel):
    """A page of events, newest first; `next` is the cursor of the page after it."""

    items: list[BudgetEventItem]
    next: str | None


def router(usage_reports: UsageReports, budget_events: BudgetEvents) -> APIRouter:
    """The ledger's routes; the composition root sets `request.state.caller`."""
    routes = APIRouter(prefix="/admin/v1", tags=["usage"])

    @routes.get(
        "/usage",
        dependencies=[requires("admin:read")],
        response_model=UsageAnswer,
        response_model_exclude_unset=True,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def usage(request: Request, parameters: Annotated[UsageParameters, Query()]) -> Any:
        """Sums of calls, tokens and cost by the groups asked for, as JSON or CSV."""
        form = _format(parameters.format, request)
        given = parameters.model_dump(by_alias=True, exclude={"format"})
        report = await usage_reports.report(given, _only_workspace(request))
        if form == "csv":
            headers = {"content-disposition": 'attachment; filename="usage.csv"'}
            if report.truncated:
                headers["x-cmg-truncated"] = "true"
            return Response(csv_table(report), media_type="text/csv", headers=headers)
        answer = {"items": report.items, "totals": report.totals, "truncated": report.truncated}
        return {**answer, "from": report.since, "to": report.until}

    @routes.get("/budget-events", dependencies=[requires("admin:read")], response_model=BudgetEventPage)
    async def events(
        request: Request, key: str | None = None, cursor: str | None = None, limit: str = "100"
    ) -> dict[str, Any]:
        """Thresholds of budgets that were passed, newest first."""
        found, following = await budget_events.page(_only_workspace(request), key, cursor, page_size(limit))
        items = [
            {
                "id": event.id,
                "at": rfc3339(event.at),
                "workspace": event.workspace_id,
                "key": event.key_id,
                "owner": event.owner,
                "kind": event.kind,
                "period": event.period,
                "period_start": rfc3339(event.period_start),
                "budget_usd": nano_to_usd(event.budget_nano),
                "threshold": event.threshold,
                "spent_usd": nano_to_usd(event.spent_nano),
            }
            for event in found
        ]
        return {"items": items, "next": following}

    return routes


def _only_workspace(request: Request) -> str | None:
    caller: Caller = request.state.caller
    return actor_of(caller).only_workspace


def _format(text: str | None, request: Request) -> str:
    if text is None:
        return "csv" if request.headers.get("accept", "").startswith("text/csv") else "json"
    if text not in _FORMATS:
        raise InvalidRequest("`format` is json or csv", param="format")
    return text
