"""The texts of messages, filled from the incident. Pure.

Customers hear what is affected and since when, and what the writer adds; never the internal title, names, causes or
money.
"""

from dataclasses import dataclass
from datetime import datetime

from cmg.incidents.models import COMPONENTS, MEANING, SEVERITIES, Incident

_WORDS = {
    "degraded_performance": "slower or with errors",
    "partial_outage": "partly unavailable",
    "major_outage": "unavailable",
}
_STATUS_SENTENCE = {
    "investigating": "We are investigating.",
    "identified": "We know the cause and are working on it.",
    "monitoring": "A remedy is in place and we watch whether it holds.",
    "resolved": "It is resolved.",
    "closed": "It is resolved.",
}


@dataclass(frozen=True)
class Text:
    """A message: one line and the text."""

    subject: str
    body: str


def filled(incident: Incident, kind: str, audience: str, words: str, now: datetime) -> Text:
    """The message of a kind for an audience; `words` is what the writer adds, or nothing."""
    make = _CUSTOMER[kind] if audience == "customer" else _INTERNAL[kind]
    subject, lines = make(incident, words, now)
    return Text(subject, "\n".join(line for line in lines if line))


Made = tuple[str, list[str]]


def _internal_initial(incident: Incident, words: str, _now: datetime) -> Made:
    return _head(incident, "declared"), [
        f"{SEVERITIES[incident.severity - 1]}: {MEANING[incident.severity]}.",
        incident.summary,
        words,
        f"Began {_moment(incident.started_at)}, detected {_moment(incident.detected_at)}.",
        f"Affected: {_affected(incident)}.",
        _roles(incident),
        _impact(incident),
    ]


def _internal_update(incident: Incident, words: str, now: datetime) -> Made:
    return _head(incident, incident.status), [
        words,
        f"Status: {incident.status}, for {_span(incident.started_at, now)} now.",
        f"Affected: {_affected(incident)}.",
        f"Cause: {incident.cause}" if incident.cause else "",
        _roles(incident),
        _impact(incident),
    ]


def _internal_resolution(incident: Incident, words: str, now: datetime) -> Made:
    ended = incident.resolved_at or now
    return _head(incident, "resolved"), [
        words,
        f"It lasted {_span(incident.started_at, ended)}: {_moment(incident.started_at)} to {_moment(ended)}.",
        f"Cause: {incident.cause}" if incident.cause else "The cause is not written down yet.",
        _impact(incident),
        "The review is due within 48 hours.",
    ]


def _internal_post(incident: Incident, words: str, now: datetime) -> Made:
    ended = incident.resolved_at or now
    return _head(incident, "reviewed"), [
        words,
        f"It lasted {_span(incident.started_at, ended)}.",
        f"Cause: {incident.cause}" if incident.cause else "",
        f"Contributing factors: {'; '.join(incident.factors)}" if incident.factors else "",
        f"Lessons: {incident.lessons}" if incident.lessons else "",
        _impact(incident),
    ]


def _customer_initial(incident: Incident, words: str, _now: datetime) -> Made:
    return incident.shown_title, [
        _state_of_components(incident),
        words,
        f"It began at {_moment(incident.started_at)}. {_STATUS_SENTENCE[incident.status]}",
    ]


def _customer_update(incident: Incident, words: str, _now: datetime) -> Made:
    return incident.shown_title, [words, _STATUS_SENTENCE[incident.status], _state_of_components(incident)]


def _customer_resolution(incident: Incident, words: str, now: datetime) -> Made:
    ended = incident.resolved_at or now
    return incident.shown_title, [
        "This incident is resolved.",
        words,
        f"It lasted {_span(incident.started_at, ended)}, until {_moment(ended)}.",
    ]


def _customer_post(incident: Incident, words: str, now: datetime) -> Made:
    ended = incident.resolved_at or now
    return incident.shown_title, [
        (
            f"We have looked back at this incident of {_moment(incident.started_at)}, "
            f"which lasted {_span(incident.started_at, ended)}."
        ),
        words,
    ]


_INTERNAL = {
    "initial": _internal_initial,
    "update": _internal_update,
    "resolution": _internal_resolution,
    "post_incident": _internal_post,
}
_CUSTOMER = {
    "initial": _customer_initial,
    "update": _customer_update,
    "resolution": _customer_resolution,
    "post_incident": _customer_post,
}


def _head(incident: Incident, word: str) -> str:
    return f"[{SEVERITIES[incident.severity - 1]}] {incident.name} {word}: {incident.title}"


def _affected(incident: Incident) -> str:
    return ", ".join(f"{COMPONENTS[name][0]} ({_WORDS[state]})" for name, state in incident.components.items()) or (
        "not said yet"
    )


def _state_of_components(incident: Incident) -> str:
    told = [f"{COMPONENTS[name][0]}: {_WORDS[state]}." for name, state in incident.components.items()]
    return " ".join(told)


def _roles(incident: Incident) -> str:
    scribe = f", scribe {incident.scribe}" if incident.scribe else ""
    spokesperson = f", communications {incident.communications}" if incident.communications else ""
    return f"Commander: {incident.commander or 'nobody yet'}{spokesperson}{scribe}."


def _impact(incident: Incident) -> str:
    impact = incident.impact
    if impact is None:
        return incident.business_impact
    figures = (
        f"Impact: {impact['users_affected']} users and {impact['calls_failed']} of {impact['calls']} calls, "
        f"${impact['cost_usd_failed']:.2f} spent on calls that failed."
    )
    return f"{figures} {incident.business_impact}".strip()


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span(since: datetime, until: datetime) -> str:
    """`2 h 5 min`."""
    minutes = max(0, round((until - since).total_seconds() / 60))
    hours, rest = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{rest} min" if rest or minutes == 0 else ""]
    return " ".join(part for part in parts if part)
