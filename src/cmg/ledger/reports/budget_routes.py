"""`/admin/v1/budgets`: how far each budget is used up."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from cmg.identity.models import Caller, actor_of
from cmg.kit.permissions import requires
from cmg.ledger.reports.budgets import Budgets


class BudgetParameters(BaseModel):
    """Which budgets. All are text here: what is wrong is told by our own error body."""

    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    cursor: str | None = Field(None, description="The `next` of the page before")
    limit: str | None = Field(None, description="1 to 200, default 50")


class BudgetItem(BaseModel):
    """A key's budget in its present period; `share` is what was spent of it, more than 1 when it was lowered.

    `period_start` and `period_end` are null for a lifetime. `alert_at`: shares at which the owner is told.
    """

    key: str
    name: str
    workspace: str
    owner: str
    state: str
    period: str
    period_start: str | None
    period_end: str | None
    budget_usd: float
    spent_usd: float
    share: float
    alert_at: list[float]
    auto_suspend: bool


class BudgetPage(BaseModel):
    """A page of budgets, by the keys' names; `next` is the cursor of the page after it."""

    items: list[BudgetItem]
    next: str | None


def router(budgets: Budgets) -> APIRouter:
    """The route; the composition root sets `request.state.caller`. A budget is changed with its key."""
    routes = APIRouter(prefix="/admin/v1/budgets", tags=["usage"], dependencies=[requires("admin:read")])

    @routes.get("", response_model=BudgetPage, summary="List budgets")
    async def list_budgets(request: Request, parameters: Annotated[BudgetParameters, Query()]) -> Any:
        """Keys with a budget, and what they have spent of it in its present period."""
        caller: Caller = request.state.caller
        return await budgets.page(parameters.model_dump(), actor_of(caller).only_workspace)

    return routes
