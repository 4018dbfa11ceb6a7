"""The shifts of a schedule, or of a person in every schedule, within a window of time. Pure."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from cmg.alerting.calendar.models import Duty, Feed
from cmg.alerting.oncall.schedules import changes_of
from cmg.alerting.setup.compiled import Setup

MOST = 2000
_PAST = timedelta(days=28)
_AHEAD = timedelta(days=180)
_BEFORE_S = 62 * 86_400.0  # the longest shift of a rotation lasts 60 days


def window(now: datetime) -> tuple[float, float]:
    """From the first of a month, 28 to 59 days ago, for a shift's identity to last, until 180 days ahead."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day - _PAST).replace(day=1).timestamp(), (day + _AHEAD).timestamp()


def duties(setup: Setup, feed: Feed, changed: Mapping[str, datetime], now: datetime) -> list[Duty]:
    """What a feed holds now, the oldest first. Of more than 2,000, those that are over are left out, then the last."""
    schedules = [feed.subject] if feed.kind == "schedules" else sorted(setup.schedules)
    person = feed.subject if feed.kind == "responders" else None
    found: list[Duty] = []
    for name in schedules:
        if name in setup.schedules and (person is None or _names(setup, name, person)):
            found += _of_schedule(setup, name, person, changed.get(name, now), window(now))
    if len(found) > MOST:
        found = [one for one in found if one.ends_at > now.timestamp()]
    return sorted(found, key=lambda one: (one.starts_at, one.schedule))[:MOST]


def _names(setup: Setup, schedule: str, person: str) -> bool:
    document = setup.schedules[schedule]
    return any(person in layer.people for layer in document.layers) or any(
        one.person == person for one in document.overrides
    )


def _of_schedule(
    setup: Setup, name: str, person: str | None, changed: datetime, span: tuple[float, float]
) -> Iterator[Duty]:
    schedule, (start, end) = setup.schedules[name], span
    edges = [*changes_of(schedule, start - _BEFORE_S, end), (end, None)]
    for (begins, who), (ends, _) in pairwise(edges):
        if who is None or ends <= start or (person is not None and who != person):
            continue
        responder = setup.responders.get(who)
        yield Duty(
            schedule=name,
            schedule_name=schedule.name or name,
            person=who,
            person_name=responder.name if responder is not None else who,
            starts_at=begins,
            ends_at=ends,
            changed=changed,
        )
