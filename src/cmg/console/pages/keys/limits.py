"""Limits and budgets: how fast keys may be used, what they may spend, and what they have spent."""

from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.pages.keys.fields import BUDGET, LIMITS
from cmg.console.parts.dialogs import sure
from cmg.console.parts.figures import card
from cmg.console.parts.forms import Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import NOTHING, badge, link, moment, number, text, usd
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Filter, Paged, Row, paged
from cmg.console.visit import View


def _bound(value: int | None) -> Markup:
    return NOTHING if value is None else number(value)


def _used(row: Row) -> Markup:
    share = float(row["share"])
    tone = "bad" if share >= 1 else "warn" if share >= 0.8 else "good"
    bar = Markup('<progress max="1" value="{}" aria-label="used"></progress> {}')
    return bar.format(min(1.0, share), badge(f"{share:.1%}", tone))  # type: ignore[arg-type]


_BUDGETS = (
    Column("Key", lambda row: link(row["name"], f"/keys/{row['key']}")),
    Column("State", lambda row: badge(row["state"])),
    Column("Workspace", lambda row: row["workspace"]),
    Column("Used", _used),
    Column("Spent", lambda row: usd(row["spent_usd"]), right=True),
    Column("Budget", lambda row: usd(row["budget_usd"]), right=True),
    Column("Period", lambda row: row["period"]),
    Column("Begins anew", lambda row: moment(row["period_end"])),
    Column("Told at", lambda row: text(", ".join(f"{share:.0%}" for share in row["alert_at"]))),
    Column("Then suspended", lambda row: "yes" if row["auto_suspend"] else "no"),
)
_LIMITS = (
    Column("Key", lambda row: link(row["name"], f"/keys/{row['id']}")),
    Column("State", lambda row: badge(row["state"])),
    Column("Workspace", lambda row: row["workspace"]),
    *(
        Column(head, lambda row, name=name: _bound(row["limits"][name]), right=True)  # type: ignore[misc]
        for head, name in (
            ("Requests a minute", "rpm"),
            ("An hour", "rph"),
            ("Tokens a minute", "tpm"),
            ("At once", "burst"),
            ("In flight", "concurrency"),
        )
    ),
)
_PASSED = (
    Column("When", lambda row: moment(row["at"])),
    Column("Key", lambda row: link(row["key"], f"/keys/{row['key']}")),
    Column("Owner", lambda row: row["owner"]),
    Column("What", lambda row: badge(row["kind"], "bad" if row["kind"] == "suspended" else "warn")),
    Column("At", lambda row: f"{row['threshold']:.0%}", right=True),
    Column("Spent", lambda row: usd(row["spent_usd"]), right=True),
    Column("Of", lambda row: usd(row["budget_usd"]), right=True),
    Column("Period", lambda row: row["period"]),
)


@page("/limits", title="Limits and budgets", icon="speed", group="Access")
async def limits(view: View) -> None:
    """Both are settings of a key, and are changed with it."""

    async def change(key_id: str, name: str) -> None:
        path = f"/admin/v1/keys/{key_id}"
        found = await view.get(path)

        async def save(form: Form) -> Any:
            return await view.patch(path, form.changed())

        fields = (*LIMITS, *BUDGET)
        if await ask(f"Limits and budget of “{name}”", "Save", lambda: Form(fields, found), save) is not None:
            done("Saved. It holds within two seconds in every process.")

    async def of_budget(row: Row) -> None:
        await change(row["key"], row["name"])

    async def of_limits(row: Row) -> None:
        await change(row["id"], row["name"])

    async def lift(row: Row) -> None:
        if await sure(f"No budget for “{row['name']}”?", "It may spend without a bound.", "Take it away"):
            await view.patch(f"/admin/v1/keys/{row['key']}", {"budget": None})

    may = view.may("admin")
    with card("Budgets", wide=True):
        acts = (Action("Change", of_budget), Action("No budget", lift)) if may else ()
        await paged(view, "/admin/v1/budgets", _BUDGETS, actions=acts)
    with card("Limits", wide=True):
        filters = (Filter("workspace", "Workspace"), Filter("owner", "Owner"), Filter("tag", "Tag"))
        await Paged(
            view, "/admin/v1/keys", _LIMITS, filters=filters, actions=(Action("Set", of_limits),) if may else ()
        ).show()
    with card("Thresholds that were passed", wide=True):
        ui.label("Each once in a period; at 100 % a key is suspended where its budget says so.").classes("cmg-quiet")
        await paged(view, "/admin/v1/budget-events", _PASSED)
