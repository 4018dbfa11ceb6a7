"""The tables of incidents; the only caller of this room's SQL. Works on the connection or database it is given."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from cmg.incidents.models import Communication, Entry, Incident, Maintenance, Marker
from cmg.storage.database import Database
from cmg.storage.named_sql import load
from cmg.storage.retention import purge_batch

Reader = Any  # a Database or a connection: both have fetch, fetchrow and fetchval
T = TypeVar("T", bound=msgspec.Struct)
_JSON = frozenset({"components", "labels", "impact", "details", "deliveries"})
_SQL = load("cmg.incidents")
FIRST = 2**63 - 1  # before every number: a list begins here


async def add_incident(conn: Any, incident: Incident) -> int:
    """Store a new incident; returns its number."""
    return int(await conn.fetchval(_SQL["add_incident"], *_values(incident)))


async def save_incident(conn: Any, incident: Incident) -> None:
    """Store an incident whose row is locked."""
    await conn.execute(_SQL["save_incident"], incident.id, *_values(incident))


async def incident(reader: Reader, number: int) -> Incident | None:
    """One incident."""
    row = await reader.fetchrow(_SQL["incident"], number)
    return None if row is None else _read(Incident, row)


async def locked_incident(conn: Any, number: int) -> Incident | None:
    """The same, its row held until the transaction ends."""
    row = await conn.fetchrow(_SQL["lock_incident"], number)
    return None if row is None else _read(Incident, row)


async def page(
    reader: Reader, statuses: Sequence[str], severities: Sequence[int], before: int, limit: int
) -> list[Incident]:
    """At most `limit` incidents, newest first."""
    rows = await reader.fetch(_SQL["incidents_page"], list(statuses), list(severities), before, limit)
    return [_read(Incident, row) for row in rows]


async def between(reader: Reader, since: datetime, until: datetime, limit: int) -> list[Incident]:
    """Incidents that began in [since, until), oldest first."""
    rows = await reader.fetch(_SQL["incidents_between"], since, until, limit)
    return [_read(Incident, row) for row in rows]


async def shown_incidents(reader: Reader, ended_after: datetime, limit: int) -> list[Incident]:
    """Public incidents that are open or ended after a moment, newest first."""
    rows = await reader.fetch(_SQL["shown_incidents"], ended_after, limit)
    return [_read(Incident, row) for row in rows]


async def open_counts(reader: Reader) -> dict[int, int]:
    """Severity → open incidents."""
    return {row["severity"]: row["incidents"] for row in await reader.fetch(_SQL["open_counts"])}


async def unfinished(reader: Reader, closed_after: datetime, limit: int) -> list[Incident]:
    """Incidents that are not reviewed, those closed long ago left out."""
    rows = await reader.fetch(_SQL["unfinished_incidents"], closed_after, limit)
    return [_read(Incident, row) for row in rows]


async def add_entry(conn: Any, number: int, entry: Entry) -> None:
    """Append a line; one whose `ref` is there already is dropped."""
    details = _text(entry.details)
    fields = (entry.at, entry.kind, entry.actor, entry.text, details, entry.ref)
    await conn.execute(_SQL["add_entry"], number, *fields)


async def count_entries(conn: Any, number: int) -> int:
    """How many lines a timeline has."""
    return int(await conn.fetchval(_SQL["count_entries"], number))


async def entries(reader: Reader, number: int, limit: int) -> list[Entry]:
    """A timeline in order."""
    return [_read(Entry, row) for row in await reader.fetch(_SQL["entries"], number, limit)]


async def add_communication(conn: Any, said: Communication) -> int:
    """Store what was said; returns its number."""
    told = (said.incident_id, said.at, said.kind, said.audience, said.status, _text(said.components))
    rest = (said.subject, said.body, _text(said.deliveries), said.actor)
    return int(await conn.fetchval(_SQL["add_communication"], *told, *rest))


async def save_deliveries(conn: Any, number: int, deliveries: Sequence[Mapping[str, str]]) -> None:
    """What became of a message."""
    await conn.execute(_SQL["save_deliveries"], number, _text(list(deliveries)))


async def communications(
    reader: Reader, incidents: Sequence[int], audiences: Sequence[str], limit: int
) -> list[Communication]:
    """What was said of these incidents, oldest first."""
    rows = await reader.fetch(_SQL["communications"], list(incidents), list(audiences), limit)
    return [_read(Communication, row) for row in rows]


async def add_marker(conn: Any, marker: Marker) -> int | None:
    """Store a marker; None when its sender told it before."""
    fields = (marker.at, marker.kind, marker.title, marker.source, marker.link, _text(marker.details))
    found = await conn.fetchval(_SQL["add_marker"], *fields, marker.ref, marker.actor)
    return None if found is None else int(found)


async def marker_of(reader: Reader, ref: str) -> Marker | None:
    """The marker that was told under a sender's id."""
    row = await reader.fetchrow(_SQL["marker_of"], ref)
    return None if row is None else _read(Marker, row)


