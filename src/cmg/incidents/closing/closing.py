"""The end of an incident: resolved with its impact, checked, closed."""

from typing import Any

from cmg.identity.forms.text import text
from cmg.identity.models import Actor
from cmg.incidents.closing.checks import Check, Checks, failed
from cmg.incidents.closing.impact import impact_of
from cmg.incidents.desk import NOTE_MAX, Desk
from cmg.incidents.models import Incident, with_status
from cmg.incidents.review.postmortem import Review
from cmg.incidents.timeline import Timelines
from cmg.kit.errors import Conflict
from cmg.storage.database import Database


class Closing:
    """Use cases at the end of an incident's life."""

    def __init__(self, database: Database, desk: Desk, timelines: Timelines, checks: Checks, review: Review) -> None:
        self._database, self._desk, self._timelines = database, desk, timelines
        self._checks, self._review = checks, review

    async def assess(self, by: Actor, number: int) -> Incident:
        """Compute the impact until now, or until its end, and keep it."""
        impact = await impact_of(self._database, await self._desk.get(number), self._desk.now())
        async with self._desk.changing(by, number, "incident.assess") as change:
            if change.incident.status == "closed":
                raise Conflict(f"{change.incident.name} is closed; its impact stays as it was found")
            change.become(impact=impact)
            told = "Impact: {users_affected} users, {calls_failed} of {calls} calls failed".format_map(impact)
            change.tell("impact", by.name, told, details=impact)
        return change.incident

    async def resolve(self, by: Actor, number: int, told: Any = None) -> Incident:
        """The trouble has ended; its impact is computed."""
        await self._desk.resolve(by, number, told)
        return await self.assess(by, number)

    async def check(self, by: Actor, number: int) -> list[Check]:
        """Run the checks now; each outcome is a line of the timeline."""
        incident = await self._desk.get(number)
        if incident.status == "closed":
            raise Conflict(f"{incident.name} is closed; its checks stand in its timeline")
        found = await self._checks.run(incident)
        async with self._desk.changing(by, number, "incident.check") as change:
            for check in found:
                told = f"{check.name} {check.outcome}: {check.told}"
                change.tell("check", by.name, told, details={"outcome": check.outcome, **check.details})
        return found

    async def close(self, by: Actor, number: int, override: Any = None) -> Incident:
        """Check, then close; a failed check forbids it, unless `override` says why it is closed all the same."""
        reason = None if override is None else text(override, "override", least=1, most=NOTE_MAX, lines=True)
        incident = await self._desk.get(number)
        with_status(incident, "closed", self._desk.now())  # raises for a state that cannot be closed
        wrong = failed(await self.check(by, number))
        if wrong and reason is None:
            raise Conflict(
                f"{incident.name} stays {incident.status}: {'; '.join(check.told for check in wrong)}. "
                "Close it all the same with `override`, which says why",
                code="checks_failed",
            )
        await self._review.keep_plots(await self.assess(by, number))
        async with self._desk.changing(by, number, "incident.close") as change:
            change.incident = with_status(change.incident, "closed", change.at)
            skipped = f", in spite of failed checks: {reason}" if wrong else ""
            change.tell("status", by.name, f"Closed{skipped}")
            await self._timelines.keep(change.conn, change.incident)
        return change.incident
