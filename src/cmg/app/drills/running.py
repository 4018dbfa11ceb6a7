"""Runs one drill: announces it to alerting, puts the fault on, watches until everything was seen, and takes it off."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cmg.alerting.models import Report
from cmg.alerting.standby.local_copy import LocalCopy
from cmg.app.drills.load import Load
from cmg.app.drills.measuring import (
    Measure,
    Seen,
    Times,
    escalated_at,
    expects_escalation,
    first_told,
    measures,
)
from cmg.app.drills.practice import Practice
from cmg.app.drills.scenarios import ESCALATE_S, LASTING, NOTIFY_S, SCENARIOS
from cmg.app.drills.waiting import WAITING_JOB
from cmg.app.wiring.services import Services
from cmg.identity.models import COMMAND_LINE, DEFAULT_WORKSPACE
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock, at
from cmg.kit.errors import Conflict, NotFound
from cmg.telemetry import faults
from cmg.telemetry.instruments import Instruments

_LAST = datetime(9999, 1, 1, tzinfo=UTC)
_LOOK_S = 1.0
_MOST = 200


@dataclass(frozen=True)
class Wanted:
    """What the caller asks for. `page`: people are told; `minute_s`: how long a minute of the escalation lasts."""

    name: str
    page: bool = False
    minute_s: int = 2


class Drills:
    """`tell` gets a line at each turn; `faults_file` is the one that the service's processes read."""

    def __init__(self, services: Services, faults_file: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        self._services, self._file, self._clock, self._tell = services, faults_file, clock, tell
        self._copy = LocalCopy(services.settings.data_dir / "alerting")

    async def run(self, wanted: Wanted) -> Sequence[Measure]:
        """Detection, notification, escalation and recovery. Raises `Conflict` when it cannot be now."""
        practice, load = await self._ready(wanted), Load(self._services.settings, self._services.keys, self._clock)
        async with load.running():
            await practice.begin()
            seen = Seen()
            try:
                return await self._drill(wanted, load, seen)
            finally:
                await practice.end(over=_over(seen))

    async def _ready(self, wanted: Wanted) -> Practice:
        scenario = SCENARIOS.get(wanted.name)
        if scenario is None:
            raise NotFound(f"there is no drill {wanted.name!r}; there are: {', '.join(SCENARIOS)}")
        if not self._services.settings.drills.enabled:
            raise Conflict("drills are off on this machine; set `drills.enabled` and start the service again")
        if await self._pager() is None:
            raise Conflict("nobody pages: is the service running?")
        lasts_s = _longest_s(wanted) + scenario.recover_s + 60
        practice = Practice(self._services, self._clock, wanted.name, scenario, lasts_s, wanted.page, wanted.minute_s)
        await practice.check()
        return practice

    async def _pager(self) -> str | None:
        services = self._services
        return await services.desk.store.holder(services.database, "pager", self._clock.now())

    async def _drill(self, wanted: Wanted, load: Load, seen: Seen) -> Sequence[Measure]:
        scenario = SCENARIOS[wanted.name]
        policies = (await self._services.alerts.setup(DEFAULT_WORKSPACE)).policies
        before, began, taken_over = await self._pager(), self._clock.time(), None
        self._tell(f"{wanted.name}: {scenario.told}")
        await self._begin(wanted, load)
        try:
            while self._clock.time() < began + _longest_s(wanted):
                await self._look(wanted.name, began, seen)
                expected = seen.of(scenario.quantities)
                if wanted.name == "monitor-death" and taken_over is None and await self._pager() not in {None, before}:
                    taken_over = self._clock.time()
                minutes, _ = expects_escalation(expected, policies)
                done = first_told(expected) is not None and (not minutes or escalated_at(expected) is not None)
                if done and (wanted.name != "monitor-death" or taken_over is not None):
                    break
                await self._clock.sleep(_LOOK_S)
        finally:
            await self._end(wanted, load)
        ended = self._clock.time()
        self._tell("the fault is off; waiting until it is over")
        while self._clock.time() < ended + scenario.recover_s and not _over(seen):
            await self._clock.sleep(_LOOK_S)
            await self._look(wanted.name, began, seen)
        return measures(scenario, seen, Times(began, ended, wanted.minute_s, taken_over), policies)

    async def _begin(self, wanted: Wanted, load: Load) -> None:
        scenario, now = SCENARIOS[wanted.name], self._clock.time()
        load.model = scenario.load
        if scenario.fault is not None:
            faults.put_on(self._file, scenario.fault, faults.Fault(now, now + _longest_s(wanted)))
        if scenario.jobs:
            await self._queue(scenario.jobs)
        if wanted.name == "monitor-death":
            await self._report(firing=True)

    async def _end(self, wanted: Wanted, load: Load) -> None:
        scenario = SCENARIOS[wanted.name]
        load.model = "sim/echo" if scenario.load is not None else None  # as after an outage
        if scenario.fault is not None:
            faults.take_off(self._file, scenario.fault)
        if wanted.name == "monitor-death":
            await self._report(firing=False)

    async def _report(self, *, firing: bool) -> None:
        """An alert that comes while nobody is there to tell of it: it must not be lost."""
        labels = {"alertname": "DrillWhileMonitorIsDead", "severity": "P1", "quantity": "drill_monitor"}
        report = Report(labels=labels, annotations={"summary": "Reported while the monitor was dead"}, firing=firing)
        await self._services.alerts.receive(DEFAULT_WORKSPACE, [report])

    async def _queue(self, count: int) -> None:
        database = self._services.database
        jobs = Jobs(database, self._clock, Instruments())
        async with database.transaction(60) as conn:
            for _ in range(count):
                await jobs.enqueue(conn, WAITING_JOB)

    async def _look(self, drill: str, began: float, seen: Seen) -> None:
        """From the tables, and from the spool of a pager that goes on without them."""
        services, store = self._services, self._services.desk.store
        spooled = await asyncio.to_thread(self._copy.spooled, DEFAULT_WORKSPACE)
        groups = await store.groups(services.database, DEFAULT_WORKSPACE, (_LAST, ""), None, _MOST)
        since = at(began).timestamp()
        ours = {one.id: one for one in groups if one.drill == drill and one.opened_at >= since}
        ours |= {one.id: one for one in spooled.groups.values() if one.drill == drill and one.opened_at >= since}
        alerts = [one for one in spooled.alerts.values() if one.group_id in ours]
        messages = [one for one in spooled.notifications.values() if one.group_id in ours]
        for name in ours:
            story = await services.alerts.story(COMMAND_LINE, name) if name not in spooled.groups else None
            messages += story.notifications if story is not None else []
            alerts += await services.alerts.members(DEFAULT_WORKSPACE, name)
        seen.add(alerts, ours.values(), messages)


def _over(seen: Seen) -> bool:
    """Whether nothing of it fires, but for new messages of errors."""
    lasting = {one.group_id for one in seen.alerts.values() if one.labels.get("quantity") == LASTING}
    awaited = {one.group_id for one in seen.alerts.values() if one.labels.get("quantity") != LASTING}
    return all(not one.live for one in seen.groups.values() if one.id not in lasting - awaited)


def _longest_s(wanted: Wanted) -> float:
    """For how long the fault may be on: until it should be noticed, told and escalated once, and a little more."""
    return SCENARIOS[wanted.name].detect_s + NOTIFY_S + ESCALATE_S + 15 * wanted.minute_s + 60
