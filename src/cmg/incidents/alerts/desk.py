"""What a group of alerts does to incidents: it opens or joins one, and tells who works on it and when it is over."""

from datetime import datetime
from typing import Any

import msgspec

from cmg.incidents import store
from cmg.incidents.alerts import store as alerts_store
from cmg.incidents.alerts.rules import LABELS, OF_INCIDENTS, SHOWN, Known, Seen, joins, opens
from cmg.incidents.models import COMPONENTS, ENTRIES_MAX, OPEN, SEVERITIES, Entry, Incident, with_status

ACTOR = "alerting"
_OPEN_MAX = 200
_SHOWN_AS = {"P1": "major_outage", "P2": "partial_outage"}


class IncidentDesk:
    """Follows groups, each in the transaction of whoever tells of it."""

    async def follow(self, conn: Any, group: Seen, now: datetime) -> int | None:
        """Take in how a group is now; returns the number of its incident, None when it has none."""
        known = await alerts_store.known_group(conn, group.id)
        if known is None:
            if group.resolved_at is not None:
                return None  # it came and went before anybody looked
            return await self._met(conn, group, now)
        await self._changed(conn, known, group, now)
        return known.incident_id

    async def attach(self, conn: Any, group: Seen, now: datetime) -> None:
        """Take in how the alert is by which an incident calls people: who acknowledges it acknowledges the incident."""
        digits = group.labels[OF_INCIDENTS].removeprefix("INC-")
        numbered = digits.isascii() and digits.isdigit() and len(digits) < 18
        incident = await store.locked_incident(conn, int(digits)) if numbered else None
        if incident is None:
            return
        known = await alerts_store.known_group(conn, group.id)
        await alerts_store.put_group(conn, _known(group, incident.id))
        if known is None:
            await _tell(
                conn, incident.id, _line("alert", "People are called", group.opened_at, f"group:{group.id}:opened")
            )
        if group.acknowledged_at is not None and (known is None or known.acknowledged_at is None):
            await _acknowledge(conn, incident.id, group, now)

    async def _met(self, conn: Any, group: Seen, now: datetime) -> int | None:
        candidates = await store.page(conn, OPEN, [1, 2, 3, 4], store.FIRST, _OPEN_MAX)
        groups = await alerts_store.groups_of(conn, [one.id for one in candidates])
        by_incident = [(one, [known for known in groups if known.incident_id == one.id]) for one in candidates]
        found, severity = joins(group, by_incident), opens(group)
        incident = None if found is None else await store.locked_incident(conn, found.id)
        if incident is not None and incident.open:
            await self._join(conn, incident, group, severity, now)
        elif severity is not None:
            incident = await self._open(conn, group, severity, now)
        else:
            return None
        await alerts_store.put_group(conn, _known(group, incident.id))
        if group.acknowledged_at is not None:
            await _acknowledge(conn, incident.id, group, now)
        return incident.id

    async def _open(self, conn: Any, group: Seen, severity: int, now: datetime) -> Incident:
        component = SHOWN.get(group.component, group.component)
        state = _SHOWN_AS.get(group.severity, "degraded_performance")
        made = Incident(
            severity=severity,
            title=group.title[:200] or "Alert",
            origin="alert",
            components={component: state} if component in COMPONENTS else {},
            labels={name: group.labels[name] for name in LABELS if name in group.labels},
            started_at=min(group.opened_at, now),
            detected_at=now,
            declared_at=now,
            created_by=ACTOR,
            updated_at=now,
        )
        made = msgspec.structs.replace(made, id=await store.add_incident(conn, made))
        told = f"{SEVERITIES[severity - 1]} declared by rule: {group.severity} alert {group.title}"
        await _tell(conn, made.id, _line("declared", told, now, f"group:{group.id}:opened"))
        return made

    async def _join(self, conn: Any, incident: Incident, group: Seen, severity: int | None, now: datetime) -> None:
        """It belongs to the incident, and makes it worse where it would have opened a worse one."""
        told = f"{group.severity} alert: {group.title}"
        await _tell(conn, incident.id, _line("alert", told, group.opened_at, f"group:{group.id}:opened"))
        incident = await _worse(conn, incident, group, severity, now)
        if incident.status == "monitoring":
            incident = with_status(incident, "investigating", now)
            await _tell(
                conn, incident.id, _line("status", "Status: monitoring → investigating: another alert fired", now)
            )
        await store.save_incident(conn, msgspec.structs.replace(incident, updated_at=now))

    async def _changed(self, conn: Any, known: Known, group: Seen, now: datetime) -> None:
        if group.acknowledged_at is not None and known.acknowledged_at is None:
            await _acknowledge(conn, known.incident_id, group, now)
        if known.severity != group.severity:
            incident = await store.locked_incident(conn, known.incident_id)
            if incident is not None and incident.open:
                severity = opens(group)
                await store.save_incident(conn, await _worse(conn, incident, group, severity, now))
        over = group.resolved_at is not None and known.resolved_at is None
        await alerts_store.put_group(conn, _known(group, known.incident_id))
        if over and group.resolved_at is not None:
            told = f"{group.severity} alert is over: {group.title}"
            await _tell(
                conn, known.incident_id, _line("alert_resolved", told, group.resolved_at, f"group:{group.id}:resolved")
            )
            await _all_over(conn, known.incident_id, now)


async def _worse(conn: Any, incident: Incident, group: Seen, severity: int | None, now: datetime) -> Incident:
    if severity is None or severity >= incident.severity:
        return incident
    before, after = SEVERITIES[incident.severity - 1], SEVERITIES[severity - 1]
    await _tell(conn, incident.id, _line("severity", f"Severity: {before} → {after}, by {group.title}", now))
    return msgspec.structs.replace(incident, severity=severity, updated_at=now)


async def _acknowledge(conn: Any, number: int, group: Seen, now: datetime) -> None:
    moment = group.acknowledged_at or now
    actor = group.by or ACTOR
    told = f"Acknowledged: {group.title}"
    await _tell(conn, number, _line("acknowledged", told, moment, f"group:{group.id}:acknowledged", actor))
    incident = await store.locked_incident(conn, number)
    if incident is not None and incident.acknowledged_at is None:
        await store.save_incident(conn, msgspec.structs.replace(incident, acknowledged_at=moment, updated_at=now))


async def _all_over(conn: Any, number: int, now: datetime) -> None:
    """When the last alert is over the incident is watched; a person resolves it."""
    incident = await store.locked_incident(conn, number)
    groups = await alerts_store.groups_of(conn, [number])
    if incident is None or any(one.resolved_at is None for one in groups if OF_INCIDENTS not in one.labels):
        return
    if incident.origin == "alert" and incident.status in ("investigating", "identified"):
        told = f"Status: {incident.status} → monitoring: all of its alerts are over"
        await store.save_incident(conn, with_status(incident, "monitoring", now))
        await _tell(conn, number, _line("status", told, now))


async def _tell(conn: Any, number: int, entry: Entry) -> None:
    if await store.count_entries(conn, number) < ENTRIES_MAX:
        await store.add_entry(conn, number, entry)


def _line(kind: str, told: str, moment: datetime, ref: str | None = None, actor: str = ACTOR) -> Entry:
    return Entry(at=moment, kind=kind, actor=actor, text=told[:2000], ref=ref)


def _known(group: Seen, number: int) -> Known:
    return Known(
        group_id=group.id,
        incident_id=number,
        title=group.title,
        severity=group.severity,
        labels=dict(group.labels),
        opened_at=group.opened_at,
        acknowledged_at=group.acknowledged_at,
        resolved_at=group.resolved_at,
    )
