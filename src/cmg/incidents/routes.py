"""`/admin/v1/incidents`, `/events` and `/maintenances`: they are the service's own, so all need `admin:all`."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Query, Request

from cmg.identity.forms.schemas import ErrorView
from cmg.identity.models import Actor, actor_of
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
from cmg.incidents.timeline import Timelines
from cmg.kit.clock import Clock
from cmg.kit.permissions import requires
from cmg.storage.database import Database

_ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorView, "description": "The error body; `param` names the field"},
    "5XX": {"model": ErrorView, "description": "Not now; 503 says when to try again"},
}


@dataclass(frozen=True)
class Room:
    """The use cases of incidents."""

    database: Database
    desk: Desk
    timelines: Timelines
    announcer: Announcer
    operation: Operation
    clock: Clock


def _actor(request: Request) -> Actor:
    return actor_of(request.state.caller)


def _number(incident: str) -> int:
    return incident_id(incident)


By = Annotated[Actor, Depends(_actor)]
Number = Annotated[int, Depends(_number)]
Text = Annotated[str | None, Query()]
Limit = Annotated[int, Query(ge=1, le=200)]


def router(room: Room) -> APIRouter:
    """The routes of this room."""
    whole = APIRouter(prefix="/admin/v1", responses=_ERRORS, dependencies=[requires("admin:all")])
    whole.include_router(_incidents(room), prefix="/incidents", tags=["incidents"])
    whole.include_router(_steps(room), prefix="/incidents", tags=["incidents"])
    whole.include_router(_markers(room), prefix="/events", tags=["incidents"])
    whole.include_router(_maintenances(room), prefix="/maintenances", tags=["incidents"])
    return whole


def _incidents(room: Room) -> APIRouter:
    routes = APIRouter()

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
    routes = APIRouter()

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
        """The trouble has ended."""
        return incident_view(await room.desk.resolve(by, number, form and form.text), room.clock.now())

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


def _markers(room: Room) -> APIRouter:
    routes = APIRouter()

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
    routes = APIRouter()

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
