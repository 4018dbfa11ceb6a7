"""Actions and plots; the only caller of this folder's SQL."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from cmg.storage.named_sql import load

_SQL = load("cmg.incidents.review")
ACTIONS_MAX = 100


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do after an incident: open, done, or dropped."""

    id: int = 0
    incident_id: int
    text: str
    owner: str = ""
    due_at: datetime | None = None
    state: str = "open"
    ended_at: datetime | None = None
    ended_by: str = ""
    created_at: datetime
    created_by: str

    def overdue(self, now: datetime) -> bool:
        """Open past its day."""
        return self.state == "open" and self.due_at is not None and now > self.due_at


class Plot(msgspec.Struct, frozen=True):
    """A drawing of a metric over an incident's time."""

    name: str
    title: str
    svg: str


async def add_action(conn: Any, one: Action) -> int:
    """Store an action; returns its number."""
    told = (one.incident_id, one.text, one.owner, one.due_at, one.state, one.ended_at, one.ended_by)
    return int(await conn.fetchval(_SQL["add_action"], *told, one.created_at, one.created_by))


async def save_action(conn: Any, one: Action) -> None:
    """Store an action whose row is locked."""
    told = (one.text, one.owner, one.due_at, one.state, one.ended_at, one.ended_by)
    await conn.execute(_SQL["save_action"], one.id, *told)


async def locked_action(conn: Any, incident: int, number: int) -> Action | None:
    """An action of an incident, its row held until the transaction ends."""
    row = await conn.fetchrow(_SQL["lock_action"], incident, number)
    return None if row is None else Action(**dict(row))


async def actions_of(reader: Any, incident: int) -> list[Action]:
    """Everything to do after an incident."""
    return [Action(**dict(row)) for row in await reader.fetch(_SQL["actions_of"], incident, ACTIONS_MAX)]


async def actions_page(reader: Any, after: int, state: str | None, limit: int) -> list[Action]:
    """A page of actions of every incident, the oldest first."""
    return [Action(**dict(row)) for row in await reader.fetch(_SQL["actions_page"], after, state, limit)]


async def put_plots(conn: Any, incident: int, plots: Sequence[Plot]) -> None:
    """Keep plots."""
    for plot in plots:
        await conn.execute(_SQL["put_plot"], incident, plot.name, plot.title, plot.svg)


async def plots_of(reader: Any, incident: int) -> list[Plot]:
    """The plots that were kept."""
    return [Plot(**dict(row)) for row in await reader.fetch(_SQL["plots_of"], incident)]
