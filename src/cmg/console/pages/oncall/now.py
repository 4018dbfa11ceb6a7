"""On-call: who is on call now and next, when nobody is, whom each step would tell, and standing in for somebody."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from markupsafe import Markup
from nicegui import ui

from cmg.console.pages.oncall.feeds import feeds
from cmg.console.parts.dialogs import sure
from cmg.console.parts.figures import card, grid, html
from cmg.console.parts.forms import Field, Form, ask
from cmg.console.parts.frame import drawn, page
from cmg.console.parts.markup import NOTHING, badge, badges, facts, moment, pre
from cmg.console.parts.refusals import banner, done
from cmg.console.parts.tables import Action, Column, Given, Row, listed
from cmg.console.plane import Refused
from cmg.console.visit import View
from cmg.kit.clock import rfc3339

_KEPT_S = 30 * 86_400.0  # overrides that ended before are taken out of a schedule when one is added
_STAMPS = {"id", "updated_at", "updated_by"}
_MOST = 200
_GAPS = (
    Column("From", lambda row: moment(row["starts_at"], relative=False)),
    Column("Until", lambda row: moment(row["ends_at"], relative=False)),
)
_OVERRIDES = (
    Column("Who", lambda row: row["person"]),
    Column("From", lambda row: moment(row["starts_at"], relative=False)),
    Column("Until", lambda row: moment(row["ends_at"], relative=False)),
)
_TIERS = (
    Column("Step", lambda row: f"{row['step']} {row['name']}".strip()),
    Column("After", lambda row: f"{row['after_minutes']} min"),
    Column("People", lambda row: _people(row["people"])),
    Column("Channels", lambda row: badges(row["channels"])),
    Column("Nobody in", lambda row: badges(row["nobody_in"], "bad")),
)


@page("/oncall", title="On-call", icon="phone_in_talk", group="Respond")
async def oncall(view: View) -> None:
    """A workspace's schedules and policies; what is changed here holds at once, for alerts that wait too."""
    holder = ui.column().classes("cmg-field")

    async def draw() -> None:
        rosters = await view.get("/admin/v1/alerts/oncall", {"limit": _MOST})
        policies = await view.get("/admin/v1/alerts/oncall/tiers", {"limit": _MOST})
        holder.clear()
        with holder:
            if not rosters["items"]:
                html(Markup('<p class="cmg-empty">There is no schedule: PUT /admin/v1/schedules/NAME makes one.</p>'))
            for found in rosters["items"]:
                await _schedule(_Schedule(view, found, draw))
            for policy in policies["items"]:
                with card(f"Escalation: {policy['name']}", wide=True):
                    listed(_TIERS, policy["tiers"])

    await draw()
    await drawn(feeds, view)


class _Schedule:
    """One schedule, and what is done with it; `draw` draws the page anew."""

    def __init__(self, view: View, roster: Mapping[str, Any], draw: Any) -> None:
        self.view, self.roster, self._draw = view, roster, draw
        self._path = f"/admin/v1/schedules/{roster['schedule']}"

    async def document(self) -> dict[str, Any]:
        """As it was written."""
        found = await self.view.get(self._path)
        return {name: value for name, value in found.items() if name not in _STAMPS}

    async def override(self) -> None:
        """Somebody stands in, from now on or later."""
        people = await self.view.get("/admin/v1/responders", {"limit": _MOST})
        names = {one["id"]: one["name"] for one in people["items"]}
        fields = (
            Field("person", "Who stands in", "choice", options=names),
            Field("hours", "For how many hours", "number", value=8),
            Field("starts_at", "From", help="RFC 3339, as 2026-12-31T18:00:00Z; empty: now"),
        )
        if await ask(f"Override “{self.roster['name']}”", "Override", lambda: Form(fields), self._add) is not None:
            done("It holds at once.")
            await self._draw()

    async def _add(self, form: Form) -> Any:
        given = form.given()
        starts, hours = self._begin(given.get("starts_at")), given.get("hours") or 0
        if hours <= 0:
            raise Refused(400, "give more than 0 hours", "hours")
        made = {
            "person": given.get("person"),
            "starts_at": rfc3339(starts),
            "ends_at": rfc3339(starts + hours * 3600),
        }
        document, since = await self.document(), rfc3339(self.view.clock.time() - _KEPT_S)
        kept = [one for one in document["overrides"] if _seconds(one["ends_at"]) >= _seconds(since)]
        return await self.view.put(self._path, {**document, "overrides": [*kept, made]})

    def _begin(self, told: str | None) -> float:
        try:
            return _seconds(told) if told else self.view.clock.time()
        except ValueError as error:
            raise Refused(400, "as 2026-12-31T18:00:00Z, with the time zone", "starts_at") from error

    async def end(self, row: Row) -> None:
        """Take an override back."""
        if await sure(f"Take the override by {row['person']} back?", "The rotation holds again at once.", "Take back"):
            document = await self.document()
            kept = [one for one in document["overrides"] if one != row]
            await self.view.put(self._path, {**document, "overrides": kept})
            await self._draw()


async def _schedule(schedule: _Schedule) -> None:
    roster, now = schedule.roster, schedule.roster["now"]
    document = await schedule.document()
    still = [one for one in document["overrides"] if _seconds(one["ends_at"]) > schedule.view.clock.time()]
    with card(f"{roster['name']} ({roster['timezone']})", wide=True):
        if now is None:
            banner("Nobody is on call now.")
        with grid():
            html(facts([("Now", _shift(now)), ("Until", _time(now, "until"))]))
            html(facts([("Next", _shift(roster["next"])), ("From", _time(roster["next"], "starts_at"))]))
        if roster["gaps"]:
            banner("Within 14 days there are hours in which nobody is on call.")
            listed(_GAPS, roster["gaps"])
        may = schedule.view.may("admin")
        if may:
            ui.button("Override", icon="swap_horiz", on_click=schedule.override).props("outline no-caps")
        if still:
            Given(_OVERRIDES, still, (Action("Take back", schedule.end),) if may else ())
        with ui.expansion("The schedule as it is written").props("dense"):
            html(pre(document))


def _shift(shift: Mapping[str, Any] | None) -> Markup:
    if shift is None:
        return badge("nobody", "bad")
    told = Markup("<strong>{}</strong>").format(shift["name"])
    return told if shift["reachable"] else Markup("{} {}").format(told, badge("cannot be reached", "bad"))


def _time(shift: Mapping[str, Any] | None, name: str) -> Markup:
    return NOTHING if shift is None else moment(shift[name], relative=False)


def _people(people: Any) -> Markup:
    pieces = (
        Markup("<li>{}{}</li>").format(_shift(one), f" by {one['schedule']}" if one["schedule"] else "")
        for one in people
    )
    return Markup('<ul class="cmg-plain">{}</ul>').format(Markup("").join(pieces)) if people else NOTHING


def _seconds(told: str) -> float:
    """Raises `ValueError` for what is no moment, or has no time zone."""
    found = datetime.fromisoformat(told)
    if found.tzinfo is None:
        raise ValueError
    return found.timestamp()
