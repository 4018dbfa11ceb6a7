"""One item: where it was said, its versions, why it is as salient as it is; changing and deleting it."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.pages.memory.asking import Asking
from cmg.console.parts.dialogs import head, sure, titled
from cmg.console.parts.figures import html
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.markup import code, facts, moment, short
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Column, listed

_SOURCES = (
    Column("Thread", lambda row: row["thread_id"]),
    Column("Who", lambda row: row["name"] or row["role"]),
    Column("Message", lambda row: code(row["message_id"])),
    Column("Said", lambda row: moment(row["created_at"])),
)
_VERSIONS = (
    Column("Version", lambda row: row["version"], right=True),
    Column("What", lambda row: row["content"]),
    Column("Stored", lambda row: moment(row["updated_at"])),
    Column("Retired", lambda row: moment(row["retired_at"])),
)
_LINKS = (Column("Drawn from it", lambda row: row["content"]), Column("Kind", lambda row: row["kind"]))
_FIELDS = (Field("content", "What is remembered", "long"), Field("expires_at", "Expires at", help="RFC 3339"))


async def show_item(asking: Asking, item_id: str) -> None:
    """In a dialog, until it is closed, changed or deleted."""
    told = await asking.get(f"/v1/expand/{item_id}")
    item = told["item"]
    with titled("A memory") as dialog, ui.card().classes("cmg-dialog"):
        head("A memory")
        html(Markup("<blockquote>{}</blockquote>").format(item["content"]))
        html(facts(_facts(told)))
        ui.label("Sources").props("role=heading aria-level=3")
        listed(_SOURCES, told["sources"])
        ui.label("Versions").props("role=heading aria-level=3")
        listed(_VERSIONS, told["versions"])
        if told["links"]:
            listed(_LINKS, told["links"])
        with ui.row().classes("cmg-buttons"):
            ui.button("Close", on_click=lambda: dialog.submit("")).props("flat")
            ui.button("Delete", on_click=lambda: dialog.submit("delete"), color="negative").props("outline")
            ui.button("Change", on_click=lambda: dialog.submit("change"))
    chosen = await dialog
    dialog.delete()
    path = f"/v1/memories/{item_id}"
    if chosen == "change":

        async def save(form: Form) -> Any:
            return await asking.api().json("PUT", path, form.changed())

        if await ask("Change the memory", "Save", lambda: Form(_FIELDS, item), save) is not None:
            done("Saved as a new version.")
    elif chosen == "delete" and await sure("Delete this memory?", "It goes with its history.", "Delete"):
        await asking.api().json("DELETE", path)
        done("Deleted.")


def _facts(told: Mapping[str, Any]) -> list[tuple[str, object]]:
    item, why = told["item"], told["salience"]
    parts = " + ".join(f"{name} {short(why[name])}" for name in ("importance", "mentions", "uses", "feedback"))
    return [
        ("Id", code(item["id"])),
        ("User", item["user_id"]),
        ("Kind", item["kind"]),
        ("Origin", told["origin"]),
        ("Says", " ".join(filter(None, (told["subject"], told["relation"], told["value"])))),
        ("Quote", told["quote"]),
        ("Salience", f"{short(why['salience'])} = ({parts}) * age {short(why['age'])}"),
        ("Used in answers", told["uses"]),
        ("Mentioned", told["mentions"]),
        ("Judged", [f"{one['feedback_type']} {short(one['value'])}" for one in told["feedback"]]),
        ("Valid from", moment(item["valid_from"], relative=False)),
        ("Valid to", moment(item["valid_to"], relative=False)),
        ("Expires", moment(item["expires_at"], relative=False)),
    ]
