"""`/admin/v1/incidents`, `/events` and `/maintenances`: they are the service's own, so all need `admin:all`."""

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Body, Depends, Path, Query, Request
from fastapi.responses import Response

from cmg.identity.forms.schemas import ERRORS
from cmg.identity.models import Actor, actor_of
from cmg.incidents.closing.checks import failed
from cmg.incidents.closing.closing import Closing
from cmg.incidents.communication.announcing import Announcer
from cmg.incidents.desk import Desk
from cmg.incidents.forms import schemas
from cmg.incidents.forms.views import (
    communication_view,
    entry_view,
    incident_view,
    maintenance_view,
    marker_view,
)
from cmg.incidents.models import incident_id
from cmg.incidents.operation import Operation
from cmg.incidents.review.actions import action_view
from cmg.incidents.review.figures import Figures
from cmg.incidents.review.plotting import LateSamples
from cmg.incidents.review.postmortem import Review
from cmg.incidents.timeline import Timelines
from cmg.kit.clock import Clock
from cmg.kit.permissions import joined, requires
from cmg.storage.database import Database


@dataclass(frozen=True)
class Room:
    """The use cases of incidents."""

    database: Database
    desk: Desk
    timelines: Timelines
    closing: Closing
    announcer: Announcer
    operation: Operation
    review: Review
    samples: LateSamples
    figures: Figures
    clock: Clock


def _actor(request: Request) -> Actor:
    return actor_of(request.state.caller)


def _number(incident: str) -> int:
    return incident_id(incident)


By = Annotated[Actor, Depends(_actor)]
Number = Annotated[int, Depends(_number)]
Text = Annotated[str | None, Query()]
Positive = Annotated[int, Path(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=200)]


def router(room: Room) -> APIRouter:
    """The routes of this room."""
    return joined(
        _overviews(room),
        _incidents(room),
        _steps(room),
        _ending(room),
        _reviews(room),
        _markers(room),
        _maintenances(room),
    )


def _part(path: str) -> APIRouter:
    return APIRouter(
        prefix=f"/admin/v1{path}", responses=ERRORS, tags=["incidents"], dependencies=[requires("admin:all")]
    )


def _incidents(room: Room) -> APIRouter:
    routes = _part("/incidents")

    @routes.post("", status_code=201, response_model=schemas.IncidentView, summary="Declare an incident")
    async def declare_incident(by: By, form: schemas.IncidentForm) -> Any:
        """Open it by hand; alerts open theirs by rule."""
        return incident_view(await room.desk.declare(by, form.given()), room.clock.now())

    @routes.get("", response_model=schemas.IncidentPageView, summary="List incidents")
    async def list_incidents(state: Text = None, severity: Text = None, cursor: Text = None, limit: Limit = 50) -> Any:
        """Newest first; `state` is open, resolved or closed."""
        items, following = await room.desk.list(state, severity, cursor, limit)
        return {"items": [incident_view(one, room.clock.now()) for one in items], "next": following}

    @routes.get("/{incident}", response_model=schemas.IncidentView, summary="Show an incident")
    async def show_incident(number: Number) -> Any:
        """Named `INC-42` or `42`; with the time boxes of the workflow."""
        return incident_view(await room.desk.get(number), room.clock.now())

    @routes.patch("/{incident}", response_model=schemas.IncidentView, summary="Change an incident")
    async def change_incident(by: By, number: Number, form: schemas.IncidentPatch) -> Any:
        """Severity, status, roles, components, impact, cause: each change is a line of the timeline."""
        return incident_view(await room.desk.change(by, number, form.given()), room.clock.now())

    @routes.get("/{incident}/timeline", response_model=schemas.TimelineView, summary="Read a timeline")
    async def incident_timeline(number: Number) -> Any:
        """With deploys, configuration changes and administration from an hour before the trouble on."""
        incident = await room.desk.get(number)
        return {"items": [entry_view(one) for one in await room.timelines.of(room.database, incident)]}

    return routes


