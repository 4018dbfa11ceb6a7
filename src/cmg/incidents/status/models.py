"""What the status page shows, as one value that can be kept on disk. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

import msgspec

from cmg.incidents.models import COMPONENTS, Communication, Incident, Maintenance, worst

DAYS = 90
_SLIGHT_S = 60.0  # a day with less trouble than this is shown as a good one; its uptime counts it all the same
INDICATORS = {
    "operational": ("none", "All systems operational"),
    "under_maintenance": ("none", "Maintenance is under way"),
    "degraded_performance": ("minor", "Some systems are slower or have errors"),
    "partial_outage": ("major", "Some systems are partly unavailable"),
    "major_outage": ("critical", "Some systems are unavailable"),
}
IMPACTS = {1: "critical", 2: "major", 3: "minor", 4: "none"}


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """For how many seconds of a day (UTC) a component was in which state; what nobody observed is in none."""

    day: date
    component: str
    operational_s: float = 0.0
    degraded_s: float = 0.0
    partial_s: float = 0.0
    major_s: float = 0.0
    maintenance_s: float = 0.0

    @property
    def observed_s(self) -> float:
        """Seconds that count for the uptime: those of a maintenance do not."""
        return self.operational_s + self.degraded_s + self.partial_s + self.major_s

    @property
    def down_s(self) -> float:
        """Seconds of outage, partial or not."""
        return self.partial_s + self.major_s

    @property
    def state(self) -> str | None:
        """The worst state that lasted a minute; None: nothing was observed."""
        for state, seconds in (
            ("major_outage", self.major_s),
            ("partial_outage", self.partial_s),
            ("degraded_performance", self.degraded_s),
            ("under_maintenance", self.maintenance_s),
        ):
            if seconds >= _SLIGHT_S:
                return state
        return "operational" if self.observed_s + self.maintenance_s > 0 else None


class Span(msgspec.Struct):
    """A component was in a state from `since` to `until`."""

    component: str
    state: str
    since: datetime
    until: datetime


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the database knows: incidents for the public, what customers were told, maintenances, and days."""

    incidents: tuple[Incident, ...] = ()
    updates: tuple[Communication, ...] = ()
    maintenances: tuple[Maintenance, ...] = ()
    days: tuple[Day, ...] = ()


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown. `states`: component → its status; `told_at`: when the database was last read."""

    title: str
    url: str
    at: datetime
    told_at: datetime | None = None
    states: Mapping[str, str] = {}
    told: Told = Told()

    @property
    def state(self) -> str:
        """The worst state of any component."""
        return worst(list(self.states.values()))

    def updates_of(self, incident: Incident) -> list[Communication]:
        """What customers were told of it, newest first."""
        return [one for one in reversed(self.told.updates) if one.incident_id == incident.id]

    def history(self, component: str) -> list[Day]:
        """The last 90 days of a component, oldest first; days without observations are empty."""
        known = {one.day: one for one in self.told.days if one.component == component}
        today = self.at.date()
        wanted = [today - timedelta(days=back) for back in range(DAYS - 1, -1, -1)]
        return [known.get(day, Day(day=day, component=component)) for day in wanted]


def uptime(days: Iterable[Day]) -> float | None:
    """The share of the observed time without an outage; None: nothing was observed."""
    found = list(days)
    observed = sum(day.observed_s for day in found)
    return None if observed <= 0 else 1 - sum(day.down_s for day in found) / observed


def states_now(seen: Mapping[str, str], told: Told, now: datetime) -> dict[str, str]:
    """Component → status: what people declared is believed, a maintenance explains what is seen."""
    declared: dict[str, list[str]] = {}
    for incident in told.incidents:
        if incident.open:
            for name, state in incident.components.items():
                declared.setdefault(name, []).append(state)
    working = [name for one in told.maintenances if one.status(now) == "in_progress" for name in one.components]
    found = {}
    for name in COMPONENTS:
        observed = "under_maintenance" if name in working else seen.get(name, "operational")
        found[name] = worst([observed, *declared.get(name, ())])
    return found


def current(maintenances: Sequence[Maintenance], now: datetime, *statuses: str) -> list[Maintenance]:
    """Those in one of these states, soonest first."""
    return sorted((one for one in maintenances if one.status(now) in statuses), key=lambda one: one.starts_at)
