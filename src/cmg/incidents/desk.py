"""The use cases of an incident's life: declare, change, acknowledge, note, resolve, reopen."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cmg.audit.models import Entry as AuditEntry
from cmg.audit.trail import AuditTrail
from cmg.identity.forms.text import text, wrong
from cmg.identity.models import Actor
from cmg.incidents import store
from cmg.incidents.forms import fields as forms
from cmg.incidents.models import (
    ENTRIES_MAX,
    LATE,
    OPEN,
    ROLES,
    SEVERITIES,
    STATUSES,
    Entry,
    Incident,
    with_status,
)
from cmg.kit.clock import Clock
from cmg.kit.errors import Conflict, NotFound
from cmg.storage.database import Database

NOTE_MAX = 8000
PAGE_MAX = 200


@dataclass
class Change:
    """An incident whose row is locked on `conn`: what it becomes, and the lines of its timeline that tell of it."""

    incident: Incident
    at: datetime
    conn: Any
    entries: list[Entry] = field(default_factory=list)

    def tell(self, kind: str, actor: str, told: str, **more: Any) -> None:
        """Add a line; `more` may hold `at`, `ref` and `details`."""
        self.entries.append(Entry(at=more.pop("at", self.at), kind=kind, actor=actor, text=told, **more))

    def become(self, **values: Any) -> None:
        """Set fields."""
        self.incident = msgspec.structs.replace(self.incident, **values, updated_at=self.at)


class Desk:
    """Incidents on the database. Every change is a line of the timeline and an entry of the audit trail."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database, self._audit, self._clock = database, audit, clock

    def now(self) -> datetime:
        """The moment that changes made now get."""
        return self._clock.now()

    async def declare(self, by: Actor, fields: Mapping[str, Any]) -> Incident:
        """A new incident. Raises `InvalidRequest`."""
        now = self._clock.now()
        incident = forms.declared(fields, by.name, now)
        told = Entry(at=now, kind="declared", actor=by.name, text=_declaration(incident))
        async with self._database.transaction() as conn:
            number = await store.add_incident(conn, incident)
            incident = msgspec.structs.replace(incident, id=number)
            await store.add_entry(conn, number, told)
            await self._record(conn, by, "incident.declare", incident, {"severity": SEVERITIES[incident.severity - 1]})
        return incident

    async def get(self, number: int) -> Incident:
        """Raises `NotFound`."""
        found = await store.incident(self._database, number)
        if found is None:
            raise _unknown(number)
        return found

    async def list(
        self, state: str | None, severity: str | None, cursor: str | None, limit: int
    ) -> tuple[list[Incident], str | None]:
        """A page, newest first, and the cursor of the next. `state`: open, resolved, closed; None: all."""
        statuses = {"open": OPEN, "resolved": ("resolved",), "closed": ("closed",), None: STATUSES}.get(state)
        if statuses is None:
            raise wrong("state", "must be one of open, resolved, closed")
        if severity is not None and severity not in SEVERITIES:
            raise wrong("severity", f"must be one of {', '.join(SEVERITIES)}")
        severities = [SEVERITIES.index(severity) + 1] if severity else [1, 2, 3, 4]
        found = await store.page(self._database, statuses, severities, position(cursor), limit + 1)
        return found[:limit], str(found[limit - 1].id) if len(found) > limit else None

    async def change(self, by: Actor, number: int, fields: Mapping[str, Any]) -> Incident:
        """Set fields that were sent, null ones to nothing; `status` moves between the open states."""
        given = dict(fields)
        status = given.pop("status", None)
        if status is not None and status not in OPEN:
            raise wrong("status", f"must be one of {', '.join(OPEN)}; resolving and closing have calls of their own")
        values = forms.read_incident({name: _given(name, value) for name, value in given.items()})
        async with self.changing(by, number, "incident.update") as change:
            before = change.incident
            _open_or_review(before, [*values, *(["status"] if status else [])])
            if status is not None and status != before.status:
                change.incident = with_status(before, status, change.at)
                change.tell("status", by.name, f"Status: {before.status} → {status}")
            change.become(**values)
            _tell_fields(change, before, by.name)
            _settle(change)
        return change.incident

    async def acknowledge(self, by: Actor, number: int) -> Incident:
        """Somebody works on it; a second time changes nothing."""
        async with self.changing(by, number, "incident.acknowledge") as change:
            if change.incident.acknowledged_at is None:
                change.become(acknowledged_at=change.at)
                change.tell("acknowledged", by.name, "Acknowledged")
        return change.incident

    async def note(self, by: Actor, number: int, told: Any, moment: Any = None) -> Entry:
        """A line for the timeline, at a moment of the past thirty days or now."""
        clean = text(told, "text", least=1, most=NOTE_MAX, lines=True)
        entry = Entry(at=forms.past(moment, "at", self._clock.now()), kind="note", actor=by.name, text=clean)
        async with self._database.transaction() as conn:
            if await store.locked_incident(conn, number) is None:
                raise _unknown(number)
            if await store.count_entries(conn, number) >= ENTRIES_MAX - LATE:
                raise Conflict(f"the timeline of INC-{number} has {ENTRIES_MAX - LATE} entries, which is all it takes")
            await store.add_entry(conn, number, entry)
        return entry

    async def resolve(self, by: Actor, number: int, told: Any = None) -> Incident:
        """The trouble has ended."""
        clean = text(told or "", "text", most=NOTE_MAX, lines=True)
        async with self.changing(by, number, "incident.resolve") as change:
            if change.incident.status == "resolved":
                raise Conflict(f"{change.incident.name} is resolved already")
            change.incident = with_status(change.incident, "resolved", change.at)
            change.tell("status", by.name, f"Resolved. {clean}".strip())
        return change.incident

    async def reopen(self, by: Actor, number: int, told: Any) -> Incident:
        """The trouble came back, or had not ended: only of one that is resolved and not closed."""
        reason = text(told, "reason", least=1, most=NOTE_MAX, lines=True)
        async with self.changing(by, number, "incident.reopen") as change:
            if change.incident.status != "resolved":
                raise Conflict(f"{change.incident.name} is {change.incident.status}; only a resolved one is reopened")
            change.incident = with_status(change.incident, "investigating", change.at)
            change.tell("status", by.name, f"Reopened: {reason}")
        return change.incident

    @asynccontextmanager
    async def changing(self, by: Actor, number: int, action: str) -> AsyncIterator[Change]:
        """An incident to change: its row is held, and what the block leaves is stored with its lines and the trail."""
        async with self._database.transaction() as conn:
            found = await store.locked_incident(conn, number)
            if found is None:
                raise _unknown(number)
            change = Change(found, self._clock.now(), conn)
            yield change
            if change.incident == found and not change.entries:
                return
            await store.save_incident(conn, change.incident)
            if await store.count_entries(conn, number) + len(change.entries) <= ENTRIES_MAX:
                for entry in change.entries:
                    await store.add_entry(conn, number, entry)
            told = [entry.text[:200] for entry in change.entries[:20]]
            await self._record(conn, by, action, change.incident, {"told": told})

    async def timeline(self, number: int) -> Sequence[Entry]:
        """The lines that are stored. Raises `NotFound`."""
        await self.get(number)
        return await store.entries(self._database, number, ENTRIES_MAX)

    async def purge(self, keep: timedelta, keep_markers: timedelta) -> int:
        """Delete closed incidents, ended maintenances and markers that are older than they are kept."""
        now = self._clock.now()
        return await store.purge(self._database, now - keep, now - keep_markers)

    async def _record(self, conn: Any, by: Actor, action: str, incident: Incident, details: Mapping[str, Any]) -> None:
        entry = AuditEntry(by.name, None, action, incident.name, details, by.client)
        await self._audit.record(conn, entry)


