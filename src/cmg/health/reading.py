"""What is known now, as a reader of the report sees it: results that are too old count as a fault."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from cmg.health.board import Board
from cmg.health.models import PROBER, WORKERS, Component, Level, Reading, State, whole
from cmg.health.prober import BEAT_S, Pace
from cmg.kit.clock import Clock

_LATE_S = 3 * BEAT_S  # a report that is older was not renewed twice
_SLACK_S = 5.0  # by which a busy machine may be late with a look
Local = Callable[[], Sequence[State]]


@dataclass(frozen=True)
class Standing:
    """Every component's state with what is stale in it, and the level of all; `silent`: the prober is not heard of."""

    states: tuple[State, ...]
    silent: bool = False

    @property
    def level(self) -> Level:
        """Of the whole."""
        return whole(self.states)


class Reader:
    """Reads the board for one process. `local` tells what this process knows of itself and the prober cannot."""

    def __init__(self, board: Board, pace: Pace, clock: Clock, local: Local = tuple) -> None:
        self._board, self._pace, self._clock, self._local = board, pace, clock, local
        self._since = clock.monotonic()

    def standing(self) -> Standing:
        """What is known now; reads a small file and waits for nothing."""
        now = self._clock.monotonic()
        report = self._board.read()
        states: list[State] = []
        if report is not None:
            oldest = report.interval_s + report.deadline_s + _SLACK_S
            states = [_aged(state, now - state.probed_s, oldest) for state in report.states]
        silent_s = now - (self._since if report is None else report.written_s)
        patience_s = self._pace.interval_s + self._pace.deadline_s if report is None else _LATE_S
        if silent_s > patience_s:
            states = self._without_prober(states, silent_s, nobody=report is None)
        return Standing(tuple(_merged(states, self._local())), silent_s > patience_s)

    def _without_prober(self, states: list[State], silent_s: float, *, nobody: bool) -> list[State]:
        """The process that probes and does the background work is gone, or stands still."""
        what = "the process that does the background work has not answered since the start"
        if not nobody:
            what = f"the process that does the background work has not been heard of for {silent_s:.0f} s"
        gone = Reading(measurement="availability", level=Level.UNHEALTHY, value=False, output=what)
        at, now = self._clock.time(), self._clock.monotonic()
        named = [
            State(
                component=Component(name=name),
                level=Level.UNHEALTHY,
                readings=(gone,),
                at=at,
                probed_s=now,
                took_s=0.0,
                since=at - silent_s,
            )
            for name in (WORKERS, PROBER)
        ]
        return [*(state for state in states if state.component.name not in (WORKERS, PROBER)), *named]


def _aged(state: State, age_s: float, oldest_s: float) -> State:
    if age_s <= oldest_s:
        return state
    told = f"the last look was {age_s:.0f} s ago; what it found may be wrong by now"
    stale = Reading(measurement="age", level=Level.DEGRADED, value=round(age_s, 1), unit="s", output=told)
    return msgspec.structs.replace(state, level=max(state.level, Level.DEGRADED), readings=(*state.readings, stale))


def _merged(states: Sequence[State], local: Sequence[State]) -> list[State]:
    """What this process knows of itself is added to what was found from outside."""
    by_name = {state.component.name: state for state in states}
    for one in local:
        other = by_name.get(one.component.name)
        if other is not None:
            level, readings = max(one.level, other.level), (*other.readings, *one.readings)
            one = msgspec.structs.replace(other, level=level, readings=readings)  # noqa: PLW2901  the joined one
        by_name[one.component.name] = one
    return list(by_name.values())