def _steps(room: Room) -> APIRouter:
    routes = _part("/incidents")

    @routes.post("/{incident}/acknowledge", response_model=schemas.IncidentView, summary="Acknowledge an incident")
    async def acknowledge_incident(by: By, number: Number) -> Any:
        """Somebody works on it."""
        return incident_view(await room.desk.acknowledge(by, number), room.clock.now())

    @routes.post("/{incident}/notes", status_code=201, response_model=schemas.TimelineEntryView, summary="Add a note")
    async def note_incident(by: By, number: Number, form: schemas.NoteForm) -> Any:
        """A line of the timeline."""
        return entry_view(await room.desk.note(by, number, form.text, form.at))

    @routes.post("/{incident}/resolve", response_model=schemas.IncidentView, summary="Resolve an incident")
    async def resolve_incident(by: By, number: Number, form: Annotated[schemas.TextForm | None, Body()] = None) -> Any:
        """The trouble has ended; its impact is computed from the ledger."""
        return incident_view(await room.closing.resolve(by, number, form and form.text), room.clock.now())

    @routes.post("/{incident}/reopen", response_model=schemas.IncidentView, summary="Reopen a resolved incident")
    async def reopen_incident(by: By, number: Number, form: schemas.ReasonForm) -> Any:
        """The trouble had not ended. A closed incident stays closed."""
        return incident_view(await room.desk.reopen(by, number, form.reason), room.clock.now())

    @routes.post(
        "/{incident}/communications",
        status_code=201,
        response_model=schemas.CommunicationView,
        summary="Say something of an incident",
    )
    async def communicate_incident(by: By, number: Number, form: schemas.CommunicationForm) -> Any:
        """Filled from the incident by a template, kept, sent to channels, and shown to customers on the status page."""
        return communication_view(await room.announcer.announce(by, number, form.given()))

    @routes.post("/{incident}/communications/preview", response_model=schemas.PreviewView, summary="Preview a message")
    async def preview_communication(number: Number, form: schemas.CommunicationForm) -> Any:
        """The text, not sent and not kept."""
        text = await room.announcer.preview(number, form.given())
        return {"subject": text.subject, "body": text.body}

    @routes.get("/{incident}/communications", response_model=schemas.CommunicationsView, summary="What was said")
    async def list_communications(number: Number) -> Any:
        """Oldest first, with what became of each on each channel."""
        incident = await room.desk.get(number)
        return {"items": [communication_view(one) for one in await room.announcer.of([incident.id])]}

    return routes


def _ending(room: Room) -> APIRouter:
    routes = _part("/incidents")

    @routes.post("/{incident}/impact", response_model=schemas.IncidentView, summary="Assess the impact")
    async def assess_incident(by: By, number: Number) -> Any:
        """Users, calls and money of the incident's time until now, from the ledger, beside as long a time before it."""
        return incident_view(await room.closing.assess(by, number), room.clock.now())

    @routes.post("/{incident}/checks", response_model=schemas.ChecksView, summary="Check whether the service works")
    async def check_incident(by: By, number: Number) -> Any:
        """A call through a gateway, the level of health, error rate and latency beside those of before."""
        found = await room.closing.check(by, number)
        return {"passed": not failed(found), "items": [msgspec.structs.asdict(one) for one in found]}

    @routes.post("/{incident}/close", response_model=schemas.IncidentView, summary="Close a resolved incident")
    async def close_incident(by: By, number: Number, form: Annotated[schemas.CloseForm | None, Body()] = None) -> Any:
        """Runs the checks first. A failed one is 409 `checks_failed`, unless `override` says why it closes anyway."""
        return incident_view(await room.closing.close(by, number, form and form.override), room.clock.now())

    return routes


def _overviews(room: Room) -> APIRouter:
    routes = _part("/incidents")

    @routes.get("/metrics", response_model=schemas.FiguresView, summary="How incidents and alerts went")
    async def incident_metrics(wanted: Annotated[schemas.FiguresQuery, Query()]) -> Any:
        """Mean times to detect, acknowledge and resolve; alerts a shift, pages out of hours, alerts acted on."""
        return await room.figures.of(wanted.since, wanted.until, wanted.timezone, wanted.shift_hours)

    @routes.get("/actions", response_model=schemas.ActionPageView, summary="List action items of every incident")
    async def list_actions(state: Text = None, cursor: Text = None, limit: Limit = 50) -> Any:
        """Oldest first; `state` is open, done or dropped."""
        items, following = await room.review.actions.page(state, cursor, limit)
        return {"items": [action_view(one, room.clock.now()) for one in items], "next": following}

    return routes


