"""Who is on call now, until when, who is next, and where nobody is: of each schedule, and of each policy's steps."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cmg.alerting.channels.kinds import works
from cmg.alerting.oncall.schedules import changes_of, on_call
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import EscalationPolicy, Schedule, Step

AHEAD_S = 14 * 86_400
_FAR_S = 92 * 86_400  # the longest shift of a rotation lasts 60 days


@dataclass(frozen=True)
class Shift:
    """Somebody's time, epoch seconds. `until` is None when nobody takes over within 92 days."""

    person: str
    starts_at: float
    until: float | None


@dataclass(frozen=True)
class Roster:
    """A schedule at a moment. `now` begins at the moment that was asked for; `gaps` lie in the 14 days from it."""

    schedule: str
    document: Schedule
    now: Shift | None
    next: Shift | None
    gaps: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Tier:
    """Whom a step of a policy tells. `absent`: schedules in which nobody is on call; the next tier covers for them."""

    number: int
    step: Step
    people: tuple[tuple[str, str | None], ...]
    channels: tuple[str, ...]
    absent: tuple[str, ...]


def roster(name: str, schedule: Schedule, at: float) -> Roster:
    """Who has it at `at`, and what comes then."""
    shifts = _shifts(schedule, at, at + AHEAD_S)
    gaps = tuple((starts, ends) for person, starts, ends in shifts if person is None)
    if sum(person is not None for person, _, _ in shifts) < 3:  # else the one now and the next are over by then
        shifts = _shifts(schedule, at, at + _FAR_S)
    known = [Shift(person, starts, None if ends >= at + _FAR_S else ends) for person, starts, ends in shifts if person]
    now = known[0] if known and known[0].starts_at <= at else None
    return Roster(name, schedule, now, next((one for one in known if one is not now), None), gaps)


def _shifts(schedule: Schedule, start: float, end: float) -> list[tuple[str | None, float, float]]:
    """(who, from, until) over a span of time, one after the other."""
    changes = [*changes_of(schedule, start, end), (end, None)]
    return [(person, begins, ends) for (begins, person), (ends, _) in pairwise(changes)]


def tiers(setup: Setup, policy: EscalationPolicy, at: float) -> Iterator[Tier]:
    """Who each step of a policy would tell at `at`."""
    for number, step in enumerate(policy.steps, 1):
        people: dict[str, str | None] = {}
        absent = []
        for target in step.targets:
            if target.responder is not None:
                people.setdefault(target.responder, None)
            schedule = setup.schedules.get(target.schedule or "")
            who = None if schedule is None else on_call(schedule, at)
            if who is not None:
                people.setdefault(who, target.schedule)
            elif target.schedule is not None:
                absent.append(target.schedule)
        channels = tuple(target.channel for target in step.targets if target.channel is not None)
        yield Tier(number, step, tuple(people.items()), channels, tuple(absent))


def reachable(setup: Setup, person: str) -> bool:
    """Whether somebody has a contact on a channel that has all that its kind needs, and knows where to."""
    responder = setup.responders.get(person)
    contacts = [one for one in responder.contacts if one.channel in setup.channels] if responder else []
    return any(works(setup.channels[one.channel], one.address) for one in contacts)
