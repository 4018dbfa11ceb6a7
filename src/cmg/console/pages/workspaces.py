"""Workspaces: the tenants, their calendars, and how their memory is kept."""

from typing import Any

from nicegui import ui

from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badges, code, link, moment
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Paged, Row
from cmg.console.visit import View
from cmg.kit.scopes import EVERYTHING, WORKSPACE

_REDACTED = {one: one for one in ("secrets", "email", "phone", "card", "iban")}
_SETTINGS = (
    Field("name", "Name"),
    Field("timezone", "Time zone", help="as Europe/Berlin; budgets' periods begin at its midnight"),
    Field("memory.shared", "Keys share their users", "switch"),
    Field("memory.reason_required", "Administrators say why they read memory", "switch"),
    Field(
        "memory.retention_days", "Days that memory is kept", "number", "0: until it is erased; empty: as the service"
    ),
    Field("memory.item_days", "Days that unused items are kept", "number"),
    Field("memory.half_life_days", "Half-life of the salience in days", "number", "0: no ageing"),
    Field("memory.holdout_share", "Share of conversations without memory", "number", "to measure its effect"),
    Field("memory.redact", "Taken out of what is stored", "choices", options=_REDACTED),
)
_NEW = (Field("id", "Id", help="a-z, 0-9, _ and -; it cannot be changed"), *_SETTINGS[:2])
_COLUMNS = (
    Column("Id", lambda row: code(row["id"])),
    Column("Name", lambda row: row["name"]),
    Column("Time zone", lambda row: row["timezone"]),
    Column("Memory", lambda row: badges(_told(row["memory"]))),
    Column("Keys", lambda row: link("keys", f"/keys?workspace={row['id']}")),
    Column("Requests", lambda row: link("requests", f"/requests?workspace={row['id']}")),
    Column("Made", lambda row: moment(row["created_at"])),
)


@page("/workspaces", title="Workspaces", icon="apartment", group="Access")
async def workspaces(view: View) -> None:
    """Those that the person may see."""

    async def change(row: Row) -> None:
        async def save(form: Form) -> Any:
            return await view.patch(f"/admin/v1/workspaces/{row['id']}", form.changed())

        if await ask(f"Change “{row['name']}”", "Save", lambda: Form(_SETTINGS, row), save) is not None:
            done("Saved.")

    actions = (Action("Change", change),) if view.may(WORKSPACE) else ()
    table = Paged(view, "/admin/v1/workspaces", _COLUMNS, actions=actions)
    if view.may(EVERYTHING):

        async def create() -> None:
            async def send(form: Form) -> Any:
                return await view.post("/admin/v1/workspaces", form.given())

            if await ask("Create a workspace", "Create", lambda: Form(_NEW), send) is not None:
                await table.load()

        ui.button("Create a workspace", icon="add", on_click=create).props("no-caps").classes("cmg-create")
    await table.show()


def _told(memory: Row) -> list[str]:
    return [
        f"{name.replace('_', ' ')}: {value}"
        for name, value in memory.items()
        if value not in (None, False, []) and name != "user_token_key"
    ]
