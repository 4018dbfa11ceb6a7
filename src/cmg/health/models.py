"""Levels, what probes find, and how parts add up to a whole: pure decisions."""

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import Literal

import msgspec

SERVICE = "service"  # the whole, as a component of the history and of the metrics
PROBER = "health"  # the component that stands for the probes themselves
WORKERS = "workers"  # the component that stands for the process which probes
UNKNOWN = "UNKNOWN"  # in the history: nobody looked
Kind = Literal["component", "datastore", "system"]  # ours; a store; another service: the last two are dependencies


class Level(IntEnum):
    """How well something works; a higher number is worse."""

    HEALTHY = 0
    DEGRADED = 1  # slower, or with less, but serving
    UNHEALTHY = 2  # it does not do what it is for
    CRITICAL = 3  # and somebody must look at it now

    @property
    def status(self) -> str:
        """The word of draft-inadarei-06: `pass`, `warn`, `fail`."""
        return ("pass", "warn", "fail", "fail")[self]


class Reading(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One thing a probe found; `output` says what is wrong, `part` which one of several it is about."""

    measurement: str
    level: Level = Level.HEALTHY
    value: int | float | bool | str | None = None
    unit: str | None = None
    output: str = ""
    part: str = ""


class Component(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Something that has a level. Its name is `family` or `family/one`.

    `worst` is the worst level of the whole that its fault may cause. Of members of one `group` each alone causes
    DEGRADED at most, all of them together `worst`.
    """

    name: str
    kind: Kind = "component"
    worst: Level = Level.DEGRADED
    group: str = ""

    @property
    def family(self) -> str:
        """The first word of its name."""
        return self.name.partition("/")[0]


class State(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the last probe of a component found.

    `at` and `since` are epoch seconds: of the probe's end, and of the level's begin. `probed_s` is the end on the
    machine's monotonic clock.
    """

    component: Component
    level: Level
    readings: tuple[Reading, ...]
    at: float
    probed_s: float
    took_s: float
    since: float


class Report(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """All of it at one moment; `written_s` is on the machine's monotonic clock."""

    machine: str
    written_s: float
    interval_s: float
    deadline_s: float
    states: tuple[State, ...]


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """A component's level changed; `before` and `after` are names of levels or `UNKNOWN`."""

    id: str
    at: float
    machine: str
    component: str
    before: str
    after: str
    output: str = ""


def worst(readings: Iterable[Reading]) -> Level:
    """A component is as bad as the worst thing found."""
    return max((reading.level for reading in readings), default=Level.HEALTHY)


def whole(states: Sequence[State]) -> Level:
    """The level of all of these together."""
    level = Level.HEALTHY
    groups: dict[str, list[State]] = {}
    for state in states:
        if state.component.group:
            groups.setdefault(state.component.group, []).append(state)
        level = max(level, _effect(state))
    for members in groups.values():
        together = min(member.level for member in members)
        level = max(level, min(together, members[0].component.worst))
    return level


def _effect(state: State) -> Level:
    limit = Level.DEGRADED if state.component.group else state.component.worst
    return min(state.level, limit)


def told(readings: Iterable[Reading], most: int = 300) -> str:
    """What is wrong, in one line: the outputs of the worst readings."""
    found = [reading for reading in readings if reading.level > Level.HEALTHY]
    found.sort(key=lambda reading: -reading.level)
    parts = [f"{reading.part}: {reading.output}" if reading.part else reading.output for reading in found]
    return "; ".join(part for part in parts if part)[:most]
