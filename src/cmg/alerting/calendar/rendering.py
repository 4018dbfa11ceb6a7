"""Shifts as iCalendar (RFC 5545). Every moment is in UTC, so no client needs to know the time zone's rules."""

from collections.abc import Sequence
from datetime import timedelta
from hashlib import sha256

from icalendar import Calendar, Event

from cmg.alerting.calendar.models import Duty, Feed
from cmg.kit.clock import at

_PRODUCT = "-//context-memory-gateway//on-call//EN"
_DOMAIN = "context-memory-gateway"
_REFRESH = timedelta(hours=1)


def rendered(feed: Feed, title: str, duties: Sequence[Duty]) -> bytes:
    """The whole calendar."""
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("name", title)  # RFC 7986; what follows is how older clients call the same
    calendar.add("x-wr-calname", title)
    calendar.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    for one in duties:
        calendar.add_component(_event(feed, one))
    return bytes(calendar.to_ical())


def _event(feed: Feed, duty: Duty) -> Event:
    event = Event()
    event.add("uid", f"{_identity(feed.workspace_id, duty)}@{_DOMAIN}")
    event.add("dtstamp", duty.changed)
    event.add("last-modified", duty.changed)
    event.add("dtstart", at(duty.starts_at))
    event.add("dtend", at(duty.ends_at))
    told = f"{duty.person_name}: {duty.schedule_name}" if feed.kind == "schedules" else f"On call: {duty.schedule_name}"
    event.add("summary", told)
    event.add("description", f"{duty.person_name} ({duty.person}) is on call in {duty.schedule_name}.")
    event.add("categories", ["on-call"])
    event.add("transp", "TRANSPARENT")  # being on call does not make somebody busy
    return event


def _identity(workspace_id: str, duty: Duty) -> str:
    """The same for the same shift, whoever reads it and whenever it ends."""
    told = f"{workspace_id}\n{duty.schedule}\n{duty.person}\n{int(duty.starts_at)}"
    return sha256(told.encode()).hexdigest()[:32]