async def markers_between(reader: Reader, since: datetime, until: datetime, limit: int) -> list[Marker]:
    """Markers of a period, oldest first."""
    return [_read(Marker, row) for row in await reader.fetch(_SQL["markers_between"], since, until, limit)]


async def markers_page(reader: Reader, before: int, kind: str | None, limit: int) -> list[Marker]:
    """At most `limit` markers, newest told first."""
    return [_read(Marker, row) for row in await reader.fetch(_SQL["markers_page"], before, kind, limit)]


async def add_maintenance(conn: Any, one: Maintenance) -> int:
    """Store an announcement; returns its number."""
    return int(await conn.fetchval(_SQL["add_maintenance"], *_values(one)))


async def save_maintenance(conn: Any, one: Maintenance) -> None:
    """Store a maintenance whose row is locked."""
    await conn.execute(_SQL["save_maintenance"], one.id, *_values(one))


async def locked_maintenance(conn: Any, number: int) -> Maintenance | None:
    """One maintenance, its row held until the transaction ends."""
    row = await conn.fetchrow(_SQL["lock_maintenance"], number)
    return None if row is None else _read(Maintenance, row)


async def maintenances_page(reader: Reader, before: int, limit: int) -> list[Maintenance]:
    """At most `limit` maintenances, newest announced first."""
    return [_read(Maintenance, row) for row in await reader.fetch(_SQL["maintenances_page"], before, limit)]


async def shown_maintenances(reader: Reader, ended_after: datetime, limit: int) -> list[Maintenance]:
    """Maintenances to come, running, or ended after a moment, in order."""
    return [_read(Maintenance, row) for row in await reader.fetch(_SQL["shown_maintenances"], ended_after, limit)]


async def purge(database: Database, closed_before: datetime, markers_before: datetime) -> int:
    """Delete what is older than it is kept; returns how many rows."""
    deleted = await purge_batch(database, _SQL["purge_incidents"], closed_before, batch=100)
    deleted += await purge_batch(database, _SQL["purge_maintenances"], closed_before)
    return deleted + await purge_batch(database, _SQL["purge_markers"], markers_before)


def _values(value: msgspec.Struct) -> list[Any]:
    """Every field but the number, in the struct's order, which is that of the statements."""
    names = [name for name in value.__struct_fields__ if name != "id"]
    return [_column(name, getattr(value, name)) for name in names]


def _column(name: str, value: Any) -> Any:
    if name in _JSON and value is not None and not isinstance(value, tuple):
        return _text(value)
    return list(value) if isinstance(value, tuple) else value


def _read(kind: type[T], row: Any) -> T:
    return kind(**{name: _field(name, row[name]) for name in kind.__struct_fields__})


def _field(name: str, value: Any) -> Any:
    if name in _JSON and isinstance(value, str):
        value = msgspec.json.decode(value)
    return tuple(value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
