"""Calendars of a schedule or a person, by an address that calendar programs subscribe to."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from nicegui import ui

from cmg.console.parts.dialogs import sure, told_once
from cmg.console.parts.figures import card
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.markup import badge, moment
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Paged, Row
from cmg.console.visit import View

PATH = "/admin/v1/calendar-feeds"
_ALL = {"limit": 200}
_COLUMNS = (
    Column("Of", lambda row: row["schedule"] or row["responder"]),
    Column("Which is", lambda row: badge("schedule" if row["schedule"] else "person")),
    Column("Made", lambda row: moment(row["created_at"])),
    Column("By", lambda row: row["created_by"]),
    Column("Read last", lambda row: moment(row["read_at"])),
    Column("Expires", lambda row: moment(row["expires_at"])),
)


async def feeds(view: View) -> None:
    """All of the workspace, and making one. Raises `Refused`."""

    async def make() -> None:
        schedules, people = await view.get("/admin/v1/schedules", _ALL), await view.get("/admin/v1/responders", _ALL)
        named = {f"schedule {one['id']}": f"Schedule: {one['name']}" for one in schedules["items"]}
        named |= {f"responder {one['id']}": f"Person: {one['name']}" for one in people["items"]}
        fields = (
            Field("of", "Of", "choice", options=named),
            Field("expires_at", "Expires at", help="RFC 3339, as 2027-12-31T18:00:00Z; empty: never"),
        )
        made = await ask("Subscribe to a calendar", "Subscribe", lambda: Form(fields), send)
        if made is not None:
            await _tell(view, made)
            await table.load()

    async def send(form: Form) -> Any:
        given = form.given()
        kind, _, name = str(given.pop("of", "")).partition(" ")
        return await view.post(PATH, {**given, **({kind: name} if kind else {})})

    async def rotate(row: Row) -> None:
        if await sure("Another address?", "The address before stops to work at once.", "Change"):
            await _tell(view, await view.post(f"{PATH}/{row['id']}/rotate"))

    async def revoke(row: Row) -> None:
        if await sure("Revoke the calendar?", "Its address stops to work at once.", "Revoke"):
            await view.delete(f"{PATH}/{row['id']}")
            done("The calendar is revoked.")

    may = view.may("admin")
    with card("Calendars", wide=True):
        if may:
            ui.button("Subscribe", icon="event", on_click=make).props("outline no-caps").classes("cmg-create")
        actions = (Action("Another address", rotate), Action("Revoke", revoke)) if may else ()
        table = Paged(view, PATH, _COLUMNS, actions=actions)
        await table.show()


async def _tell(view: View, made: Mapping[str, Any]) -> None:
    """The address as people reach the service, this once."""
    address = f"{view.api_url}{urlsplit(made['url']).path}"
    lead = "Subscribe to this address in a calendar program. Whoever has it reads the shifts; it is shown this once."
    await told_once("The calendar's address", lead, address)
