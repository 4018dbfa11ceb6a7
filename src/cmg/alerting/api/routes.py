"""`/hooks/…`, `/admin/v1/alerts`, `/admin/v1/alert-groups`."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request

from cmg.alerting.alerts import Alerts, cursor_of, position
from cmg.alerting.api import schemas
from cmg.alerting.api.views import alert_view, group_view, story_view
from cmg.alerting.escalation import actions
from cmg.alerting.intake.alertmanager import AlertmanagerWebhook, GrafanaWebhook, of_alertmanager, reports
from cmg.alerting.intake.cleaning import cleaned, known_moment
from cmg.alerting.models import GroupStatus, Report, Severity
from cmg.alerting.store import AlertFilter
from cmg.identity.forms.schemas import ERRORS
from cmg.identity.models import Actor, actor_of
from cmg.kit.permissions import joined, requires

_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def actor(request: Request) -> Actor:
    """Who calls, as one who makes changes."""
    return actor_of(request.state.caller)


By = Annotated[Actor, Depends(actor)]
Cursor = Annotated[str | None, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=200)]
AlertId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}([0-9a-f]{16})?$", description="an alert's id, or a group's")]


def router(alerts: Alerts) -> APIRouter:
    """What is reported, shown and done."""
    return joined(_hooks(alerts), _reading(alerts), _acting(alerts))


def _hooks(alerts: Alerts) -> APIRouter:
    routes = APIRouter(prefix="/hooks", responses=ERRORS, tags=["alerts"], dependencies=[requires("alerts")])

    @routes.post("/alertmanager", response_model=schemas.ReceivedView, summary="Take Alertmanager's webhook")
    async def alertmanager_hook(by: By, sent: AlertmanagerWebhook) -> Any:
        """Version 4; give the key as `http_config.authorization.credentials`."""
        await alerts.receive(by.workspace_id, of_alertmanager(sent))
        return {"received": len(sent.alerts)}

    @routes.post("/grafana", response_model=schemas.ReceivedView, summary="Take Grafana's webhook")
    async def grafana_hook(by: By, sent: GrafanaWebhook) -> Any:
        """A contact point of the type webhook, with the key as a bearer token."""
        return {"received": await alerts.receive(by.workspace_id, reports(sent.alerts, "grafana"))}

    return routes


def _reading(alerts: Alerts) -> APIRouter:
    routes = APIRouter(prefix="/admin/v1", responses=ERRORS, tags=["alerts"])
    look = [requires("admin:read")]

    @routes.post(
        "/alerts",
        dependencies=[requires("admin")],
        status_code=202,
        response_model=schemas.ReceivedView,
        summary="Report alerts",
    )
    async def report_alerts(by: By, form: schemas.ReportsForm) -> Any:
        """They are kept when this is answered; what became of them stands in each one's decisions."""
        return {"received": await alerts.receive(by.workspace_id, [_report(one) for one in form.alerts])}

    @routes.get("/alerts", dependencies=look, response_model=schemas.AlertPageView, summary="List alerts")
    async def list_alerts(
        by: By,
        cursor: Cursor = None,
        limit: Limit = 50,
        active: bool | None = None,  # noqa: FBT001  a query parameter has no other way
        severity: Severity | None = None,
        group: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
    ) -> Any:
        """Those heard of last first."""
        before, name = (_LAST, "") if cursor is None else position(cursor)
        found = await alerts.page(by, AlertFilter(before, name, active, severity, group, limit + 1))
        more = cursor_of(found[limit - 1].seen_at, found[limit - 1].fingerprint) if len(found) > limit else None
        return {"items": [alert_view(one) for one in found[:limit]], "next": more}

    @routes.get(
        "/alert-groups", dependencies=look, response_model=schemas.GroupPageView, summary="List groups of alerts"
    )
    async def list_groups(by: By, status: GroupStatus | None = None, cursor: Cursor = None, limit: Limit = 50) -> Any:
        """What people hear of together, newest first."""
        found = await alerts.groups(by, status, cursor, limit + 1)
        more = cursor_of(found[limit - 1].opened_at, found[limit - 1].id) if len(found) > limit else None
        return {"items": [group_view(one) for one in found[:limit]], "next": more}

    @routes.get(
        "/alerts/{alert_id}", dependencies=look, response_model=schemas.StoryView, summary="Why was I (not) paged?"
    )
    async def show_alert(by: By, alert_id: AlertId) -> Any:
        """An alert or a group, every decision about it, and every message of its group."""
        return story_view(await alerts.story(by, alert_id))

    return routes


def _acting(alerts: Alerts) -> APIRouter:
    change = [requires("admin")]
    routes = APIRouter(prefix="/admin/v1/alerts", responses=ERRORS, tags=["alerts"], dependencies=change)

    @routes.post("/{alert_id}/acknowledge", response_model=schemas.GroupView, summary="Acknowledge")
    async def acknowledge_alert(by: By, alert_id: AlertId) -> Any:
        """Its group's escalation stops at once; it begins again when the acknowledgement ends unresolved."""
        return group_view(await alerts.act(by, alert_id, "acknowledge", actions.acknowledge))

    @routes.post("/{alert_id}/resolve", response_model=schemas.GroupView, summary="Resolve")
    async def resolve_alert(by: By, alert_id: AlertId) -> Any:
        """Its group is over; an alert that is reported as firing once more opens another one."""
        return group_view(await alerts.act(by, alert_id, "resolve", actions.resolve))

    @routes.post("/{alert_id}/snooze", response_model=schemas.GroupView, summary="Snooze")
    async def snooze_alert(by: By, alert_id: AlertId, form: schemas.SnoozeForm) -> Any:
        """Nobody is told of its group for a time."""

        def snooze(changes: Any, group: Any, name: str) -> None:
            actions.snooze(changes, group, name, form.minutes)

        return group_view(await alerts.act(by, alert_id, "snooze", snooze))

    @routes.post("/{alert_id}/reassign", response_model=schemas.GroupView, summary="Reassign")
    async def reassign_alert(by: By, alert_id: AlertId, form: schemas.ReassignForm) -> Any:
        """Another responder is told now."""

        def reassign(changes: Any, group: Any, name: str) -> None:
            actions.reassign(changes, group, name, form.responder)

        return group_view(await alerts.act(by, alert_id, "reassign", reassign))

    return routes


def _report(form: schemas.ReportForm) -> Report:
    status: Literal["firing", "resolved"] = form.status
    return cleaned(
        Report(
            labels=form.labels,
            annotations=form.annotations,
            firing=status == "firing",
            starts_at=known_moment(form.starts_at),
            ends_at=known_moment(form.ends_at),
            generator_url=form.generator_url,
        )
    )
