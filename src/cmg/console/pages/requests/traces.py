"""Traces that were kept: of errors, slow requests and jobs, and a share of the others."""

from markupsafe import Markup
from nicegui import ui

from cmg.console.pages.requests.waterfall import waterfall
from cmg.console.parts.figures import card, html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, facts, link, moment, number, pre
from cmg.console.parts.tables import Column, Filter, paged
from cmg.console.visit import View

_COLUMNS = (
    Column("Trace", lambda row: link(row["name"], f"/traces/{row['trace_id']}")),
    Column("Begun", lambda row: moment(row["at"])),
    Column("Status", lambda row: badge(row["status"], "good" if row["status"] == "ok" else "bad")),
    Column("Duration", lambda row: number(row["duration_ms"], " ms"), right=True),
    Column("Model", lambda row: row["model"]),
    Column("HTTP status", lambda row: number(row["http_status"]), right=True),
    Column("Kept for", lambda row: badge(row["kept_for"])),
    Column("Workspace", lambda row: row["workspace"]),
    Column("Request", lambda row: link(row["request_id"][-12:], f"/requests/{row['request_id']}")),
)
_FILTERS = (
    Filter("order", "Order", {"newest": "newest first", "slowest": "slowest first"}),
    Filter("status", "Status", {"ok": "ok", "error": "error"}),
    Filter("min_ms", "At least, in ms"),
    Filter("model", "Model"),
    Filter("from", "From"),
    Filter("to", "To"),
)


@page("/traces", title="Traces", icon="account_tree", group="Watch")
async def traces(view: View) -> None:
    """They are kept for two days, or as the settings say."""
    await paged(view, "/admin/v1/traces", _COLUMNS, filters=_FILTERS)


@page("/traces/{id}", title="Trace", group="Watch")
async def trace(view: View) -> None:
    """Where the time of one request or job went."""
    html(link("All traces", "/traces"))
    told = await view.get(f"/admin/v1/traces/{view.path['id']}")
    with card("Where its time went"):
        lines = link("those of this trace", f"/logs?trace_id={told['trace_id']}&since=7d")
        parts = Markup(", ").join(link(one["name"], f"/requests/{one['request_id']}") for one in told["parts"])
        shown = [("Status", badge(told["status"])), ("Begun", moment(told["started_at"], relative=False))]
        html(facts([*shown, ("Requests and jobs", parts), ("Log lines", lines)]))
        html(waterfall(told))
        with ui.expansion("Spans as they are").props("dense"):
            html(pre(told["spans"]))
