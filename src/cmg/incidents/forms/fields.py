"""Reading what people send about incidents: every function gives clean values or an error that names the field."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import msgspec

from cmg.identity.forms.text import array, boolean, moment, one_of, text, wrong
from cmg.incidents.models import COMPONENTS, SEVERITIES, TROUBLE, Incident, Maintenance, Marker, severity_of
from cmg.kit.clock import at

TITLE_MAX = 200
TEXT_MAX = 8000
NAME_MAX = 200
FACTORS_MAX = 30
MAINTENANCE_MAX = timedelta(days=30)
EARLIEST = timedelta(days=30)  # before now that an incident or a note may begin
_AHEAD = timedelta(minutes=5)  # a sender's clock may be ahead of ours
_DETAILS_BYTES_MAX = 4096

Reader = Callable[[Any], Any]


def _line(name: str, most: int = NAME_MAX, least: int = 0) -> Reader:
    return lambda value: text(value, name, least=least, most=most)


def _lines(name: str) -> Reader:
    return lambda value: text(value, name, most=TEXT_MAX, lines=True)


def _components(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise wrong("components", "must be an object: a component of the status page and its status")
    for name in value:
        if name not in COMPONENTS:
            raise wrong(f"components.{name}", f"is not known; known are {', '.join(COMPONENTS)}")
    return {name: one_of(state, f"components.{name}", TROUBLE) for name, state in value.items()}


def _factors(value: Any) -> tuple[str, ...]:
    return array(value, "factors", FACTORS_MAX, lambda one, at_: text(one, at_, least=1, most=500))


# Field → how it is read; the same for a declaration and for a change.
_INCIDENT: dict[str, Reader] = {
    "title": _line("title", TITLE_MAX, least=1),
    "summary": _lines("summary"),
    "severity": lambda value: severity_of(one_of(value, "severity", SEVERITIES)),
    "public": lambda value: boolean(value, "public"),
    "public_title": _line("public_title", TITLE_MAX),
    "components": _components,
    "commander": _line("commander"),
    "communications": _line("communications"),
    "scribe": _line("scribe"),
    "business_impact": _lines("business_impact"),
    "reputation": _lines("reputation"),
    "cause": _lines("cause"),
    "factors": _factors,
    "lessons": _lines("lessons"),
}


def declared(fields: Mapping[str, Any], by: str, now: datetime) -> Incident:
    """A new incident from what was sent. Raises `InvalidRequest`."""
    given = {name: value for name, value in fields.items() if value is not None}
    for name in ("title", "severity"):
        if name not in given:
            raise wrong(name, "must be given")
    started = past(given.pop("started_at", None), "started_at", now)
    detected = past(given.pop("detected_at", None), "detected_at", now)
    if detected < started:
        raise wrong("detected_at", "must not be before `started_at`")
    values = read_incident(given)
    times: dict[str, Any] = {"started_at": started, "detected_at": detected, "declared_at": now, "updated_at": now}
    return Incident(**values, **times, created_by=by)


def read_incident(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The clean values of some fields of an incident. Raises `InvalidRequest`."""
    values = {}
    for name, value in fields.items():
        if name not in _INCIDENT:
            raise wrong(name, f"is not known; known are {', '.join(_INCIDENT)}")
        values[name] = _INCIDENT[name](value)
    return values


def past(value: Any, field: str, now: datetime) -> datetime:
    """A moment of the last thirty days; None: now."""
    if value is None:
        return now
    found = at(moment(value, field))
    if not now - EARLIEST <= found <= now + _AHEAD:
        raise wrong(field, "must lie in the last 30 days, not in the future")
    return min(found, now)


def marker(fields: Mapping[str, Any], by: str, now: datetime) -> Marker:
    """A marker from what was sent. Raises `InvalidRequest`."""
    given = {name: value for name, value in fields.items() if value is not None}
    details = given.get("details", {})
    if not isinstance(details, Mapping) or len(msgspec.json.encode(details)) > _DETAILS_BYTES_MAX:
        raise wrong("details", f"must be an object of at most {_DETAILS_BYTES_MAX} bytes")
    link = text(given.get("link", ""), "link", most=500)
    if link and not link.startswith(("https://", "http://")):
        raise wrong("link", "must be a URL that begins with https:// or http://")
    ref = given.get("id")
    return Marker(
        at=past(given.get("at"), "at", now),
        kind=text(given.get("kind", "deploy"), "kind", least=1, most=40),
        title=text(given.get("title"), "title", least=1, most=TITLE_MAX),
        source=text(given.get("source", ""), "source", most=100),
        link=link,
        details=dict(details),
        ref=None if ref is None else text(ref, "id", least=1, most=200),
        actor=by,
    )


def maintenance(fields: Mapping[str, Any], by: str, now: datetime) -> Maintenance:
    """An announcement from what was sent. Raises `InvalidRequest`."""
    given = {name: value for name, value in fields.items() if value is not None}
    values = read_maintenance(given)
    for name in ("title", "starts_at", "ends_at"):
        if name not in values:
            raise wrong(name, "must be given")
    made = Maintenance(**values, created_at=now, updated_at=now, created_by=by)
    check_maintenance(made, now)
    return made


_MAINTENANCE: dict[str, Reader] = {
    "title": _line("title", TITLE_MAX, least=1),
    "body": _lines("body"),
    "components": lambda value: array(value, "components", 20, lambda one, at_: one_of(one, at_, tuple(COMPONENTS))),
    "starts_at": lambda value: at(moment(value, "starts_at")),
    "ends_at": lambda value: at(moment(value, "ends_at")),
}


def read_maintenance(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The clean values of some fields of a maintenance. Raises `InvalidRequest`."""
    values = {}
    for name, value in fields.items():
        if name not in _MAINTENANCE:
            raise wrong(name, f"is not known; known are {', '.join(_MAINTENANCE)}")
        values[name] = _MAINTENANCE[name](value)
    return values


def check_maintenance(one: Maintenance, now: datetime) -> None:
    """Its times make sense. Raises `InvalidRequest`."""
    if one.ends_at <= one.starts_at:
        raise wrong("ends_at", "must be after `starts_at`")
    if one.ends_at - one.starts_at > MAINTENANCE_MAX:
        raise wrong("ends_at", f"must be at most {MAINTENANCE_MAX.days} days after `starts_at`")
    if one.ends_at <= now:
        raise wrong("ends_at", "must lie in the future")
