"""Calls people to a SEV-1, however it was declared: it is an alert of its own, of which alerting tells.

The alert carries `sev="SEV-1"` and the incident's name. A route of that label to a policy whose first step names every
tier calls them all at once; without one it goes the way of every P1.
"""

from collections.abc import Sequence
from datetime import timedelta

from cmg.alerting.alerts import Alerts
from cmg.alerting.models import Report
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents import store
from cmg.incidents.alerts.rules import OF_INCIDENTS
from cmg.incidents.models import OPEN, Incident
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

EVERY_S = 15.0
_MISSED_S = timedelta(minutes=5).total_seconds()  # so long an alert lasts that nobody repeats
_MOST = 50
_log = get_logger("cmg.incidents.alerts")


class Calling:
    """Repeats the alert of each open SEV-1, so that a report that was lost is made good; it ends with the incident."""

    def __init__(self, database: Database, alerts: Alerts, clock: Clock) -> None:
        self._database, self._alerts, self._clock = database, alerts, clock
        self._called: set[int] = set()

    async def run(self) -> None:
        """Call for ever."""
        while True:
            try:
                await self.call()
            except Exception as error:  # noqa: BLE001  whatever it is, the next round may be right
                _log.warning("people could not be called to incidents", error=repr(error))
            await self._clock.sleep(EVERY_S)

    async def call(self) -> None:
        """One round. Raises `DatabaseAway`."""
        open_ones = await store.page(self._database, OPEN, [1], store.FIRST, _MOST)
        ended = await self._ended(self._called - {one.id for one in open_ones})
        reports = [
            *(self._report(one, firing=True) for one in open_ones),
            *(self._report(one, firing=False) for one in ended),
        ]
        if reports:
            await self._alerts.receive(DEFAULT_WORKSPACE, reports)
        self._called = {one.id for one in open_ones}

    async def _ended(self, numbers: set[int]) -> Sequence[Incident]:
        found = [await store.incident(self._database, number) for number in sorted(numbers)]
        return [one for one in found if one is not None]

    def _report(self, incident: Incident, *, firing: bool) -> Report:
        return Report(
            labels={"alertname": "IncidentDeclared", "severity": "P1", "sev": "SEV-1", OF_INCIDENTS: incident.name},
            annotations={"summary": f"{incident.name}: {incident.title}"},
            firing=firing,
            starts_at=incident.declared_at.timestamp(),
            ends_at=self._clock.time() + _MISSED_S if firing else self._clock.time(),
            source="incidents",
        )
