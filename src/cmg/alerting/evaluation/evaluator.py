"""Every group of rules at its moments; what begins or ceases to fire is reported by the process that leads."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from cmg.alerting.evaluation.news import News, Port
from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.errors import QueryError
from cmg.timeseries.labels import Labels
from cmg.timeseries.rules.evaluation import Evaluation, Outcome

_RETRY_S = 10.0
_log = get_logger("cmg.alerting.evaluation")


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
        self._clock, self._instruments = clock, instruments
        self._news = News(port, clock)
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
            try:
                await self.step(group, due_ms)
            except Exception as error:  # noqa: BLE001  the other groups go on; this one is late, and that is a rule's to tell
                self._instruments.series("cmg_rule_evaluations_total", "failed").inc()
                name = group.evaluation.group.name
                _log.exception("a group of rules was not evaluated", group=name, error=type(error).__name__)

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
        alerts = [alert for outcome in group.outcomes for alert in outcome.alerts]
        await self._news.tell(alerts, self.firing(), whole=all(one.at_ms for one in self.groups))

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

    def firing(self) -> set[Labels]:
        """Everything that fires now."""
        outcomes = [outcome for group in self.groups for outcome in group.outcomes]
        return {alert.labels for outcome in outcomes for alert in outcome.alerts if alert.state == "firing"}

    def _now_ms(self) -> int:
        return int(self._clock.time() * 1000)
