"""Every group of rules at its moments; what begins or ceases to fire is reported by the process that leads."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from cmg.alerting.models import Report
from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import Labels
from cmg.timeseries.rules.alerts import Alert
from cmg.timeseries.rules.evaluation import Evaluation, Outcome

SOURCE = "rules"
REPEAT_S = 300.0
_RETRY_S = 10.0
_log = get_logger("cmg.alerting.evaluation")


class Port(Protocol):
    """Where alerts go."""

    @property
    def leads(self) -> bool:
        """Whether this process is to tell them."""
        ...

    async def tell(self, reports: Sequence[Report]) -> None:
        """Take in reports. Raises `DatabaseAway`: they are told again."""
        ...

    async def reconcile(self, firing: Collection[Labels]) -> None:
        """End what an earlier process told and what is not among these. Raises `DatabaseAway`."""
        ...


@dataclass
class Evaluated:
    """A group and its last evaluation; `at_ms` 0: there was none yet."""

    evaluation: Evaluation
    at_ms: int = 0
    took_s: float = 0.0
    outcomes: tuple[Outcome, ...] = ()


class Evaluator:
    """One that does not lead evaluates all the same: when it takes over, it knows how long everything was pending."""

    def __init__(self, evaluations: Sequence[Evaluation], port: Port, clock: Clock, instruments: Instruments) -> None:
        self.groups = [Evaluated(one) for one in evaluations]
        self._port, self._clock, self._instruments = port, clock, instruments
        self._reconciled = False
        self._told: dict[Labels, float] = {}  # alert that fires → when that was last reported
        self._late = instruments.series("cmg_rule_groups_late_seconds")

    async def run(self) -> None:
        """Evaluate for ever, each group in a task of its own."""
        async with asyncio.TaskGroup() as tasks:
            for one in self.groups:
                tasks.create_task(self._run(one))

    async def _run(self, group: Evaluated) -> None:
        await self._restore(group)
        while True:
            now_ms = self._now_ms()
            due_ms = group.evaluation.group.due_after(now_ms)
            await self._clock.sleep((due_ms - now_ms) / 1000)
            await self.step(group, due_ms)

    async def _restore(self, group: Evaluated) -> None:
        """Go on where a restart broke off; while the past cannot be read, it is tried again."""
        while True:
            try:
                await group.evaluation.restore(self._now_ms())
            except QueryError as error:
                _log.warning("alerts before the restart cannot be read yet", error=str(error))
                await self._clock.sleep(_RETRY_S)
            else:
                return

    async def step(self, group: Evaluated, due_ms: int) -> None:
        """Evaluate a group at its moment, and report what is news."""
        started = self._clock.monotonic()
        group.outcomes = await group.evaluation.step(due_ms)
        group.took_s, group.at_ms = self._clock.monotonic() - started, due_ms
        for outcome in group.outcomes:
            word = "failed" if outcome.error else "good"
            self._instruments.series("cmg_rule_evaluations_total", word).inc()
        self._late.set(self.lateness())
        if self._port.leads:
            await self._report(group)

    def lateness(self) -> float:
        """By how many seconds the group that is latest missed the moment at which it was to be evaluated."""
        now_ms = self._now_ms()
        return max((self._late_ms(one, now_ms) for one in self.groups if one.at_ms), default=0) / 1000

    @staticmethod
    def _late_ms(group: Evaluated, now_ms: int) -> int:
        return max(0, now_ms - group.evaluation.group.due_after(group.at_ms))

    @property
    def fresh(self) -> bool:
        """Whether every group was evaluated at its last moment, or there is none."""
        return all(one.at_ms for one in self.groups) and self.lateness() < 60

    async def _report(self, group: Evaluated) -> None:
        now = self._clock.time()
        alerts = [alert for outcome in group.outcomes for alert in outcome.alerts]
        news = [one for one in alerts if self._is_news(one, now)]
        try:
            if news:
                await self._port.tell([_report(one) for one in news])
            if not self._reconciled and all(one.at_ms for one in self.groups):
                await self._port.reconcile(self.firing())
                self._reconciled = True
        except DatabaseAway as error:
            _log.warning("alerts cannot be reported now; they are told again", error=str(error))
            return
        for one in news:
            if one.state == "resolved":
                self._told.pop(one.labels, None)
            else:
                self._told[one.labels] = now

    def _is_news(self, alert: Alert, now: float) -> bool:
        told = self._told.get(alert.labels)
        if alert.state == "firing":
            return told is None or now - told >= REPEAT_S
        return alert.state == "resolved" and told is not None

    def firing(self) -> set[Labels]:
        """Everything that fires now."""
        outcomes = [outcome for group in self.groups for outcome in group.outcomes]
        return {alert.labels for outcome in outcomes for alert in outcome.alerts if alert.state == "firing"}

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)


def _report(alert: Alert) -> Report:
    firing = alert.state == "firing"
    begun = alert.active_at_ms if alert.fired_at_ms is None else alert.fired_at_ms
    return Report(
        labels=dict(alert.labels),
        annotations=dict(alert.annotations),
        firing=firing,
        starts_at=begun / 1000,
        ends_at=None if firing or alert.resolved_at_ms is None else alert.resolved_at_ms / 1000,
        source=SOURCE,
    )
