"""Beside the documents of rules themselves: how a rule stands, and rules that are ready to be taken."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel, Field

from cmg.alerting.api.routes import By
from cmg.alerting.lifecycle.leading import policy_for
from cmg.alerting.owned import store
from cmg.alerting.owned.evaluating import labels_of_rule
from cmg.alerting.owned.store import RuleState
from cmg.alerting.owned.templates import TEMPLATES
from cmg.alerting.setup.documents import AlertRule
from cmg.alerting.store import AlertingStore
from cmg.identity.forms.schemas import ERRORS
from cmg.identity.models import Actor
from cmg.kit.clock import at
from cmg.kit.errors import NotFound
from cmg.kit.permissions import requires
from cmg.storage.database import Database


class ActiveView(BaseModel):
    """An alert of a rule that waits (`pending`) or fires."""

    labels: dict[str, str]
    state: Literal["pending", "firing"]
    since: AwareDatetime
    value: float | None


class RuleStateView(BaseModel):
    """How a rule stands. `evaluated_at` null: it was not evaluated yet, or is not enabled."""

    evaluated_at: AwareDatetime | None
    error: str = Field(description="why it could not be evaluated; empty: it could")
    active: list[ActiveView]
    policy: str | None = Field(description="the escalation policy that takes its alerts; null: nobody is told of them")


class RuleTemplateView(BaseModel):
    """A rule that is ready to be taken; `threshold` is the number in it that people choose."""

    name: str
    description: str
    threshold: float
    rule: AlertRule


class RuleTemplatesView(BaseModel):
    """All of them."""

    items: list[RuleTemplateView]


class OwnedRuleStates:
    """How rules stand, for whoever may see their workspace."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, by: Actor, name: str) -> tuple[RuleState, str | None]:
        """And the policy that takes its alerts. Raises `NotFound`."""
        setup = await AlertingStore().setup(self._database, by.workspace_id)
        rule = setup.rules.get(name)
        if rule is None:
            raise NotFound(f"there is no {name} in alert-rules")
        taken = policy_for(setup, {**labels_of_rule(rule, by.workspace_id), "alertname": name})
        state = await store.state(self._database, by.workspace_id, name) or RuleState()
        return state, None if taken is None else taken.policy


def state_view(state: RuleState, policy: str | None) -> dict[str, Any]:
    """As it is shown."""
    return {
        "policy": policy,
        "evaluated_at": at(state.at_ms / 1000) if state.at_ms else None,
        "error": state.error,
        "active": [
            {"labels": one.labels, "state": one.state, "since": at(one.active_at_ms / 1000), "value": one.value}
            for one in state.active
        ],
    }


def template_views() -> list[dict[str, Any]]:
    """Every template with its usual number."""
    return [
        {"name": one.name, "description": one.told, "threshold": one.threshold, "rule": one.rule().model_dump()}
        for one in TEMPLATES
    ]


def router(states: OwnedRuleStates) -> APIRouter:
    """Both."""
    look = [requires("admin:read")]
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS, tags=["alerting"], dependencies=look)

    @routes.get("/alert-rules/{name}/state", response_model=RuleStateView, summary="How a rule stands")
    async def show_rule_state(
        by: By, name: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", max_length=63)]
    ) -> Any:
        """What its last evaluation gave."""
        return state_view(*await states.show(by, name))

    @routes.get("/alert-rule-templates", response_model=RuleTemplatesView, summary="Rules that are ready to be taken")
    async def list_rule_templates() -> Any:
        """Write one with `PUT /admin/v1/alert-rules/<id>`."""
        return {"items": template_views()}

    return routes
