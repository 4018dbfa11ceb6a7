"""Rules evaluated live: what fires is told once, ends, goes on over a restart, and is shown as Prometheus shows it."""

import asyncio
import json
from typing import Any

import pytest

from cmg.alerting.evaluation.evaluator import Evaluator
from cmg.alerting.evaluation.news import REPEAT_S
from cmg.alerting.evaluation.prometheus_api import WithRules
from cmg.alerting.evaluation.reporting import Reporting
from cmg.alerting.evaluation.rule_files import catalogue
from cmg.storage.errors import DatabaseAway
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.rules.alerts import Surroundings
from cmg.timeseries.rules.evaluation import Evaluation
from cmg.timeseries.rules.files import RuleFile
from cmg.timeseries.rules.trials.samples import TrialSamples

RULES = """
groups:
  - name: service
    interval: 30s
    rules:
      - record: job:errors:rate
        expr: sum by (job) (errors)
      - alert: ErrorsAreHigh
        expr: job:errors:rate > 5
        for: 1m
        labels: {severity: critical, category: errors}
        annotations: {summary: "{{ $labels.job }} has {{ $value }} errors", runbook: errors.md}
"""


class Port:
    """Keeps what it is told; `away` makes it fail."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.reconciled: list[Any] = []
        self.leads, self.away = True, False

    async def tell(self, reports):
        if self.away:
            raise DatabaseAway("the database is away")
        self.told += reports

    async def reconcile(self, firing):
        self.reconciled.append(set(firing))


class World:
    """Samples of one series, and an evaluator on them at the clock's time."""

    def __init__(self, clock, instruments, samples: TrialSamples | None = None, rules: str = RULES) -> None:
        self.clock, self.instruments, self.rules = clock, instruments, rules
        self.samples = samples or TrialSamples()
        self.port = Port()
        self.evaluator = self.made(self.port)

    def made(self, port: Any) -> Evaluator:
        groups = RuleFile.parse(self.rules, "rules.yml").groups
        engine = Engine(self.samples, self.clock)
        evaluations = [Evaluation(one, engine.instant, self.samples.keep, Surroundings({})) for one in groups]
        return Evaluator(evaluations, port, self.clock, self.instruments)

    async def minutes(self, minutes: float, errors: float) -> None:
        """Half a minute after the other, with so many errors."""
        for _ in range(int(minutes * 2)):
            self.clock.advance(30)
            now = int(self.clock.time() * 1000)
            self.samples.keep(now, {labels_of([("__name__", "errors"), ("job", "api")]): errors})
            await self.evaluator.step(self.evaluator.groups[0], now)


@pytest.fixture
def world(clock, instruments) -> World:
    return World(clock, instruments)


async def test_an_alert_is_told_after_its_time_again_now_and_then_and_when_it_ends(world):
    await world.minutes(1, errors=9)
    assert world.port.told == []
    await world.minutes(1, errors=9)
    (told,) = world.port.told
    assert told.labels == {"alertname": "ErrorsAreHigh", "job": "api", "severity": "critical", "category": "errors"}
    assert (told.firing, told.annotations["summary"], told.source) == (True, "api has 9 errors", "rules")
    await world.minutes(REPEAT_S / 60, errors=9)
    assert [one.firing for one in world.port.told] == [True, True]
    await world.minutes(1, errors=0)
    assert [one.firing for one in world.port.told] == [True, True, False]
    await world.minutes(10, errors=0)
    assert len(world.port.told) == 3


async def test_what_could_not_be_told_is_told_as_soon_as_it_can(world):
    world.port.away = True
    await world.minutes(3, errors=9)
    assert world.port.told == []
    world.port.away = False
    await world.minutes(0.5, errors=9)
    assert len(world.port.told) == 1


async def test_a_fault_in_one_group_ends_nothing_and_is_counted(world, monkeypatch):
    step, faults = world.evaluator.groups[0].evaluation.step, iter([KeyError("two ends"), ValueError("odd")])

    async def faulty(due_ms: int):
        for fault in faults:
            raise fault
        return await step(due_ms)

    monkeypatch.setattr(world.evaluator.groups[0].evaluation, "step", faulty)
    running = asyncio.create_task(world.evaluator.run())
    for _ in range(8):
        now = int(world.clock.time() * 1000)
        world.samples.keep(now, {labels_of([("__name__", "errors"), ("job", "api")]): 9})
        await world.clock.run(30)
        await asyncio.sleep(0.05)
    assert not running.done()
    running.cancel()
    counted = world.instruments.registry.get_sample_value
    assert counted("cmg_rule_evaluations_total", {"outcome": "failed"}) == 2
    assert [one.firing for one in world.port.told] == [True]


