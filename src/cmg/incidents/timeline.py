"""Timelines that assemble themselves: what was told of an incident, with what happened to the service meanwhile."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from cmg.alerting.models import Notification
from cmg.alerting.store import AlertingStore
from cmg.audit.models import Stored
from cmg.audit.trail import AuditTrail
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents import store
from cmg.incidents.alerts import store as alerts_store
from cmg.incidents.models import ENTRIES_MAX, Entry, Incident, Marker
from cmg.kit.clock import Clock, at

BEFORE = timedelta(hours=1)  # what was done this long before the trouble may be its cause
_TAKEN = 500  # of the markers and of the trail's entries, the first so many
_GROUPS = 50  # of its groups, whose messages are looked at
_OWN = "incident."
_CONFIG = ("workspace.", "key.", "alerting.", "logs.level")  # documents of alerting are written as `alerting.put`


class Timelines:
    """`reader` of every method is a Database or a connection."""

    def __init__(self, audit: AuditTrail, clock: Clock) -> None:
        self._audit, self._clock, self._alerting = audit, clock, AlertingStore()

    async def of(self, reader: Any, incident: Incident) -> list[Entry]:
        """Every line in order. What happened around a closed incident was written into it when it was closed."""
        told = await store.entries(reader, incident.id, ENTRIES_MAX)
        if incident.closed_at is not None:
            return told
        known = {entry.ref for entry in told if entry.ref is not None}
        around = [entry for entry in await self._around(reader, incident) if entry.ref not in known]
        return sorted([*told, *around], key=lambda entry: entry.at)

    async def keep(self, conn: Any, incident: Incident) -> None:
        """Write what happened around it into the timeline, as far as that has room: markers are kept shorter."""
        room = ENTRIES_MAX - await store.count_entries(conn, incident.id)
        for entry in (await self._around(conn, incident))[: max(0, room)]:
            await store.add_entry(conn, incident.id, entry)

    async def _around(self, reader: Any, incident: Incident) -> list[Entry]:
        since, until = incident.started_at - BEFORE, incident.resolved_at or self._clock.now()
        markers = await store.markers_between(reader, since, until, _TAKEN)
        changes = await self._audit.between(reader, since, until, _TAKEN)
        told = await self._notifications(reader, incident)
        return [*map(_of_marker, markers), *_of_trail(changes), *told]

    async def _notifications(self, reader: Any, incident: Incident) -> list[Entry]:
        """Whom alerting told of the incident's alerts, and what became of it."""
        groups = (await alerts_store.groups_of(reader, [incident.id]))[:_GROUPS]
        found: list[Entry] = []
        for group in groups:
            sent = await self._alerting.notifications(reader, DEFAULT_WORKSPACE, group.group_id, _TAKEN)
            found += [_of_notification(one) for one in sent]
        return found[:_TAKEN]


def _of_marker(marker: Marker) -> Entry:
    source = f" ({marker.source})" if marker.source else ""
    details = {**marker.details, **({"link": marker.link} if marker.link else {})}
    return Entry(
        at=marker.at,
        kind=marker.kind if marker.kind in ("deploy", "config") else "marker",
        actor=marker.actor,
        text=f"{marker.kind}: {marker.title}{source}",
        details=details,
        ref=f"marker:{marker.id}",
    )


def _of_notification(one: Notification) -> Entry:
    """Without the address: the name of the person, or of the place, says it."""
    outcome = f"{one.state}: {one.error}" if one.error else one.state
    repeats = f", perhaps {one.repeats + 1} times" if one.repeats else ""
    return Entry(
        at=at(one.sent_at or one.created_at),
        kind="notification",
        actor="alerting",
        text=f"{one.occasion} to {one.target} by {one.channel}: {outcome}{repeats}",
        details={"step": one.step, "subject": one.subject},
        ref=f"notification:{one.key}",
    )


def _of_trail(entries: Iterable[Stored]) -> list[Entry]:
    """What was administered; what was done to incidents stands in the timeline already."""
    return [
        Entry(
            at=entry.at,
            kind="config" if entry.action.startswith(_CONFIG) else "audit",
            actor=entry.actor,
            text=f"{entry.action} {entry.target}",
            ref=f"audit:{entry.seq}",
        )
        for entry in entries
        if not entry.action.startswith(_OWN)
    ]
