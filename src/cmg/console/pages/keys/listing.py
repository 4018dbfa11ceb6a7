"""All keys, and making one."""

from typing import Any

from nicegui import ui

from cmg.console.pages.keys.fields import FORM, SCOPES
from cmg.console.pages.keys.secret import show_secret
from cmg.console.parts.forms import Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, badges, link, moment, usd
from cmg.console.parts.tables import Column, Filter, Paged
from cmg.console.visit import View

COLUMNS = (
    Column("Name", lambda row: link(row["name"], f"/keys/{row['id']}")),
    Column("State", lambda row: badge(row["state"])),
    Column("Workspace", lambda row: row["workspace"]),
    Column("Owner", lambda row: row["owner"]),
    Column("Scopes", lambda row: badges(row["scopes"])),
    Column("Budget", lambda row: usd(row["budget"] and row["budget"]["usd"]), right=True),
    Column("Made", lambda row: moment(row["created_at"])),
)
_FILTERS = (
    Filter("state", "State", {"active": "active", "suspended": "suspended", "revoked": "revoked"}),
    Filter("workspace", "Workspace"),
    Filter("owner", "Owner"),
    Filter("tag", "Tag"),
)


@page("/keys", title="API keys", icon="key", group="Access")
async def keys(view: View) -> None:
    """Newest first."""
    table = Paged(view, "/admin/v1/keys", COLUMNS, filters=_FILTERS)
    if view.may("admin"):

        async def create() -> None:
            made: dict[str, Any] | None = await ask(
                "Create a key", "Create", lambda: Form(FORM, {"scopes": SCOPES[:4]}), lambda form: _create(view, form)
            )
            if made is not None:
                await show_secret(view, made)
                await table.load()

        ui.button("Create a key", icon="add", on_click=create).props("no-caps").classes("cmg-create")
    await table.show()


async def _create(view: View, form: Form) -> Any:
    return await view.post("/admin/v1/keys", form.given())
