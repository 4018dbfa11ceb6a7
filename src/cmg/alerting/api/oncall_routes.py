"""`/admin/v1/alerts/oncall`: who is on call, by schedule and by tier."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query
from pydantic import AfterValidator, AwareDatetime

from cmg.alerting.alerts import Alerts
from cmg.alerting.api import oncall_schemas as schemas
from cmg.alerting.api.oncall_views import policy_view, roster_view
from cmg.alerting.api.routes import By, Limit
from cmg.alerting.oncall.roster import roster, tiers
from cmg.identity.forms.schemas import ERRORS
from cmg.kit.clock import Clock
from cmg.kit.permissions import requires

Cursor = Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


def _near(moment: datetime) -> datetime:
    """A moment from which there are some months to either side."""
    if not 1971 <= moment.year <= 9000:
        raise ValueError("must lie in the years 1971 to 9000")
    return moment


When = Annotated[Annotated[AwareDatetime, AfterValidator(_near)] | None, Query(description="another moment than now")]
T = TypeVar("T")


def router(alerts: Alerts, clock: Clock) -> APIRouter:
    """Who is on call now, or at another moment."""
    routes = APIRouter(prefix="/admin/v1/alerts/oncall", responses=ERRORS, tags=["alerting"])
    look = [requires("admin:read")]

    @routes.get("", dependencies=look, response_model=schemas.RosterPageView, summary="Who is on call")
    async def who_is_on_call(by: By, at: When = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
        """By schedule: who has it, until when, who is next, and when nobody is in the 14 days from then."""
        setup, moment = await alerts.setup(by.workspace_id), clock.time() if at is None else at.timestamp()
        named, more = _page(setup.schedules, cursor, limit)

        def found() -> list[dict[str, Any]]:
            return [roster_view(setup, roster(name, one, moment)) for name, one in named]

        return {"items": await asyncio.to_thread(found), "next": more}

    @routes.get("/tiers", dependencies=look, response_model=schemas.TiersPageView, summary="Who is told, tier by tier")
    async def who_is_told(by: By, at: When = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
        """By escalation policy: whom each step would tell."""
        setup, moment = await alerts.setup(by.workspace_id), clock.time() if at is None else at.timestamp()
        named, more = _page(setup.policies, cursor, limit)
        return {
            "items": [policy_view(setup, name, one, tiers(setup, one, moment)) for name, one in named],
            "next": more,
        }

    return routes


def _page(documents: Mapping[str, T], after: str | None, limit: int) -> tuple[list[tuple[str, T]], str | None]:
    found = list(islice((one for one in sorted(documents.items()) if one[0] > (after or "")), limit + 1))
    return found[:limit], found[limit - 1][0] if len(found) > limit else None