async def test_one_that_stands_by_tells_everything_when_it_takes_over(world):
    world.port.leads = False
    await world.minutes(3, errors=9)
    assert world.port.told == []
    world.port.leads = True
    await world.minutes(0.5, errors=9)
    assert [one.firing for one in world.port.told] == [True]


async def test_after_a_restart_a_pending_alert_goes_on_waiting(clock, instruments):
    rules = RULES.replace("for: 1m", "for: 30m")
    before = World(clock, instruments, rules=rules)
    await before.minutes(28, errors=9)
    after = World(clock, instruments, before.samples, rules)
    await after.evaluator.groups[0].evaluation.restore(int(clock.time() * 1000))
    await after.minutes(9.5, errors=9)
    assert after.port.told == [], "ten minutes of grace, as in Prometheus"
    await after.minutes(2, errors=9)
    assert [one.firing for one in after.port.told] == [True]
    assert after.port.reconciled


@pytest.mark.usefixtures("configured")
async def test_an_alert_that_ended_while_nobody_ran_is_ended_after_the_start(world, alerts, desk, clock, instruments):
    port = Reporting(alerts, "default", lambda: True)
    world.evaluator = world.made(port)
    await world.minutes(3, errors=9)
    assert [one.firing for one in desk.worlds["default"].alerts.values()] == [True]
    after = World(clock, instruments)
    after.evaluator = after.made(port)
    await after.minutes(0.5, errors=0)
    assert [one.firing for one in desk.worlds["default"].alerts.values()] == [False]
    assert desk.worlds["default"].groups == {}


async def test_rules_and_alerts_are_shown_in_prometheus_shapes(world):
    shown = WithRules(None, world.evaluator)
    await world.minutes(2.5, errors=9)
    status, body = await shown.answer("rules", {})
    (group,) = json.loads(body)["data"]["groups"]
    assert (status, group["name"], group["interval"], len(group["rules"])) == (200, "service", 30, 2)
    alerting = group["rules"][1]
    assert (alerting["state"], alerting["duration"], alerting["health"]) == ("firing", 60, "ok")
    assert alerting["annotations"]["summary"] == "{{ $labels.job }} has {{ $value }} errors"
    (alert,) = json.loads((await shown.answer("alerts", {}))[1])["data"]["alerts"]
    assert (alert["state"], alert["value"], alert["labels"]["job"]) == ("firing", "9", "api")
    _, body = await shown.answer("rules", {"type": ["record"]})
    assert [one["type"] for one in json.loads(body)["data"]["groups"][0]["rules"]] == ["recording"]
    assert (await shown.answer("rules", {"type": ["odd"]}))[0] == 400


async def test_freshness_is_lost_when_a_group_is_not_evaluated(world, clock):
    assert not world.evaluator.fresh
    await world.minutes(1, errors=0)
    assert world.evaluator.fresh
    clock.advance(300)
    assert not world.evaluator.fresh
    assert world.evaluator.lateness() > 200


def test_the_files_of_the_service_are_rule_files():
    for file in catalogue():
        assert file.groups, file.name


SELDOM = """
  - name: seldom
    interval: 1h
    rules:
      - alert: Never
        expr: errors > 1e9
"""


async def test_an_end_is_told_though_other_groups_were_not_evaluated_yet(clock, instruments):
    """After a start a group's first moment may be an hour away; nobody waits for it with what is over."""
    world = World(clock, instruments, rules=RULES + SELDOM)
    await world.minutes(2, errors=9)
    await world.minutes(1, errors=0)
    assert [one.firing for one in world.port.told] == [True, False]
    assert world.port.reconciled == [], "what an earlier process told is ended once every rule was asked"


async def test_two_groups_that_tell_the_same_end_at_once_do_not_stumble(world):
    """With a slow database both are told before either is done."""
    await world.minutes(2, errors=9)
    news, real = world.evaluator._news, world.port.tell

    async def slowly(reports):
        await asyncio.sleep(0.05)
        await real(reports)

    world.port.tell = slowly
    await asyncio.gather(news.tell([], set()), news.tell([], set()))
    assert [one.firing for one in world.port.told] == [True, False, False]
