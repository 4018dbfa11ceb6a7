"""Incidents as answers: plain values that JSON can say."""

from datetime import datetime
from typing import Any

from cmg.incidents.models import MEANING, SEVERITIES, Communication, Entry, Incident, Maintenance, Marker
from cmg.incidents.workflow import Box, boxes
from cmg.kit.clock import rfc3339

_TIMES = (
    "started_at",
    "detected_at",
    "declared_at",
    "acknowledged_at",
    "triaged_at",
    "identified_at",
    "resolved_at",
    "closed_at",
    "reviewed_at",
    "updated_at",
)
_PLAIN = (
    "status",
    "title",
    "summary",
    "origin",
    "public",
    "public_title",
    "commander",
    "communications",
    "scribe",
    "business_impact",
    "reputation",
    "cause",
    "lessons",
    "created_by",
)


def incident_view(incident: Incident, now: datetime) -> dict[str, Any]:
    """An incident with its time boxes."""
    view: dict[str, Any] = {
        "id": incident.name,
        "severity": SEVERITIES[incident.severity - 1],
        "meaning": MEANING[incident.severity],
        **{name: getattr(incident, name) for name in _PLAIN},
        "components": dict(incident.components),
        "labels": dict(incident.labels),
        "factors": list(incident.factors),
        "impact": None if incident.impact is None else dict(incident.impact),
        **{name: time_view(getattr(incident, name)) for name in _TIMES},
        "time_boxes": [box_view(box) for box in boxes(incident, now)],
    }
    return view


def box_view(box: Box) -> dict[str, Any]:
    """A step of the workflow."""
    times = {name: time_view(getattr(box, name)) for name in ("begins_at", "due_at", "done_at")}
    return {"name": box.name, "state": box.state, **times, "late_s": box.late_s}


def entry_view(entry: Entry) -> dict[str, Any]:
    """A line of a timeline."""
    told = {"at": time_view(entry.at), "kind": entry.kind, "actor": entry.actor, "text": entry.text}
    return {**told, "details": dict(entry.details)}


def communication_view(said: Communication) -> dict[str, Any]:
    """Something that was said."""
    return {
        "id": said.id,
        "at": time_view(said.at),
        "kind": said.kind,
        "audience": said.audience,
        "status": said.status,
        "subject": said.subject,
        "body": said.body,
        "deliveries": [dict(one) for one in said.deliveries],
        "actor": said.actor,
    }


def marker_view(marker: Marker) -> dict[str, Any]:
    """A marker; `id` is the sender's own id of it, if it gave one."""
    plain = {name: getattr(marker, name) for name in ("kind", "title", "source", "link", "actor")}
    return {"number": marker.id, "id": marker.ref, "at": time_view(marker.at), **plain, "details": dict(marker.details)}


def maintenance_view(one: Maintenance, now: datetime) -> dict[str, Any]:
    """An announced maintenance."""
    times = ("starts_at", "ends_at", "began_at", "completed_at", "cancelled_at", "created_at", "updated_at")
    return {
        "id": one.id,
        "title": one.title,
        "body": one.body,
        "status": one.status(now),
        "components": list(one.components),
        **{name: time_view(getattr(one, name)) for name in times},
        "created_by": one.created_by,
    }


def time_view(value: datetime | None) -> str | None:
    """RFC 3339, or nothing."""
    return None if value is None else rfc3339(value.timestamp())
