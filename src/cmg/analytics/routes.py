"""`/admin/v1/dashboards`: what dashboards there are, and the figures of their panels."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from cmg.analytics.models import Event, Picture, look
from cmg.analytics.panels import Panels
from cmg.catalogue.dashboards import BY_SLUG, DASHBOARDS
from cmg.catalogue.dashboards.links import links_of
from cmg.catalogue.dashboards.models import Dashboard, Panel
from cmg.identity.models import Workspace, actor_of
from cmg.kit.clock import Clock
from cmg.kit.errors import Forbidden, NotFound
from cmg.kit.permissions import requires


class SpanParameters(BaseModel):
    """All are text here: what is wrong is told by our own error body."""

    since: str | None = Field(None, alias="from", description="RFC 3339 or epoch seconds; default: an hour before `to`")
    until: str | None = Field(None, alias="to", description="RFC 3339 or epoch seconds, left out; default: now")


class LookParameters(SpanParameters):
    """A span, and what else a reader may choose."""

    step: str | None = Field(None, description="Seconds; default: by the span, at most 200 steps")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    upstream: str | None = Field(None, description="One upstream's name")
    instance: str | None = Field(None, description="One instance, as scrapes name it")


class ThresholdView(BaseModel):
    """From this value on the panel shows the color."""

    value: float
    color: str


class LinkView(BaseModel):
    """Where a panel leads to in the console: `$from` and `$to` in the path stand for the span, in RFC 3339.

    `kind`: runbook, traces, requests, logs.
    """

    kind: str
    title: str
    path: str


class PanelView(BaseModel):
    """How a panel is drawn. `form`: lines, number, bars, table; `width`: of 24; `idle`: why it may have no figures."""

    id: str
    title: str
    help: str
    unit: str
    form: str
    width: int
    thresholds: list[ThresholdView]
    idle: str | None
    links: list[LinkView]


class DashboardItem(BaseModel):
    """A dashboard without its panels. `scope`: service (needs admin:all) or workspace."""

    slug: str
    title: str
    help: str
    scope: str


class DashboardList(BaseModel):
    """Those that the caller may open."""

    items: list[DashboardItem]


class AnnotationView(BaseModel):
    """A kind of event that is drawn into the panels of lines."""

    id: str
    title: str
    help: str
    color: str


class DashboardView(DashboardItem):
    """A dashboard, its panels in order, for each variable the values that can be chosen, and kinds of annotations."""

    panels: list[PanelView]
    annotations: list[AnnotationView]
    variables: dict[str, list[str]]


class EventView(BaseModel):
    """Something that happened: epoch seconds, `until` null for a moment or what goes on."""

    kind: str
    since: float = Field(alias="from")
    until: float | None = Field(alias="to")
    text: str
    tags: list[str]


class EventList(BaseModel):
    """What happened within a span, oldest first."""

    items: list[EventView]


class LineView(BaseModel):
    """One series: points are [epoch seconds, value]."""

    name: str
    points: list[tuple[float, float]]


class ValueView(BaseModel):
    """One named number."""

    name: str
    value: float


class PictureView(BaseModel):
    """What the panel draws, by its form. `from`, `to`, `step`: the look it is drawn for, in seconds."""

    lines: list[LineView]
    values: list[ValueView]
    columns: list[str]
    rows: list[list[str | float | None]]
    since: float = Field(alias="from")
    until: float = Field(alias="to")
    step: float


def router(panels: Panels, workspaces: Callable[[], Mapping[str, Workspace]], clock: Clock) -> APIRouter:
    """The routes; the composition root sets `request.state.caller`."""
    routes = APIRouter(prefix="/admin/v1/dashboards", tags=["dashboards"], dependencies=[requires("admin:read")])

    @routes.get("", response_model=DashboardList)
    async def dashboards(request: Request) -> dict[str, Any]:
        """The dashboards that the caller may open."""
        only = actor_of(request.state.caller).only_workspace
        return {"items": [_item(one) for one in DASHBOARDS if only is None or one.scope == "workspace"]}

    @routes.get("/{slug}", response_model=DashboardView)
    async def dashboard(request: Request, slug: str) -> dict[str, Any]:
        """One dashboard: how its panels are drawn, and what its variables can be."""
        found = _dashboard(request, slug)
        only = actor_of(request.state.caller).only_workspace
        variables: dict[str, list[str]] = {}
        for name in found.variables:
            if name == "workspace":
                variables[name] = [only] if only else sorted(workspaces())
            else:
                variables[name] = await panels.choices(name)
        kinds = [{name: getattr(one, name) for name in ("id", "title", "help", "color")} for one in found.annotations]
        shown = [_panel_view(panel) for panel in found.panels]
        return {**_item(found), "panels": shown, "variables": variables, "annotations": kinds}

    @routes.get("/{slug}/annotations", response_model=EventList)
    async def annotations(request: Request, slug: str, parameters: Annotated[SpanParameters, Query()]) -> Any:
        """Deploys, changes of the configuration, maintenances and, where the service is shown, incidents."""
        chosen = look(parameters.model_dump(by_alias=True), clock.time())
        found = await panels.events(_dashboard(request, slug), chosen)
        return {"items": [_event_view(event) for event in found]}

    @routes.get("/{slug}/panels/{panel_id}", response_model=PictureView)
    async def picture(
        request: Request, slug: str, panel_id: str, parameters: Annotated[LookParameters, Query()]
    ) -> dict[str, Any]:
        """The figures of one panel."""
        panel = _dashboard(request, slug).panel(panel_id)
        if panel is None:
            raise NotFound("the dashboard has no such panel", param="panel_id")
        asked = parameters.model_dump(by_alias=True)
        asked["workspace"] = _workspace(request, asked["workspace"], workspaces())
        chosen = look(asked, clock.time())
        drawn: Picture = await panels.picture(panel, chosen)
        return {**msgspec.structs.asdict(drawn), "from": chosen.since, "to": chosen.until, "step": chosen.step}

    return routes


def _dashboard(request: Request, slug: str) -> Dashboard:
    found = BY_SLUG.get(slug)
    if found is None:
        raise NotFound("there is no such dashboard", param="slug")
    if found.scope == "service" and actor_of(request.state.caller).only_workspace is not None:
        raise Forbidden("this dashboard shows the whole service; it needs a key with admin:all", param="slug")
    return found


def _workspace(request: Request, wanted: str | None, known: Mapping[str, Workspace]) -> str | None:
    """The workspace whose figures are shown; None: all."""
    only = actor_of(request.state.caller).only_workspace
    if only is not None and wanted not in {None, only}:
        raise Forbidden("this key sees its own workspace only; leave `workspace` out", param="workspace")
    if wanted is not None and wanted not in known:
        raise NotFound("there is no such workspace", param="workspace")
    return wanted or only


def _item(dashboard: Dashboard) -> dict[str, Any]:
    return {"slug": dashboard.slug, "title": dashboard.title, "help": dashboard.help, "scope": dashboard.scope}


def _event_view(event: Event) -> dict[str, Any]:
    return {"kind": event.kind, "from": event.since, "to": event.until, "text": event.text, "tags": event.tags}


def _panel_view(panel: Panel) -> dict[str, Any]:
    told = {name: getattr(panel, name) for name in ("id", "title", "help", "unit", "form", "width", "idle")}
    thresholds = [{"value": one.value, "color": one.color} for one in panel.thresholds]
    return {**told, "thresholds": thresholds, "links": [asdict(one) for one in links_of(panel)]}
