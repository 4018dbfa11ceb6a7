"""Overview: how the service is, what it does, what it costs, and what wants somebody's attention."""

import asyncio
import math
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.charts import sparkline
from cmg.console.parts.figures import big, card, grid, html, read
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, dollars, link, moment
from cmg.console.parts.places import known
from cmg.console.parts.refusals import banner
from cmg.console.parts.tables import Column, listed
from cmg.console.plane import Refused
from cmg.console.visit import View
from cmg.kit.clock import at, rfc3339

_SPAN_S, _STEP_S, _AGAIN_S = 3600, 60, 30.0
_ALERTS_MOST = 10
_CHAT = 'route="/v1/chat/completions"'
_RATE = f"sum(rate(cmg_http_requests_total{{{_CHAT}}}[2m]))"
_SEEN = (
    ("Calls", "per_s", _RATE),
    (
        "Errors",
        "ratio",
        f'(sum(rate(cmg_http_requests_total{{{_CHAT},status=~"5.."}}[2m])) or vector(0)) / {_RATE}',
    ),
    (
        "Latency of 95 in 100",
        "s",
        f"histogram_quantile(0.95, sum by (le) (rate(cmg_http_request_duration_seconds_bucket{{{_CHAT}}}[2m])))",
    ),
)
_ENTRIES = (
    Column("When", lambda row: moment(row["at"])),
    Column("Who", lambda row: row["actor"]),
    Column("What", lambda row: row["action"]),
    Column("Of", lambda row: code(row["target"])),
)


@page("/", title="Overview", icon="space_dashboard")
async def overview(view: View) -> None:
    """Everything is asked for at once, and again every half minute."""
    holder = ui.element("div").classes("cmg-page-part")

    async def again() -> None:
        found = await _found(view)
        holder.clear()
        with holder:
            _draw(view, found)

    await again()
    ui.timer(_AGAIN_S, again, immediate=False)


async def _found(view: View) -> dict[str, Any]:
    """What the page shows, or the refusal in its place. Raises `Refused` when the session has ended."""
    now = view.clock.time()
    midnight = datetime.combine(at(now).date(), datetime.min.time(), UTC)
    asked: dict[str, Awaitable[Any]] = {
        "health": view.get("/admin/v1/health"),
        "usage": view.get("/admin/v1/usage", {"from": rfc3339(midnight.timestamp()), "group_by": "day"}),
        **{title: view.get("/api/v1/query_range", _span(expr, now)) for title, _, expr in _SEEN},
    }
    if view.may("admin"):
        asked["alerts"] = _worst(view)
        asked["audit"] = view.get("/admin/v1/audit", {"limit": 8})
    if view.may("admin:all"):
        asked["incidents"] = view.get("/admin/v1/incidents", {"state": "open", "limit": 10})
    answers = await asyncio.gather(*asked.values(), return_exceptions=True)
    for one in answers:
        if isinstance(one, BaseException) and (not isinstance(one, Refused) or one.status == 401):
            raise one
    return dict(zip(asked, answers, strict=True))


async def _worst(view: View) -> dict[str, Any]:
    """The ten most severe alerts, of a severity the newest first: no number of small ones hides a large one."""
    asked = ({"active": "true", "severity": one, "limit": _ALERTS_MOST} for one in ("P1", "P2", "P3", "P4"))
    answers = await asyncio.gather(*(view.get("/admin/v1/alerts", query) for query in asked))
    return {"items": [row for answer in answers for row in answer["items"]][:_ALERTS_MOST]}


def _span(expr: str, now: float) -> dict[str, Any]:
    until = now // _STEP_S * _STEP_S
    return {"query": expr, "start": until - _SPAN_S, "end": until, "step": _STEP_S}


def _draw(view: View, found: Mapping[str, Any]) -> None:
    with grid():
        for title, unit, _ in _SEEN:
            with card(title, "/dashboards/application"):
                _spark(found[title], title, unit)
        with card("Cost today (UTC)", "/dashboards/financial"):
            _cost(found["usage"])
        with card("Components", "/dashboards/overview", wide=True):
            _components(found["health"])
        if view.may("admin"):
            with card("Firing alerts", "/alerts", wide=True):
                _alerts(found["alerts"])
        if view.may("admin:all"):
            with card("Open incidents", "/incidents", wide=True):
                _incidents(found["incidents"])
        if view.may("admin"):
            with card("Latest administrative changes", "/audit", wide=True):
                _told(found["audit"], lambda answer: listed(_ENTRIES, answer["items"]))


def _told(answer: Any, draw: Any) -> None:
    if isinstance(answer, Refused):
        banner(answer.message)
    else:
        draw(answer)


def _spark(answer: Any, title: str, unit: str) -> None:
    def draw(told: Mapping[str, Any]) -> None:
        series = told["data"]["result"]
        points = [(float(when), float(value)) for when, value in series[0]["values"]] if series else []
        points = [(when, value) for when, value in points if not math.isnan(value)]
        big(read(points[-1][1], unit) if points else "-")
        html(sparkline(points, f"{title}, the last hour", unit))

    _told(answer, draw)


def _cost(answer: Any) -> None:
    def draw(told: Mapping[str, Any]) -> None:
        sums = told["totals"]
        big(dollars(sums["cost_usd"]))
        tokens = sums["prompt_tokens"] + sums["completion_tokens"]
        html(Markup('<p class="cmg-quiet">{:,} calls, {:,} tokens, {:,} errors</p>').format(
            sums["calls"], tokens, sums["errors"]
        ))  # fmt: skip

    _told(answer, draw)


def _components(answer: Any) -> None:
    def draw(told: Mapping[str, Any]) -> None:
        outputs = {
            entry["componentId"]: entry["output"]
            for entries in told.get("checks", {}).values()
            for entry in entries
            if entry.get("output") and entry["level"] != "HEALTHY"
        }
        rows = [{"name": name, "level": level} for name, level in sorted(told["levels"].items())]
        html(Markup("<p>The service is {}</p>").format(badge(told["level"])))
        pieces = Markup(" ").join(
            Markup('<li>{} {}<span class="cmg-quiet">{}</span></li>').format(
                row["name"], badge(row["level"]), f" {outputs.get(row['name'], '')}"
            )
            for row in rows
        )
        html(Markup('<ul class="cmg-components">{}</ul>').format(pieces))

    _told(answer, draw)


def _alerts(answer: Any) -> None:
    columns = (
        Column("Alert", lambda row: _named(row["name"], f"/alerts/{row['id']}")),
        Column("Severity", lambda row: badge(row["severity"], "bad" if row["severity"] in {"P1", "P2"} else "warn")),
        Column("Since", lambda row: moment(row["starts_at"])),
        Column("About", lambda row: row["annotations"].get("summary", "")),
    )
    _told(answer, lambda told: listed(columns, told["items"]))


def _incidents(answer: Any) -> None:
    columns = (
        Column("Incident", lambda row: _named(row["title"], f"/incidents/{row['id']}")),
        Column("Severity", lambda row: badge(row["severity"], "bad")),
        Column("Status", lambda row: badge(row["status"])),
        Column("Since", lambda row: moment(row["started_at"])),
        Column("Commander", lambda row: row["commander"]),
    )
    _told(answer, lambda told: listed(columns, told["items"]))


def _named(name: str, path: str) -> object:
    return link(name, path) if known(path) else name
