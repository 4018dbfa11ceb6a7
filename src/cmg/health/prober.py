"""Looks at every component at its pace, for ever, and publishes what it found."""

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from cmg.health.board import Board
from cmg.health.history import History
from cmg.health.looking import Probe, seen
from cmg.health.models import SERVICE, Level, Reading, Report, State, told, whole
from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

BEAT_S = 5.0  # a report is written at least so often: a reader knows by it that the prober lives
_log = get_logger("cmg.health")


class Pace(msgspec.Struct, frozen=True):
    """Looks of one component begin `interval_s` apart, and each ends within `deadline_s`."""

    interval_s: float
    deadline_s: float


class Prober:
    """One per machine. `report` is what it knows now."""

    def __init__(
        self,
        probes: Sequence[Probe],
        pace: Pace,
        board: Board,
        history: History,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        self._probes, self._pace, self._board, self._history = probes, pace, board, history
        self._clock, self._instruments = clock, instruments
        self._states: dict[str, State] = {}
        self._left: dict[str, asyncio.Task[Sequence[Reading]]] = {}
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Look for ever. Components are looked at side by side: one that hangs holds up no other."""
        await self._history.load()
        self.go_on()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publishing())
            group.create_task(self._history.run())
            for probe in self._probes:
                group.create_task(self._watching(probe))

    def go_on(self) -> None:
        """What the process before has found holds, as long as it is not too old, until it is looked at again."""
        before = self._board.read()
        names = {probe.component.name for probe in self._probes}
        if before is not None:
            self._states = {one.component.name: one for one in before.states if one.component.name in names}

    @property
    def report(self) -> Report:
        """What is known now."""
        return Report(
            machine=self._history.machine,
            written_s=self._clock.monotonic(),
            interval_s=self._pace.interval_s,
            deadline_s=self._pace.deadline_s,
            states=tuple(
                self._states[one.component.name] for one in self._probes if one.component.name in self._states
            ),
        )

    async def look(self, probe: Probe) -> State:
        """Look at one component once and take note of it."""
        name, started = probe.component.name, self._clock.monotonic()
        readings, level = await self._found(probe)
        now, at = self._clock.monotonic(), self._clock.time()
        before = self._states.get(name)
        since = before.since if before is not None and before.level == level else at
        state = State(
            component=probe.component,
            level=level,
            readings=readings,
            at=at,
            probed_s=now,
            took_s=now - started,
            since=since,
        )
        self._states[name] = state
        self._tell(state)
        if before is None or before.level != level:
            tell = _log.warning if level > Level.HEALTHY else _log.info
            tell("the health of a component", component=name, health=level.name.lower(), reason=told(readings))
        self._history.note(name, level, at, told(readings))
        self._note_whole(at)
        self._changed.set()
        return state

    async def _found(self, probe: Probe) -> tuple[tuple[Reading, ...], Level]:
        name = probe.component.name
        left = self._left.get(name)
        if left is not None and not left.done():
            stuck = Reading(measurement="availability", level=Level.UNHEALTHY, output="the last look has not ended yet")
            return (stuck,), Level.UNHEALTHY
        result = await seen(probe.look, self._pace.deadline_s)
        if result.left is not None:
            self._left[name] = result.left
        return result.readings, result.level

    def _note_whole(self, at: float) -> None:
        """The whole changes with its parts; it is first told when every part is known."""
        if len(self._states) < len(self._probes):
            return
        states = self.report.states
        level = whole(states)
        self._instruments.series("cmg_health_level", SERVICE).set(int(level))
        causes = [f"{state.component.name} {state.level.name}" for state in states if state.level > Level.HEALTHY]
        self._history.note(SERVICE, level, at, ", ".join(causes)[:300])

    def _tell(self, state: State) -> None:
        name = state.component.name
        self._instruments.series("cmg_health_level", name).set(int(state.level))
        self._instruments.series("cmg_health_probed_timestamp_seconds", name).set(state.at)
        self._instruments.series("cmg_health_probe_duration_seconds", name).observe(state.took_s)

    async def _watching(self, probe: Probe) -> None:
        while True:
            began = self._clock.monotonic()
            await self.look(probe)
            await self._clock.sleep(max(0.0, began + self._pace.interval_s - self._clock.monotonic()))

    async def _publishing(self) -> None:
        while True:
            self._changed.clear()
            try:
                await asyncio.to_thread(self._board.write, self.report)
            except OSError as error:
                _log.warning("the report on health cannot be written", error=repr(error))
            await self._pause(self._clock.sleep)

    async def _pause(self, sleep: Callable[[float], object]) -> None:
        """Until the next beat, or until something is new."""
        waits = [asyncio.ensure_future(sleep(BEAT_S)), asyncio.ensure_future(self._changed.wait())]  # type: ignore[call-overload]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
