"""Whether memory is of use: calls with it beside calls that were held out of it."""

from typing import Any

from nicegui import ui

from cmg.console.parts.figures import card, read
from cmg.console.parts.frame import page
from cmg.console.parts.markup import number, usd
from cmg.console.parts.tables import Column, Row, listed
from cmg.console.visit import View


def _share(value: float | None) -> object:
    return None if value is None else read(value, "ratio")


_CALLS = (
    Column("Calls", lambda row: row["arm"]),
    Column("Number", lambda row: number(row["calls"]), right=True),
    Column("With memories", lambda row: number(row["calls_with_items"]), right=True),
    Column("Tokens a call", lambda row: number(row["tokens_per_call"]), right=True),
    Column("Cost a call", lambda row: usd(row["cost_usd_per_call"]), right=True),
    Column("Errors", lambda row: _share(row["error_rate"]), right=True),
    Column("Mean latency", lambda row: number(row["latency_ms_avg"], " ms"), right=True),
)
_USE = (
    Column("Injected", lambda row: number(row["items_injected"]), right=True),
    Column("Used in the answer", lambda row: number(row["items_used"]), right=True),
    Column("Ignored", lambda row: number(row["items_ignored"]), right=True),
    Column("Not compared", lambda row: number(row["items_unjudged"]), right=True),
    Column("Share used", lambda row: _share(row["use_rate"]), right=True),
    Column("Calls shortened", lambda row: number(row["calls_shortened"]), right=True),
)
_FEEDBACK = (
    Column("Helpful", lambda row: number(row["helpful"]), right=True),
    Column("Not helpful", lambda row: number(row["not_helpful"]), right=True),
    Column("Outdated", lambda row: number(row["outdated"]), right=True),
    Column("Duplicate", lambda row: number(row["duplicate"]), right=True),
    Column("Per injected item", lambda row: _share(row["rate"]), right=True),
)
_ASKED = ("from", "to", "workspace")


@page("/memory/effectiveness", title="Memory's effect", icon="insights", group="Memory")
async def effectiveness(view: View) -> None:
    """Of the days that the address names, else of the last ones."""
    told = await view.get("/admin/v1/memory/effectiveness", {name: view.query.get(name) for name in _ASKED})
    ui.label(f"{told['from']} to {told['to']} (UTC)").classes("cmg-quiet")
    for one in told["items"]:
        with card(one["workspace"], wide=True):
            _workspace(one)
    if not told["items"]:
        ui.label("No calls with memory in these days.").classes("cmg-empty")


def _workspace(one: Row) -> None:
    arms: list[dict[str, Any]] = [
        {"arm": "with memory", **one["memory"]},
        {"arm": "held out of it", **one["holdout"]},
    ]
    listed(_CALLS, arms)
    listed(_USE, [one["use"]])
    listed(_FEEDBACK, [one["feedback"]])
