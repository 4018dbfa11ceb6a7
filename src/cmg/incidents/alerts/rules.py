"""Which group of alerts opens an incident, and which joins one. Pure.

A P1 opens a SEV-2 and a P2 a SEV-3; the label `incident` of a rule says otherwise for its own alerts (`SEV-1`, or
`none`). Any group joins an open incident of its component, or of one that its component depends
on, as long as that incident is young or still gets alerts. None ever joins a resolved one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from cmg.alerting.models import INCIDENT_LABEL
from cmg.incidents.models import SEVERITIES, Incident

OPENS: Mapping[str, str] = {"P1": "SEV-2", "P2": "SEV-3"}  # a P1 alone does not call every tier
STILL = timedelta(hours=2)  # since an incident's last alert; for the same component
NEAR = timedelta(minutes=15)  # … and for one that it depends on
LABELS = ("component", "alertname", "category", "upstream", "job", "instance", "incident")
OF_INCIDENTS = INCIDENT_LABEL  # of the alert by which an incident calls people: it opens and joins none
# What fails when this fails: a group of the second joins an incident of the first.
DEPENDS: Mapping[str, frozenset[str]] = {
    "database": frozenset({"api", "memory", "jobs", "ledger", "journal", "administration", "timeseries"}),
    "cache": frozenset({"api", "limits", "gateway"}),
    "redis": frozenset({"api", "limits", "gateway", "cache"}),
    "upstream": frozenset({"api", "gateway", "memory"}),
    "disk": frozenset({"database", "journal", "api"}),
    "machine": frozenset({"database", "api", "gateway", "memory", "jobs"}),
}
# Component of an alert → component of the status page that it is about.
SHOWN = {"gateway": "api", "journal": "api", "limits": "api", "upstream": "upstreams", "embedder": "memory"}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A group of alerts as alerting tells of it; times are None for what has not happened."""

    id: str
    title: str
    severity: str
    labels: Mapping[str, str]
    opened_at: datetime
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None
    by: str = ""

    @property
    def component(self) -> str:
        """What it is about, as its rule says."""
        return self.labels.get("component", "")


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """A group that belongs to an incident."""

    group_id: str
    incident_id: int
    title: str
    severity: str
    labels: Mapping[str, str]
    opened_at: datetime
    acknowledged_at: datetime | None = None
    resolved_at: datetime | None = None


def opens(group: Seen) -> int | None:
    """The severity of the incident that a group opens; None: it opens none."""
    said = group.labels.get("incident", OPENS.get(group.severity, "none")).upper()
    return SEVERITIES.index(said) + 1 if said in SEVERITIES else None


def joins(group: Seen, incidents: Sequence[tuple[Incident, Sequence[Known]]]) -> Incident | None:
    """The open incident that a group belongs to; the closest relation wins, then the youngest."""
    best: tuple[int, datetime, Incident] | None = None
    for incident, known in incidents:
        if not incident.open:
            continue
        rank = max((_relation(group, incident, one) for one in known), default=0)
        if rank and (best is None or (rank, incident.started_at) > best[:2]):
            best = rank, incident.started_at, incident
    return best[2] if best else None


def _relation(group: Seen, incident: Incident, known: Known) -> int:
    """3: the same thing; 2: the same component; 1: a component that depends on it, soon after; 0: none."""
    since = group.opened_at - max(known.opened_at, known.resolved_at or known.opened_at, incident.started_at)
    if since > STILL:
        return 0
    alert = group.labels.get("alertname")
    if alert is not None and alert == known.labels.get("alertname"):
        return 3
    mine, theirs = group.component, known.labels.get("component", "")
    if mine and mine == theirs:
        return 2
    related = mine in DEPENDS.get(theirs, ()) or theirs in DEPENDS.get(mine, ())
    return 1 if related and since <= NEAR else 0
