"""Alerts: what people hear of together, each alert, silences, and why somebody was paged or not."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nicegui import ui

from cmg.console.parts.figures import card, html
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import page
from cmg.console.parts.markup import badge, code, facts, link, moment
from cmg.console.parts.refusals import done
from cmg.console.parts.tables import Action, Column, Filter, Paged, listed
from cmg.console.visit import View
from cmg.kit.clock import rfc3339

_SEVERITIES = {one: one for one in ("P1", "P2", "P3", "P4")}
_STATES = {one: one for one in ("open", "acknowledged", "snoozed", "resolved")}
_SILENCE = (
    Field("name", "Name", help="a-z, 0-9 and -"),
    Field("label", "Label", value="alertname"),
    Field("value", "Its value"),
    Field("hours", "Hours", "number", value=2),
    Field("comment", "Why"),
)


def _severity(row: Mapping[str, Any]) -> object:
    return badge(row["severity"], "bad" if row["severity"] in {"P1", "P2"} else "warn")


_GROUPS = (
    Column("What", lambda row: link(row["title"], f"/alerts/{row['id']}")),
    Column("Severity", _severity),
    Column("Status", lambda row: badge(row["status"])),
    Column("Alerts", lambda row: row["alerts"], right=True),
    Column("Since", lambda row: moment(row["opened_at"])),
    Column("With", lambda row: row["assigned_to"]),
)
_ALERTS = (
    Column("Alert", lambda row: link(row["name"], f"/alerts/{row['id']}")),
    Column("Severity", _severity),
    Column("State", lambda row: badge("firing" if row["firing"] else "resolved")),
    Column("Held back", lambda row: row["held"]),
    Column("Since", lambda row: moment(row["starts_at"])),
    Column("About", lambda row: row["annotations"].get("summary", "")),
)
_SILENCES = (
    Column("Silence", lambda row: code(row["id"])),
    Column("Of", lambda row: ", ".join(f"{one['label']}{one['op']}{one['value']}" for one in row["matchers"])),
    Column("From", lambda row: moment(row["starts_at"], relative=False)),
    Column("To", lambda row: moment(row["ends_at"], relative=False)),
    Column("Why", lambda row: row["comment"]),
)
_DECISIONS = (
    Column("When", lambda row: moment(row["at"], relative=False)),
    Column("What happened", lambda row: row["event"]),
    Column("Decision", lambda row: row["outcome"]),
    Column("Because", lambda row: "; ".join(f"{one['stage']}: {one['reason']}" for one in row["verdicts"])),
)


_MESSAGES = (
    Column("When", lambda row: moment(row["created_at"], relative=False)),
    Column("To", lambda row: row["target"]),
    Column("By", lambda row: row["channel"]),
    Column("What", lambda row: row["subject"]),
    Column("State", lambda row: badge(row["state"], {"sent": "good", "failed": "bad"}.get(row["state"], "warn"))),  # type: ignore[arg-type]
    Column("Error", lambda row: row["error"]),
)


@page("/alerts", title="Alerts", icon="notifications_active", group="Respond")
async def alerts(view: View) -> None:
    """Groups that wait for somebody, then alerts, then silences."""

    async def acknowledge(row: Mapping[str, Any]) -> None:
        await view.post(f"/admin/v1/alerts/{row['id']}/acknowledge")
        done("Acknowledged: nobody else is paged for it.")

    acting = [Action("Acknowledge", acknowledge, lambda row: row["status"] == "open")] if view.may("admin") else []
    with card("What people hear of"):
        await Paged(
            view, "/admin/v1/alert-groups", _GROUPS, filters=(Filter("status", "Status", _STATES),), actions=acting
        ).show()
    with card("Alerts"):
        filters = (
            Filter("active", "State", {"true": "firing", "false": "over"}),
            Filter("severity", "Severity", _SEVERITIES),
        )
        await Paged(view, "/admin/v1/alerts", _ALERTS, filters=filters).show()
    with card("Silences"):
        await _silences(view)


async def _silences(view: View) -> None:
    async def expire(row: Mapping[str, Any]) -> None:
        await view.delete(f"/admin/v1/silences/{row['id']}")

    acting = [Action("End", expire)] if view.may("admin") else []
    table = Paged(view, "/admin/v1/silences", _SILENCES, actions=acting)

    async def make() -> None:
        if await ask("Silence alerts", "Silence", lambda: Form(_SILENCE), send) is not None:
            await table.load()

    async def send(form: Form) -> Any:
        given, now = form.needed("name", "label", "value", "hours"), view.clock.time()
        body = {
            "matchers": [{"label": given["label"], "op": "=", "value": given["value"]}],
            "starts_at": rfc3339(now),
            "ends_at": rfc3339(now + float(given["hours"]) * 3600),
            "comment": given.get("comment", ""),
        }
        return await view.put(f"/admin/v1/silences/{quote(given['name'], safe='')}", body)

    if view.may("admin"):
        ui.button("Silence alerts", icon="notifications_off", on_click=make).props("outline no-caps").classes(
            "cmg-create"
        )
    await table.show()


@page("/alerts/{alert_id}", title="Why was I (not) paged?", group="Respond")
async def story(view: View) -> None:
    """An alert or a group with every decision and every message."""
    path = f"/admin/v1/alerts/{view.path['alert_id']}"
    html(link("All alerts", "/alerts"))
    holder = ui.column().classes("cmg-field")

    async def draw() -> None:
        found = await view.get(path)
        holder.clear()
        with holder:
            _story(found)
            if view.may("admin") and found["group"] and found["group"]["status"] != "resolved":
                _acting(view, path, draw)
            if view.may("admin"):
                _judging(view, path)
            with card("Decisions"):
                listed(_DECISIONS, found["decisions"])
            with card("Messages"):
                listed(_MESSAGES, found["notifications"])

    await draw()


def _story(found: Mapping[str, Any]) -> None:
    if alert := found["alert"]:
        with card(alert["name"]):
            labels = ", ".join(f"{name}={value}" for name, value in alert["labels"].items())
            runbook = alert["annotations"].get("runbook_url") or alert["annotations"].get("runbook") or ""
            told = [("Severity", _severity(alert)), ("Labels", labels), ("Runbook", _runbook(runbook))]
            html(facts([*told, ("About", alert["annotations"].get("summary", ""))]))
    if group := found["group"]:
        with card(group["title"]):
            rows = [("Status", badge(group["status"])), ("With", group["assigned_to"]), ("By", group["by"])]
            incident = link(group["incident"], f"/incidents/{group['incident']}") if group["incident"] else None
            html(facts([*rows, ("Policy", group["policy"]), ("Step", group["step"]), ("Incident", incident)]))


def _runbook(place: str) -> object:
    """Ours are pages of the console; another's is wherever its rule says."""
    ours = re.fullmatch(r"runbooks/([a-z0-9-]+)\.md", place)
    if ours:
        return link(place, f"/runbooks/{ours[1]}")
    return link(place, place) if place.startswith(("https://", "http://")) else place


def _acting(view: View, path: str, draw: Any) -> None:
    async def act(what: str, body: Any = None) -> None:
        await view.post(f"{path}/{what}", body)
        await draw()

    with ui.row().classes("cmg-filters"):
        for label, what, body in (
            ("Acknowledge", "acknowledge", None),
            ("Snooze an hour", "snooze", {"minutes": 60}),
            ("Resolve", "resolve", None),
        ):
            ui.button(label, on_click=lambda what=what, body=body: act(what, body)).props("outline no-caps")


def _judging(view: View, path: str) -> None:
    """Whether it was worth it; what rules are noise stands in `/admin/v1/alert-noise`."""

    async def judge(verdict: str) -> None:
        await view.post(f"{path}/feedback", {"verdict": verdict})
        done(f"Kept: {verdict}.")

    with ui.row().classes("cmg-filters"):
        for label, verdict in (("It was useful", "useful"), ("It was noise", "noise")):
            ui.button(label, on_click=lambda verdict=verdict: judge(verdict)).props("flat no-caps")
