"""The status as JSON in the shape that Statuspage's clients read (`/api/v2`)."""

from datetime import datetime
from typing import Any

from cmg.incidents.models import COMPONENTS, Communication, Incident, Maintenance
from cmg.incidents.status.models import IMPACTS, INDICATORS, Picture, current
from cmg.kit.clock import rfc3339

PAGE_ID = "cmg"
_UNTOLD: dict[str, Any] = {"deliver_notifications": False, "custom_tweet": None, "tweet_id": None}
_UNRESOLVED = ("investigating", "identified", "monitoring")


def documents(picture: Picture) -> dict[str, dict[str, Any]]:
    """Name of the document below `/status/api/v2/` → its content."""
    page = {"page": _page(picture)}
    now, planned = picture.at, picture.told.maintenances
    incidents = [_incident(one, picture) for one in picture.told.incidents]
    unresolved = [one for one in incidents if one["status"] in _UNRESOLVED]
    upcoming = [_maintenance(one, picture) for one in current(planned, now, "scheduled")]
    active = [_maintenance(one, picture) for one in current(planned, now, "in_progress")]
    ended = [_maintenance(one, picture) for one in reversed(current(planned, now, "completed"))]
    components = {"components": _components(picture)}
    indicator, description = INDICATORS[picture.state]
    status = {"status": {"indicator": indicator, "description": description}}
    coming = {"scheduled_maintenances": [*active, *upcoming]}
    return {
        "summary.json": {**page, **components, "incidents": unresolved, **coming, **status},
        "status.json": {**page, **status},
        "components.json": {**page, **components},
        "incidents.json": {**page, "incidents": incidents},
        "incidents/unresolved.json": {**page, "incidents": unresolved},
        "scheduled-maintenances.json": {**page, "scheduled_maintenances": [*active, *upcoming, *ended]},
        "scheduled-maintenances/upcoming.json": {**page, "scheduled_maintenances": upcoming},
        "scheduled-maintenances/active.json": {**page, "scheduled_maintenances": active},
    }


def _page(picture: Picture) -> dict[str, Any]:
    told = {"id": PAGE_ID, "name": picture.title, "url": f"{picture.url}/status", "time_zone": "Etc/UTC"}
    return {**told, "updated_at": _time(picture.at)}


def _components(picture: Picture) -> list[dict[str, Any]]:
    return [_component(name, picture.states.get(name, "operational"), picture) for name in COMPONENTS]


def _component(name: str, status: str, picture: Picture) -> dict[str, Any]:
    """`start_date` is the first day of which something is known."""
    label, description = COMPONENTS[name]
    since = min((one.day for one in picture.told.days if one.component == name), default=picture.at.date())
    told = {"id": name, "name": label, "status": status, "description": description}
    times = {"created_at": f"{since}T00:00:00.000Z", "updated_at": _time(picture.at), "start_date": str(since)}
    fixed = {"group_id": None, "group": False, "showcase": True, "only_show_if_degraded": False, "page_id": PAGE_ID}
    return {**told, **times, **fixed, "position": [*COMPONENTS].index(name) + 1}


def incident_status(incident: Incident, updates: list[Communication]) -> str:
    """In the status page's words: behind its end, whether customers were told what was learnt."""
    if incident.open:
        return incident.status
    return "postmortem" if any(one.kind == "post_incident" for one in updates) else "resolved"


def _incident(incident: Incident, picture: Picture) -> dict[str, Any]:
    updates = picture.updates_of(incident)
    times = [incident.updated_at, *(one.at for one in updates)]
    monitoring = [one.at for one in updates if one.status == "monitoring"]
    return {
        "id": str(incident.id),
        "name": incident.shown_title,
        "status": incident_status(incident, updates),
        "impact": IMPACTS[incident.severity],
        "created_at": _time(incident.declared_at),
        "updated_at": _time(max(times)),
        "started_at": _time(incident.started_at),
        "monitoring_at": _time(min(monitoring, default=None)),
        "resolved_at": _time(incident.resolved_at),
        "shortlink": f"{picture.url}/status/history#incident-{incident.id}",
        "page_id": PAGE_ID,
        "incident_updates": [_update(one) for one in updates],
        "components": [_component(name, state, picture) for name, state in incident.components.items()],
    }


def _update(said: Communication) -> dict[str, Any]:
    affected = [
        {"code": name, "name": COMPONENTS[name][0], "old_status": state, "new_status": state}
        for name, state in said.components.items()
    ]
    return {
        "id": str(said.id),
        "incident_id": str(said.incident_id),
        "status": said.status,
        "body": said.body,
        "created_at": _time(said.at),
        "updated_at": _time(said.at),
        "display_at": _time(said.at),
        "affected_components": affected or None,
        **_UNTOLD,
    }


def _maintenance(one: Maintenance, picture: Picture) -> dict[str, Any]:
    status = one.status(picture.at)
    named = f"maintenance-{one.id}"
    update = {
        "id": f"{named}-1",
        "incident_id": named,
        "status": status,
        "body": one.body,
        **{name: _time(one.updated_at) for name in ("created_at", "updated_at", "display_at")},
        "affected_components": None,
        **_UNTOLD,
    }
    return {
        "id": named,
        "name": one.title,
        "status": status,
        "impact": "maintenance",
        "created_at": _time(one.created_at),
        "updated_at": _time(one.updated_at),
        "scheduled_for": _time(one.starts_at),
        "scheduled_until": _time(one.ends_at),
        "started_at": _time(one.began_at or one.starts_at),
        "monitoring_at": None,
        "resolved_at": _time(one.completed_at or one.ends_at) if status == "completed" else None,
        "page_id": PAGE_ID,
        "incident_updates": [update],
        "components": [_component(name, "under_maintenance", picture) for name in one.components],
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else rfc3339(value.timestamp())
