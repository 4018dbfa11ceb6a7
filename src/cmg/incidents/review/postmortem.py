"""The use cases of a review: the document, its plots, and that the review is done."""

from typing import Any

from cmg.identity.models import Actor
from cmg.incidents.desk import Desk
from cmg.incidents.models import Incident
from cmg.incidents.review import store
from cmg.incidents.review.actions import Actions
from cmg.incidents.review.document import document
from cmg.incidents.review.plotting import Plots
from cmg.incidents.review.store import Plot
from cmg.incidents.timeline import Timelines
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, NotFound
from cmg.storage.database import Database


class Review:
    """What is looked back at."""

    def __init__(self, database: Database, desk: Desk, actions: Actions, plots: Plots, clock: Clock) -> None:
        self._database, self._desk, self._clock = database, desk, clock
        self.actions, self._plots = actions, plots

    async def document(self, timelines: Timelines, number: int) -> tuple[str, list[Plot]]:
        """The Markdown, and the plots that it links to. Raises `NotFound`."""
        incident = await self._desk.get(number)
        plots = await self._plots.of(incident)
        timeline = await timelines.of(self._database, incident)
        actions = await self.actions.of(number)
        return document(incident, timeline, actions, plots, self._clock.now()), plots

    async def plot(self, number: int, name: str) -> Plot:
        """One plot. Raises `NotFound`, also where there are no time series."""
        found = [one for one in await self._plots.of(await self._desk.get(number)) if one.name == name]
        if not found:
            raise NotFound(f"INC-{number} has no plot {name[:40]!r}", param="name")
        return found[0]

    async def keep_plots(self, incident: Incident) -> None:
        """Draw and keep them while the samples are there; those that were kept before stay where nothing is drawn."""
        drawn = await self._plots.drawn(incident)
        async with self._database.transaction() as conn:
            await store.put_plots(conn, incident.id, drawn)

    async def reviewed(self, by: Actor, number: int, fields: dict[str, Any]) -> Incident:
        """The review is done: a cause is written down, and what is to be done about it, or that nothing is."""
        if fields:
            await self._desk.change(by, number, fields)
        async with self._desk.changing(by, number, "incident.review") as change:
            incident = change.incident
            if incident.resolved_at is None:
                raise Conflict(f"{incident.name} is {incident.status}; it is reviewed when it is resolved")
            if not incident.cause:
                raise Conflict(f"{incident.name} has no cause yet; write down `cause` first", param="cause")
            if incident.reviewed_at is None:
                change.become(reviewed_at=change.at)
                change.tell("review", by.name, "The review is done")
        return change.incident
