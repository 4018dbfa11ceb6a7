"""Calls people to a SEV-1, however it was declared: it is an alert of its own, and alerting tells every tier at once.

The alert carries `sev="SEV-1"` and the incident's name, and names the groups of alerts that the incident has, so that
who was called for one of them is not called again. It says up to when that is known, so that a group opened since waits
until it is.
"""

from collections.abc import Callable, Mapping, Sequence

from cmg.alerting.alerts import Alerts
from cmg.alerting.escalation.everybody import FOLLOWED, GROUPS, SEV_1
from cmg.alerting.evaluation.reconciling import end_what_is_over
from cmg.alerting.models import Report
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents import store
from cmg.incidents.alerts import store as alerts_store
from cmg.incidents.alerts.rules import OF_INCIDENTS
from cmg.incidents.models import OPEN, Incident
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

EVERY_S = 15.0
OPEN_EVERY_S = 5.0  # while there is one: groups wait for it
SOURCE = "incidents"
_MOST = 50
_GROUPS_MOST = 100
_log = get_logger("cmg.incidents.alerts")


class Calling:
    """Repeats the alert of each open SEV-1, so that a report that was lost is made good; it ends with the incident.

    It never ends by itself: the database may be away for long, and then nobody can say that the incident is over.
    """

    def __init__(self, database: Database, alerts: Alerts, clock: Clock, followed: Callable[[], float]) -> None:
        self._database, self._alerts, self._clock, self._followed = database, alerts, clock, followed
        self._called: set[str] | None = None  # None: what an earlier process called is not known

    async def run(self) -> None:
        """Call for ever."""
        while True:
            try:
                await self.call()
            except Exception as error:  # noqa: BLE001  whatever it is, the next round may be right
                _log.warning("people could not be called to incidents", error=repr(error))
            await self._clock.sleep(OPEN_EVERY_S if self._called else EVERY_S)

    async def call(self) -> None:
        """One round. Raises `DatabaseAway`."""
        followed = self._followed()
        open_ones = await store.page(self._database, OPEN, [1], store.FIRST, _MOST)
        groups = await self._groups(open_ones)
        reports = [_report(one, groups.get(one.id, ()), followed) for one in open_ones]
        if reports:
            await self._alerts.receive(DEFAULT_WORKSPACE, reports)
        names = {one.name for one in open_ones}
        if self._called is None or self._called - names:
            firing = {tuple(sorted(one.labels.items())) for one in reports}
            await self._alerts.change(DEFAULT_WORKSPACE, lambda changes: end_what_is_over(changes, SOURCE, firing))
        self._called = names

    async def _groups(self, incidents: Sequence[Incident]) -> Mapping[int, list[str]]:
        """Incident → its groups of alerts that are not over."""
        found: dict[int, list[str]] = {}
        for one in await alerts_store.groups_of(self._database, [one.id for one in incidents]):
            if one.resolved_at is None and OF_INCIDENTS not in one.labels:
                found.setdefault(one.incident_id, []).append(one.group_id)
        return found


def _report(incident: Incident, groups: Sequence[str], followed: float) -> Report:
    return Report(
        labels={"alertname": "IncidentDeclared", "severity": "P1", "sev": SEV_1, OF_INCIDENTS: incident.name},
        annotations={
            "summary": f"{incident.name}: {incident.title}",
            GROUPS: " ".join(sorted(groups)[-_GROUPS_MOST:]),
            FOLLOWED: f"{followed:.0f}",
        },
        starts_at=incident.declared_at.timestamp(),
        source=SOURCE,
    )
