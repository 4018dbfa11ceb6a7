"""The dashboards: every panel drawn from the control plane's figures, for the span and the variables in the address."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.charts import bars, lines
from cmg.console.parts.figures import card, grid, html, read
from cmg.console.parts.frame import page
from cmg.console.parts.markup import link
from cmg.console.parts.refusals import banner
from cmg.console.parts.tables import Column, listed
from cmg.console.plane import Refused
from cmg.console.visit import View
from cmg.kit.clock import rfc3339

_SPANS = {
    900: "15 minutes",
    3600: "an hour",
    21_600: "6 hours",
    86_400: "a day",
    604_800: "7 days",
    2_592_000: "30 days",
}
_AT_ONCE = 4  # panels that are asked for, of one page
_TABLE_MOST = 50


@page("/dashboards", title="Dashboards", icon="bar_chart", group="Watch")
async def dashboards(view: View) -> None:
    """Those that the person may open."""
    answer = await view.get("/admin/v1/dashboards")
    with grid():
        for one in answer["items"]:
            with card(one["title"], f"/dashboards/{one['slug']}"):
                ui.label(one["help"])


@page("/dashboards/{slug}", title="Dashboard", group="Watch")
async def dashboard(view: View) -> None:
    """One of them; its panels come after the page."""
    slug = view.path["slug"]
    told = await view.get(f"/admin/v1/dashboards/{slug}")
    html(Markup("<p><strong>{}</strong> · {} · {}</p>").format(told["title"], told["help"], link("All", "/dashboards")))
    asked = view.query.get("span", "")
    span = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 10 else 3600
    chosen = {name: view.query.get(name, "") for name in told["variables"]}
    _choices(slug, span, chosen, told["variables"])
    until = view.clock.time()
    look = {**chosen, "from": until - span, "to": until}
    with ui.element("div").classes("cmg-panels"):
        holders = [(panel, _holder(panel, (until - span, until))) for panel in told["panels"]]

    async def fill() -> None:
        marks = await _marks(view, until - span)
        turns = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(_fill(view, slug, panel, look, (turns, marks), holder) for panel, holder in holders))

    ui.timer(0.01, fill, once=True)


def _choices(slug: str, span: int, chosen: Mapping[str, str], variables: Mapping[str, Sequence[str]]) -> None:
    def go(name: str, value: Any) -> None:
        asked = {"span": span, **chosen, name: value or ""}
        told = "&".join(f"{key}={value}" for key, value in asked.items() if value)
        ui.navigate.to(f"/dashboards/{slug}?{told}")

    with ui.row().classes("cmg-filters"):
        ui.select(
            {span: f"{span} seconds", **_SPANS}, label="Span", value=span, on_change=lambda one: go("span", one.value)
        ).props("outlined dense").classes("cmg-select")
        for name, values in variables.items():
            _variable(name, chosen[name], values, go)


def _variable(name: str, value: str, values: Sequence[str], go: Any) -> None:
    options = {"": "all", **{one: one for one in values}}
    ui.select(
        options,
        label=name.capitalize(),
        value=value if value in options else "",
        on_change=lambda one: go(name, one.value),
    ).props("outlined dense").classes("cmg-select")


def _holder(panel: Mapping[str, Any], span: tuple[float, float]) -> ui.element:
    box = ui.element("section").classes("cmg-card").style(f"grid-column: span {panel['width']}")
    box.props(f'data-panel="{panel["id"]}"')
    with box:
        html(Markup('<h2 title="{}">{}</h2>').format(panel["help"], panel["title"]))
        holder = ui.element("div").classes("cmg-panel").props("data-drawn=waiting")
        html(_links(panel, span))
        return holder


def _links(panel: Mapping[str, Any], span: tuple[float, float]) -> Markup:
    """What to do, and what happened meanwhile: for the span that is shown."""
    since, until = (quote(rfc3339(at)) for at in span)
    pieces = (link(one["title"], one["path"].replace("$from", since).replace("$to", until)) for one in panel["links"])
    return Markup('<p class="cmg-links">{}</p>').format(Markup(" · ").join(pieces))


async def _marks(view: View, since: float) -> list[tuple[float, str]]:
    """Deploys, incidents, maintenances and changes of the configuration within the span."""
    try:
        answer = await view.get("/admin/v1/events", {"limit": 50})
    except Refused:
        return []  # not for this role: the panels are drawn without them
    moments = [(datetime.fromisoformat(one["at"]).timestamp(), one["title"]) for one in answer["items"]]
    return [(at, title) for at, title in moments if at >= since]


async def _fill(
    view: View, slug: str, panel: Mapping[str, Any], look: Mapping[str, Any], at_once: Any, holder: ui.element
) -> None:
    """Ask for a panel's figures and draw them; what is refused stands in its place."""
    turns, marks = at_once
    async with turns:
        try:
            picture = await view.get(f"/admin/v1/dashboards/{slug}/panels/{panel['id']}", look)
        except Refused as refused:
            with holder:
                banner(refused.message)
            holder.props("data-drawn=refused")
            return
    with holder:
        drawn = _draw(panel, picture, marks)
        if not drawn:
            html(Markup('<p class="cmg-empty">{}</p>').format(panel["idle"] or "No figures in this span."))
    holder.props(f"data-drawn={'figures' if drawn else 'idle' if panel['idle'] else 'empty'}")


def _draw(panel: Mapping[str, Any], picture: Mapping[str, Any], marks: Sequence[tuple[float, str]]) -> bool:
    """Whether there was anything to draw."""
    if panel["form"] == "lines" and picture["lines"]:
        lines(picture["lines"], panel["unit"], panel["thresholds"], marks)
    elif panel["form"] == "bars" and picture["values"]:
        bars(picture["values"], panel["unit"], panel["thresholds"])
    elif panel["form"] == "number" and picture["values"]:
        for one in picture["values"]:
            html(_number(panel, one))
    elif panel["form"] == "table" and picture["rows"]:
        rows = [dict(zip(picture["columns"], row, strict=True)) for row in picture["rows"][:_TABLE_MOST]]
        listed([_column(name) for name in picture["columns"]], rows)
    else:
        return False
    return True


def _number(panel: Mapping[str, Any], one: Mapping[str, Any]) -> Markup:
    """The number, with the colour of the last threshold that it reached."""
    reached = [line["color"] for line in panel["thresholds"] if one["value"] >= line["value"]]
    tone = {"orange": "cmg-warn", "red": "cmg-bad"}.get(reached[-1], "") if reached else ""
    return Markup('<p class="cmg-big"><span class="{}">{}</span> <small class="cmg-quiet">{}</small></p>').format(
        tone, read(one["value"], panel["unit"]), one["name"]
    )


def _column(name: str) -> Column:
    def cell(row: Mapping[str, Any]) -> object:
        value = row[name]
        unit = "usd" if name.endswith("_usd") else "s" if name.endswith("_s") else "count"
        return read(value, unit) if isinstance(value, int | float) else value

    return Column(name.replace("_", " ").capitalize(), cell)
