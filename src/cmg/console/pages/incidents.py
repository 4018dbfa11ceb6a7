"""Incidents: the list, one with its timeline, what was said, its actions, and the post-mortem."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.parts.figures import card, html
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, facts, link, moment, pre
from cmg.console.parts.tables import Column, Filter, Paged, listed
from cmg.console.visit import View

_SEVERITIES = {one: one for one in ("SEV-1", "SEV-2", "SEV-3", "SEV-4")}
_KINDS = {"initial": "first word", "update": "update", "resolution": "resolution", "post_incident": "afterwards"}
_COLUMNS = (
    Column("Incident", lambda row: link(row["title"], f"/incidents/{row['id']}")),
    Column("Severity", lambda row: badge(row["severity"], "bad" if row["severity"] < "SEV-3" else "warn")),
    Column("Status", lambda row: badge(row["status"])),
    Column("Commander", lambda row: row["commander"]),
    Column("Began", lambda row: moment(row["started_at"])),
    Column("Resolved", lambda row: moment(row["resolved_at"])),
)
_DECLARE = (
    Field("title", "Title"),
    Field("severity", "Severity", "choice", options=_SEVERITIES, value="SEV-2"),
    Field("summary", "Summary", "long"),
    Field("commander", "Commander"),
)
_ROLES = (
    Field("severity", "Severity", "choice", options=_SEVERITIES),
    Field("summary", "Summary", "long"),
    Field("commander", "Commander"),
    Field("communications", "Communications"),
    Field("scribe", "Scribe"),
)
_SAY = (
    Field("kind", "Kind", "choice", options=_KINDS, value="update"),
    Field("audience", "For", "choice", options={"internal": "us", "customer": "customers"}, value="internal"),
    Field("text", "Text", "long", "none: made from the incident"),
)
_CLOSE = (
    Field("override", "Why, although a check failed", "long", "none: only if the service works, which is checked now"),
)
_TODO = (
    Field("text", "What is to be done"),
    Field("owner", "Owner"),
    Field("due_at", "Until", help="RFC 3339, as 2026-12-31T23:59:59Z"),
)
_TIMELINE = (
    Column("When", lambda row: moment(row["at"], relative=False)),
    Column("Kind", lambda row: badge(row["kind"])),
    Column("Who", lambda row: row["actor"]),
    Column("What", lambda row: row["text"]),
)
_SAID = (
    Column("When", lambda row: moment(row["at"], relative=False)),
    Column("For", lambda row: row["audience"]),
    Column("Subject", lambda row: row["subject"]),
    Column("State", lambda row: badge(row["status"])),
)
_ACTIONS = (
    Column("What", lambda row: row["text"]),
    Column("Owner", lambda row: row["owner"]),
    Column("State", lambda row: badge("overdue" if row["overdue"] else row["state"])),
    Column("Until", lambda row: moment(row["due_at"])),
)


@page("/incidents", title="Incidents", icon="crisis_alert", group="Respond", needs="admin:all")
async def incidents(view: View) -> None:
    """Newest first."""

    async def declare() -> None:
        made = await ask("Declare an incident", "Declare", lambda: Form(_DECLARE), send)
        if made is not None:
            ui.navigate.to(f"/incidents/{made['id']}")

    async def send(form: Form) -> Any:
        return await view.post("/admin/v1/incidents", form.given())

    ui.button("Declare an incident", icon="add", on_click=declare).props("no-caps").classes("cmg-create")
    filters = (
        Filter("state", "State", {"open": "open", "resolved": "resolved", "closed": "closed"}),
        Filter("severity", "Severity", _SEVERITIES),
    )
    await Paged(view, "/admin/v1/incidents", _COLUMNS, filters=filters).show()


@page("/incidents/{incident}", title="Incident", group="Respond", needs="admin:all")
async def incident(view: View) -> None:
    """Everything about one."""
    path = f"/admin/v1/incidents/{view.path['incident']}"
    html(link("All incidents", "/incidents"))
    holder = ui.column().classes("cmg-field")

    async def draw() -> None:
        found, timeline, said, actions = await asyncio.gather(
            view.get(path),
            view.get(f"{path}/timeline"),
            view.get(f"{path}/communications"),
            view.get(f"{path}/actions"),
        )
        holder.clear()
        with holder:
            _buttons(_Acts(view, path, draw), found)
            with card(found["title"]):
                html(facts(_facts(found)))
            for title, columns, answer in (
                ("Timeline", _TIMELINE, timeline),
                ("Communication", _SAID, said),
                ("Action items", _ACTIONS, actions),
            ):
                with card(title):
                    listed(columns, answer["items"])

    await draw()


class _Acts:
    """What is done with an incident; each draws it anew."""

    def __init__(self, view: View, path: str, draw: Callable[[], Awaitable[None]]) -> None:
        self._view, self._path, self._draw = view, path, draw

    async def acknowledge(self) -> None:
        """Somebody works on it."""
        await self._view.post(f"{self._path}/acknowledge")
        await self._draw()

    async def change(self, found: Mapping[str, Any]) -> None:
        """Severity, words, roles."""

        async def send(form: Form) -> Any:
            return await self._view.patch(self._path, form.changed())

        await self._asked("Change the incident", "Save", lambda: Form(_ROLES, found), send)

    async def add(self, title: str, fields: tuple[Field, ...], below: str) -> None:
        """A note, a message, an action item: what is posted below the incident."""

        async def send(form: Form) -> Any:
            return await self._view.post(f"{self._path}/{below}", form.given())

        await self._asked(title, "Add", lambda: Form(fields), send)

    async def read(self) -> None:
        """The post-mortem document."""
        told = await self._view.text(f"{self._path}/post-mortem")
        with ui.dialog() as dialog, ui.card().classes("cmg-dialog"):
            dialog.props["aria-label"] = "Post-mortem"
            html(pre(told))
            ui.button("Close", on_click=dialog.close).props("flat")
        dialog.open()

    async def _asked(self, title: str, button: str, form: Callable[[], Form], send: Any) -> None:
        if await ask(title, button, form, send) is not None:
            await self._draw()


def _buttons(acts: _Acts, found: Mapping[str, Any]) -> None:
    note, text = (Field("text", "Note", "long"),), (Field("text", "What ended it", "long"),)
    with ui.row().classes("cmg-filters"):
        if found["acknowledged_at"] is None:
            _button("Acknowledge", acts.acknowledge)
        _button("Change", lambda: acts.change(found))
        _button("Note", lambda: acts.add("Add a note", note, "notes"))
        _button("Say something", lambda: acts.add("Say something", _SAY, "communications"))
        _button("Action item", lambda: acts.add("Add an action item", _TODO, "actions"))
        if found["resolved_at"] is None:
            _button("Resolve", lambda: acts.add("Resolve the incident", text, "resolve"))
        elif found["closed_at"] is None:
            _button("Close", lambda: acts.add("Close the incident", _CLOSE, "close"))
        _button("Post-mortem", acts.read)


def _button(label: str, act: Callable[[], Awaitable[None]]) -> None:
    ui.button(label, on_click=act).props("outline no-caps")


def _facts(found: Mapping[str, Any]) -> list[tuple[str, object]]:
    steps = Markup(" ").join(badge(f"{box['name']}: {box['state']}") for box in found["time_boxes"])
    return [
        ("Severity", badge(found["severity"], "bad" if found["severity"] < "SEV-3" else "warn")),
        ("Means", found["meaning"]),
        ("Status", badge(found["status"])),
        ("Summary", found["summary"]),
        ("Commander", found["commander"]),
        ("Communications", found["communications"]),
        ("Scribe", found["scribe"]),
        ("Components", ", ".join(found["components"])),
        ("Began", moment(found["started_at"], relative=False)),
        ("Acknowledged", moment(found["acknowledged_at"], relative=False)),
        ("Resolved", moment(found["resolved_at"], relative=False)),
        ("Steps", steps),
    ]
