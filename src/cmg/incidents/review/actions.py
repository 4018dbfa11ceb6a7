"""Action items: what is to be done so that it does not happen again, tracked until it is done or dropped."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from cmg.identity.forms.text import moment, one_of, text, wrong
from cmg.identity.models import Actor
from cmg.incidents.desk import Desk, position
from cmg.incidents.forms.views import time_view
from cmg.incidents.review import store
from cmg.incidents.review.store import ACTIONS_MAX, Action
from cmg.kit.clock import Clock, at
from cmg.kit.errors import Conflict, NotFound
from cmg.storage.database import Database

STATES = ("open", "done", "dropped")


class Actions:
    """The use cases of action items. Each change is a line of the incident's timeline, also of a closed one."""

    def __init__(self, database: Database, desk: Desk, clock: Clock) -> None:
        self._database, self._desk, self._clock = database, desk, clock

    async def add(self, by: Actor, incident: int, fields: Mapping[str, Any]) -> Action:
        """Something to do. Raises `InvalidRequest`, `NotFound`, `Conflict` beyond 100."""
        values = _read({"text": None, **fields})
        async with self._desk.changing(by, incident, "incident.action") as change:
            if len(await store.actions_of(change.conn, incident)) >= ACTIONS_MAX:
                raise Conflict(f"{change.incident.name} has {ACTIONS_MAX} action items, which is all it takes")
            made = Action(incident_id=incident, created_at=change.at, created_by=by.name, **values)
            made = msgspec.structs.replace(made, id=await store.add_action(change.conn, made))
            owner = f" ({made.owner})" if made.owner else ""
            change.tell("action", by.name, f"Action {made.id}: {made.text[:500]}{owner}")
        return made

    async def change(self, by: Actor, incident: int, number: int, fields: Mapping[str, Any]) -> Action:
        """Reword it, give it to somebody, or say that it is done, dropped or open again."""
        values = _read(fields)
        async with self._desk.changing(by, incident, "incident.action") as change:
            found = await store.locked_action(change.conn, incident, number)
            if found is None:
                raise NotFound(f"INC-{incident} has no action {number}", param="action")
            made = msgspec.structs.replace(found, **values)
            if made.state != found.state:
                over = made.state != "open"
                ending: dict[str, Any] = {"ended_at": change.at if over else None, "ended_by": by.name if over else ""}
                made = msgspec.structs.replace(made, **ending)
                change.tell("action", by.name, f"Action {number} is {made.state}: {made.text[:500]}")
            await store.save_action(change.conn, made)
        return made

    async def of(self, incident: int) -> list[Action]:
        """Everything to do after an incident."""
        return await store.actions_of(self._database, incident)

    async def page(self, state: str | None, cursor: str | None, limit: int) -> tuple[list[Action], str | None]:
        """A page of every incident's, oldest first, and the cursor of the next."""
        wanted = None if state is None else one_of(state, "state", STATES)
        found = await store.actions_page(self._database, 0 if cursor is None else position(cursor), wanted, limit + 1)
        return found[:limit], str(found[limit - 1].id) if len(found) > limit else None


def action_view(one: Action, now: datetime) -> dict[str, Any]:
    """An action item; `overdue`: open past its day."""
    plain = {name: getattr(one, name) for name in ("id", "text", "owner", "state", "ended_by", "created_by")}
    times = {name: time_view(getattr(one, name)) for name in ("due_at", "ended_at", "created_at")}
    return {**plain, **times, "incident": f"INC-{one.incident_id}", "overdue": one.overdue(now)}


def _read(fields: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "text":
            values[name] = text(value, name, least=1, most=2000, lines=True)
        elif name == "owner":
            values[name] = text(value or "", name, most=200)
        elif name == "state":
            values[name] = one_of(value, name, STATES)
        elif name == "due_at":
            values[name] = None if value is None else at(moment(value, name))
        else:
            raise wrong(name, "is not known; known are text, owner, due_at, state")
    return values
