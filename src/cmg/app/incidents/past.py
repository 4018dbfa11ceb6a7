"""How the components of the status page were, from the history of health: for times that no status page counted."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from cmg.app.incidents.components import seen
from cmg.health.history import order, read_kept
from cmg.health.models import UNKNOWN, Component, Level, State, Transition
from cmg.health.store import HealthStore
from cmg.incidents.status.models import Span
from cmg.kit.clock import at

FAMILIES = ("gateway", "database", "memory", "upstream")
_HEARD_S = 90.0  # after this without word of a machine nobody looked, as the history itself says
Levels = dict[tuple[str, str], str]  # (machine, component) → level


class PastComponents:
    """Reads the database, and of this machine the file as well: it knows what happened while the database was away."""

    def __init__(self, store: HealthStore, file: Path, machine: str) -> None:
        self._store, self._file, self._machine = store, file, machine

    async def spans(self, since: datetime, until: datetime) -> list[Span]:
        """The states between two moments, oldest first. Raises `DatabaseAway`."""
        kept = read_kept(self._file)
        stored = await self._store.families(FAMILIES, since)
        ours = [one for one in (*kept.recent, *kept.unwritten) if _family(one.component) in FAMILIES]
        every = {one.id: one for one in (*ours, *stored)}
        heard = await self._store.beats()
        heard[self._machine] = max(kept.seen_at, heard.get(self._machine, 0.0))
        return pieced(sorted(every.values(), key=order), heard, since.timestamp(), until.timestamp())


def pieced(transitions: Sequence[Transition], heard: Mapping[str, float], since: float, until: float) -> list[Span]:
    """Spans of transitions, oldest first. `heard`: machine → when there was word of it last; its levels end there."""
    spans: list[Span] = []
    growing: dict[str, Span] = {}
    for begins, ends, levels in _stretches(transitions, heard, until):
        begin, end = at(max(begins, since)), at(min(ends, until))
        if begin >= end:
            continue
        for component, state in _states(levels).items():
            last = growing.get(component)
            if last is not None and (last.state, last.until) == (state, begin):
                last.until = end
            else:
                growing[component] = Span(component, state, begin, end)
                spans.append(growing[component])
    return sorted(spans, key=lambda one: one.since)


def _stretches(
    transitions: Sequence[Transition], heard: Mapping[str, float], until: float
) -> Iterator[tuple[float, float, Levels]]:
    """(from, until, levels) between one change and the next; those that nobody observed are left out."""
    changes = [(one.at, one.machine, one.component, one.after) for one in transitions]
    for machine in {one.machine for one in transitions}:
        last = heard.get(machine, max(one.at for one in transitions if one.machine == machine))
        if until - last > _HEARD_S:
            parts = {one.component for one in transitions if one.machine == machine}
            changes += [(last, machine, component, UNKNOWN) for component in parts]
    levels: Levels = {}
    ordered = sorted(changes, key=lambda one: one[0])
    for (moment, machine, component, level), following in pairwise([*ordered, (until, "", "", UNKNOWN)]):
        levels[machine, component] = level
        if following[0] > moment and any(one != UNKNOWN for one in levels.values()):
            yield moment, following[0], levels


def _states(levels: Levels) -> dict[str, str]:
    """The page's words: of several machines the worst one counts."""
    worst: dict[str, Level] = {}
    for (_, component), level in levels.items():
        if level != UNKNOWN:
            worst[component] = max(worst.get(component, Level.HEALTHY), Level[level])
    return seen([_state(name, level) for name, level in worst.items()])


def _state(name: str, level: Level) -> State:
    component = Component(name=name)
    return State(component=component, level=level, readings=(), at=0, probed_s=0, took_s=0, since=0)


def _family(component: str) -> str:
    return component.partition("/")[0]
