"""The rules of a workspace: how each stands, and what came of its alerts."""

import asyncio
from typing import Any

from nicegui import ui

from cmg.console.pages.rules.writing import PATH, change, create
from cmg.console.parts.dialogs import sure
from cmg.console.parts.figures import card, html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, facts, link, moment, number
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Given, Row, listed
from cmg.console.visit import View

_MOST = 200  # a workspace has 50 rules


def _state(row: Row) -> object:
    stands = row["stands"]
    if not row["enabled"]:
        return badge("off")
    if stands["error"]:
        return badge("error")
    states = {one["state"] for one in stands["active"]}
    word = "firing" if "firing" in states else "pending" if states else "quiet"
    return badge(word if stands["evaluated_at"] or states else "not evaluated yet")


def _figure(row: Row, name: str) -> object:
    return number(row["came"][name]) if row["came"] is not None else number(None)


_COLUMNS = (
    Column("Rule", lambda row: link(row["id"], f"/alert-rules/{row['id']}")),
    Column("Severity", lambda row: badge(row["severity"], "bad" if row["severity"] in {"P1", "P2"} else "warn")),
    Column("State", _state),
    Column("Evaluated", lambda row: moment(row["stands"]["evaluated_at"])),
    Column("Told by", lambda row: row["stands"]["policy"] or badge("nobody is told", "bad")),
    Column("Fired", lambda row: _figure(row, "fired"), right=True),
    Column("Acted on", lambda row: _figure(row, "acted"), right=True),
    Column("Useful", lambda row: _figure(row, "useful"), right=True),
    Column("Noise", lambda row: _figure(row, "noise"), right=True),
)
_ACTIVE = (
    Column("State", lambda row: badge(row["state"])),
    Column("Since", lambda row: moment(row["since"])),
    Column("Value", lambda row: number(row["value"]), right=True),
    Column("Labels", lambda row: ", ".join(f"{name}={value}" for name, value in sorted(row["labels"].items()))),
)


@page("/alert-rules", title="Rules of the workspace", icon="rule", group="Respond")
async def rules(view: View) -> None:
    """Figures are of thirty days."""

    async def draw() -> None:
        rows = await _rows(view)
        holder.clear()
        with holder:
            Given(_COLUMNS, rows, actions)

    async def make() -> None:
        if await create(view):
            await draw()

    async def edit(row: Row) -> None:
        if await change(view, row):
            await draw()

    async def remove(row: Row) -> None:
        if await _removed(view, row):
            await draw()

    may = view.may("admin")
    actions = (Action("Change", edit), Action("Delete", remove)) if may else ()
    if may:
        ui.button("Create a rule", icon="add", on_click=make).props("no-caps").classes("cmg-create")
    holder = ui.column().classes("cmg-field")
    await draw()


@page("/alert-rules/{rule}", title="A rule of the workspace", group="Respond")
async def one(view: View) -> None:
    """What it says, and what its last evaluation gave."""
    path = f"{PATH}/{view.path['rule']}"
    html(link("All rules", "/alert-rules"))
    holder = ui.column().classes("cmg-field")

    async def draw() -> None:
        rule, stands = await asyncio.gather(view.get(path), view.get(f"{path}/state"))
        holder.clear()
        with holder:
            _told({**rule, "stands": stands})
            if view.may("admin"):
                _buttons(rule)

    def _buttons(rule: Row) -> None:
        async def edit() -> None:
            if await change(view, rule):
                await draw()

        async def remove() -> None:
            if await _removed(view, rule):
                ui.navigate.to("/alert-rules")

        with ui.row().classes("cmg-filters"):
            ui.button("Change", on_click=edit).props("outline no-caps")
            ui.button("Delete", on_click=remove).props("outline no-caps")

    await draw()


def _told(row: Row) -> None:
    stands = row["stands"]
    with card(row["id"], wide=True):
        pairs = [
            ("State", _state(row)),
            ("Severity", row["severity"]),
            ("Expression", code(row["expr"])),
            ("Fires after", f"{row['for_seconds']} s"),
            ("Summary", row["summary"]),
            ("Told by", stands["policy"] or badge("nobody is told", "bad")),
            ("Evaluated", moment(stands["evaluated_at"])),
            ("Written", moment(row["updated_at"])),
            ("By", row["updated_by"]),
        ]
        html(facts([*pairs, ("Error", stands["error"])] if stands["error"] else pairs))
    with card("Its alerts now", wide=True):
        listed(_ACTIVE, stands["active"])


async def _rows(view: View) -> list[dict[str, Any]]:
    found, noise = await asyncio.gather(
        view.get(PATH, {"limit": _MOST}), view.get("/admin/v1/alert-noise", {"days": 30})
    )
    items = found["items"]
    stand = await asyncio.gather(*(view.get(f"{PATH}/{one['id']}/state") for one in items))
    came = {one["rule"]: one for one in noise["items"]}
    return [{**rule, "stands": stands, "came": came.get(rule["id"])} for rule, stands in zip(items, stand, strict=True)]


async def _removed(view: View, row: Row) -> bool:
    if not await sure(f"Delete the rule “{row['id']}”?", "What fires by it is over then.", "Delete"):
        return False
    await view.delete(f"{PATH}/{row['id']}")
    done("The rule is deleted.")
    return True