def _reviews(room: Room) -> APIRouter:
    routes = _part("/incidents")

    @routes.get("/{incident}/actions", response_model=schemas.ActionsView, summary="List action items")
    async def incident_actions(number: Number) -> Any:
        """What is to be done after an incident."""
        incident = await room.desk.get(number)
        return {"items": [action_view(one, room.clock.now()) for one in await room.review.actions.of(incident.id)]}

    @routes.post(
        "/{incident}/actions", status_code=201, response_model=schemas.ActionView, summary="Add an action item"
    )
    async def add_action(by: By, number: Number, form: schemas.ActionForm) -> Any:
        """Something to do so that it does not happen again."""
        return action_view(await room.review.actions.add(by, number, form.given()), room.clock.now())

    @routes.patch("/{incident}/actions/{action}", response_model=schemas.ActionView, summary="Change an action item")
    async def change_action(by: By, number: Number, action: Positive, form: schemas.ActionPatch) -> Any:
        """Reword it, give it to somebody, or set its `state`: open, done, dropped."""
        return action_view(await room.review.actions.change(by, number, action, form.given()), room.clock.now())

    @routes.get(
        "/{incident}/post-mortem",
        response_class=Response,
        responses={200: {"content": {"text/markdown": {}}}},
        summary="The post-mortem document",
    )
    async def post_mortem(number: Number) -> Response:
        """Markdown; its plots are beside it, at `plots/<name>.svg`."""
        text, _ = await room.review.document(room.timelines, number)
        return Response(text, media_type="text/markdown; charset=utf-8")

    @routes.get(
        "/{incident}/plots/{name}.svg",
        response_class=Response,
        responses={200: {"content": {"image/svg+xml": {}}}},
        summary="A plot of an incident's time",
    )
    async def incident_plot(number: Number, name: str) -> Response:
        """calls, errors, latency or requests; those of a closed incident were kept when it was closed."""
        plot = await room.review.plot(number, name)
        headers = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'"}
        return Response(plot.svg, media_type="image/svg+xml", headers=headers)

    @routes.post("/{incident}/review", response_model=schemas.IncidentView, summary="The review is done")
    async def review_incident(by: By, number: Number, form: Annotated[schemas.ReviewForm | None, Body()] = None) -> Any:
        """Needs a `cause`; factors and lessons can come with it. It ends the last time box."""
        incident = await room.review.reviewed(by, number, {} if form is None else form.given())
        return incident_view(incident, room.clock.now())

    return routes


def _markers(room: Room) -> APIRouter:
    routes = _part("/events")

    @routes.post("", status_code=201, response_model=schemas.MarkerView, summary="Tell of a deploy or another change")
    async def tell_marker(by: By, form: schemas.MarkerForm) -> Any:
        """It stands in the timelines of incidents that begin within an hour after it, or are open."""
        return marker_view(await room.operation.mark(by, form.given()))

    @routes.get("", response_model=schemas.MarkerPageView, summary="List markers")
    async def list_markers(kind: Text = None, cursor: Text = None, limit: Limit = 50) -> Any:
        """Newest told first."""
        items, following = await room.operation.markers(cursor, kind, limit)
        return {"items": [marker_view(one) for one in items], "next": following}

    return routes


def _maintenances(room: Room) -> APIRouter:
    routes = _part("/maintenances")

    @routes.post("", status_code=201, response_model=schemas.MaintenanceView, summary="Announce a maintenance")
    async def announce_maintenance(by: By, form: schemas.MaintenanceForm) -> Any:
        """It stands on the status page, and its components are under maintenance from its begin to its end."""
        return maintenance_view(await room.operation.announce(by, form.given()), room.clock.now())

    @routes.get("", response_model=schemas.MaintenancePageView, summary="List maintenances")
    async def list_maintenances(cursor: Text = None, limit: Limit = 50) -> Any:
        """Newest announced first."""
        items, following = await room.operation.maintenances(cursor, limit)
        return {"items": [maintenance_view(one, room.clock.now()) for one in items], "next": following}

    @routes.patch("/{maintenance}", response_model=schemas.MaintenanceView, summary="Change a maintenance")
    async def change_maintenance(by: By, maintenance: int, form: schemas.MaintenancePatch) -> Any:
        """Move, reword, begin, complete or cancel it."""
        return maintenance_view(await room.operation.change(by, maintenance, form.given()), room.clock.now())

    return routes