def position(cursor: str | None) -> int:
    """The number that a list goes on before. Raises `InvalidRequest`."""
    if cursor is None:
        return store.FIRST
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise wrong("cursor", "is not one that this list gave out; leave it away to begin")
    return int(cursor)


def _unknown(number: int) -> NotFound:
    return NotFound(f"there is no incident INC-{number}", param="incident")


def _declaration(incident: Incident) -> str:
    return f"{SEVERITIES[incident.severity - 1]} declared: {incident.title}"


_EMPTY: dict[str, Any] = {"components": {}, "factors": [], "public": False}


def _given(name: str, value: Any) -> Any:
    """Null empties a field; those that an incident cannot be without are refused by their readers."""
    return value if value is not None or name in ("title", "severity") else _EMPTY.get(name, "")


def _open_or_review(incident: Incident, names: Sequence[str]) -> None:
    """What may change: everything while it is open; after that, what a review writes down."""
    review = {"summary", "cause", "factors", "lessons", "business_impact", "reputation", "public_title", *ROLES}
    late = sorted(set(names) - review)
    if not incident.open and late:
        raise Conflict(f"{incident.name} is {incident.status}; {late[0]} can no longer be changed", param=late[0])


def _tell_fields(change: Change, before: Incident, actor: str) -> None:
    after = change.incident
    if after.severity != before.severity:
        names = [SEVERITIES[one.severity - 1] for one in (before, after)]
        change.tell("severity", actor, f"Severity: {names[0]} → {names[1]}")
    for role in ROLES:
        if getattr(after, role) != getattr(before, role):
            change.tell("role", actor, f"{role.capitalize()}: {getattr(after, role) or 'nobody'}")
    for name in ("title", "public", "components", "cause", "business_impact", "reputation"):
        if getattr(after, name) != getattr(before, name):
            change.tell("change", actor, f"{name.replace('_', ' ').capitalize()}: {_shown(getattr(after, name))}")


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {state}" for name, state in value.items()) or "none"
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)[:500] or "none"


def _settle(change: Change) -> None:
    """What follows by itself: a commander has acknowledged."""
    if change.incident.commander and change.incident.acknowledged_at is None:
        change.become(acknowledged_at=change.at)
