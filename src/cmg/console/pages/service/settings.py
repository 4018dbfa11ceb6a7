"""Settings: what holds, where it came from, and what it means. They are changed in the file or the environment."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.figures import html
from cmg.console.parts.frame import page
from cmg.console.parts.markup import NOTHING, badge, code, text
from cmg.console.parts.tables import Column, Row, remember, rows_html
from cmg.console.visit import View
from cmg.kit.scopes import EVERYTHING

_ORIGINS = {
    "default": "default",
    "file": "file",
    "environment": "environment",
    "secret_file": "secret file",
    "command_line": "command line",
}
_LEAD = Markup(
    '<p class="cmg-quiet">As the machine read them that answers the control plane, at its start. Of secrets only '
    "whether they are set is known here, of URLs neither user, password nor query. <code>cmg config show</code> tells "
    "the same for any machine.</p>"
)


def _value(row: Row) -> Markup:
    if row["secret"]:
        return badge("set", "info") if row["set"] else NOTHING
    return code(_written(row["value"]))


def _written(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()


def _origin(row: Mapping[str, Any]) -> Markup:
    told = badge(_ORIGINS[row["origin"]], "quiet" if row["origin"] == "default" else "info")
    return told if not row["place"] else Markup("{} {}").format(told, code(row["place"]))


_COLUMNS = (
    Column("Setting", lambda row: code(row["name"])),
    Column("Value", _value),
    Column("From", _origin),
    Column("Default", lambda row: NOTHING if row["secret"] else code(_written(row["default"]))),
    Column("Variable", lambda row: code(row["variable"])),
    Column("Meaning", lambda row: text(row["meaning"])),
)


@page("/settings", title="Settings", icon="tune", group="Service", needs=EVERYTHING)
async def settings(view: View) -> None:
    """Every one of them; the words searched for and the choice stand in the address."""
    told = await view.get("/admin/v1/settings")
    html(_LEAD)
    with ui.row().classes("cmg-filters").props('role="search"'):
        words = ui.input("Words", value=view.query.get("q", "")).props("outlined dense clearable debounce=200")
        choice = {"": "All", "changed": "Not the default"}
        choice |= {name: f"From: {label}" for name, label in _ORIGINS.items()}
        given = view.query.get("from", "")
        origin = ui.select(choice, label="Which", value=given if given in choice else "").props("outlined dense")
        origin.classes("cmg-select")
    table = html(Markup("")).classes("cmg-table-holder").props("tabindex=0 role=region aria-label=Settings")

    def draw() -> None:
        table.set_content(rows_html(_COLUMNS, _wanted(told["items"], words.value or "", origin.value), ()))

    def chosen() -> None:
        remember({"q": words.value or "", "from": origin.value})
        draw()

    words.on_value_change(chosen)
    origin.on_value_change(chosen)
    draw()


def _wanted(rows: Sequence[Row], words: str, origin: str) -> list[Row]:
    return [
        row
        for row in rows
        if (origin in ("", row["origin"]) or (origin == "changed" and row["origin"] != "default"))
        and all(word in f"{row['name']} {row['meaning']}".lower() for word in words.lower().split())
    ]
