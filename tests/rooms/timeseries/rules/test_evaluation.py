"""Alerts and recorded series over time, moved by hand: pending, firing, kept firing, over, restarted."""

from collections.abc import Mapping, Sequence

import numpy as np

from cmg.kit.clock import SystemClock
from cmg.timeseries.labels import Labels, labels_of
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.rules.alerts import RESOLVED_KEPT_MS, Surroundings
from cmg.timeseries.rules.evaluation import Evaluation, Outcome
from cmg.timeseries.rules.files import RuleFile
from cmg.timeseries.rules.trials.samples import TrialSamples
from cmg.timeseries.samples import is_stale

MINUTE = 60_000


class World:
    """One group of rules over series that the test sets, a minute at a time."""

    def __init__(self, rules: str, *, limit: int = 0) -> None:
        text = f"groups: [{{name: g, limit: {limit}, rules: [{rules}]}}]"
        self.group = RuleFile.parse(text, "test.yml").groups[0]
        self.samples = TrialSamples()
        self.start()

    def start(self) -> None:
        """A new process on the samples that are there."""
        self.engine = Engine(self.samples, SystemClock())
        self.evaluation = Evaluation(self.group, self.engine.instant, self.samples.keep, Surroundings({}))

    async def at(self, minute: int, **values: float) -> tuple[Outcome, ...]:
        """Evaluate at a minute at which series named so have these values."""
        told = {labels_of([("__name__", name), ("job", "a")]): value for name, value in values.items()}
        self.samples.keep(minute * MINUTE, told)
        return await self.evaluation.step(minute * MINUTE)

    async def states(self, minutes: Sequence[int], **values: float) -> list[str]:
        """The state of the one alert at each minute, or `-`."""
        found = []
        for minute in minutes:
            (outcome,) = await self.at(minute, **values)
            assert outcome.error is None
            found.append("/".join(one.state for one in outcome.alerts) or "-")
        return found


def _ended(samples: Mapping[Labels, float]) -> list[str]:
    return [dict(one)["__name__"] for one, value in samples.items() if is_stale(np.array([value]))[0]]


async def test_an_alert_waits_fires_and_is_told_of_for_a_while_after_its_end():
    world = World("{alert: Up, expr: 'm > 1', for: 2m, labels: {severity: P2}}")
    assert await world.states([1, 2, 3], m=2) == ["pending", "pending", "firing"]
    (alert,) = world.evaluation.states[0].alerts
    assert alert.labels == (("alertname", "Up"), ("job", "a"), ("severity", "P2"))
    assert (alert.active_at_ms, alert.fired_at_ms) == (1 * MINUTE, 3 * MINUTE)
    assert await world.states([4], m=0) == ["resolved"]
    kept = 4 + RESOLVED_KEPT_MS // MINUTE
    assert await world.states([kept, kept + 1], m=0) == ["resolved", "-"]


async def test_an_alert_that_was_only_pending_leaves_no_trace():
    world = World("{alert: Up, expr: 'm > 1', for: 2m}")
    await world.states([1], m=2)
    (outcome,) = await world.at(2, m=0)
    assert outcome.alerts == ()
    assert sorted(_ended(outcome.samples)) == ["ALERTS", "ALERTS_FOR_STATE"]
    assert await world.states([3, 4, 5], m=2) == ["pending", "pending", "firing"]


async def test_an_alert_is_kept_firing_over_a_gap_and_not_longer():
    world = World("{alert: Up, expr: 'm > 1', keep_firing_for: 3m}")
    assert await world.states([1], m=2) == ["firing"]
    assert await world.states([2, 3], m=0) == ["firing", "firing"]
    assert await world.states([4], m=2) == ["firing"]
    assert await world.states([5, 6, 7, 8], m=0) == ["firing", "firing", "firing", "resolved"]


async def test_an_alert_that_comes_back_is_a_new_one():
    world = World("{alert: Up, expr: 'm > 1', for: 1m}")
    await world.states([1, 2], m=2)
    await world.states([3], m=0)
    assert await world.states([4, 5], m=2) == ["pending", "firing"]
    assert world.evaluation.states[0].alerts[0].active_at_ms == 4 * MINUTE


async def test_a_rule_sees_what_the_rules_before_it_gave():
    world = World("{record: double, expr: 2 * m}, {record: again, expr: double + 1, labels: {job: b}}")
    outcomes = await world.at(1, m=3)
    assert outcomes[1].samples == {labels_of([("__name__", "again"), ("job", "b")]): 7.0}


async def test_a_series_that_a_rule_gives_no_longer_ends():
    world = World("{record: large, expr: m > 1}")
    await world.at(1, m=2)
    (outcome,) = await world.at(2, m=0)
    assert _ended(outcome.samples) == ["large"]
    assert (await world.at(3, m=0))[0].samples == {}


async def test_a_scalar_is_a_series_without_labels():
    world = World("{record: one, expr: 1 + 0}")
    assert (await world.at(1))[0].samples == {(("__name__", "one"),): 1.0}


async def test_a_rule_that_fails_keeps_its_alerts_and_the_next_goes_on():
    world = World("{alert: Up, expr: m == on (job) n}, {record: still, expr: m}")
    await world.at(1, m=2, n=2)
    world.samples.keep(2 * MINUTE, {labels_of([("__name__", "n"), ("job", "a"), ("x", "1")]): 2.0})
    failed, recorded = await world.at(2, m=2, n=2)
    assert "many-to-many" in (failed.error or "")
    assert [one.state for one in failed.alerts] == ["firing"]
    assert list(recorded.samples.values()) == [2.0]


async def test_two_series_that_become_one_alert_are_an_error():
    world = World("{alert: Up, expr: '{job=\"a\"} > 0', labels: {job: x}}")
    (outcome,) = await world.at(1, m=1, n=1)
    assert "same labelset" in (outcome.error or "")


async def test_more_alerts_than_the_group_allows_are_an_error():
    world = World("{alert: Up, expr: '{__name__=~\"m|n\"} * 1', labels: {x: '{{ $value }}'}}", limit=1)
    (outcome,) = await world.at(1, m=1)
    assert outcome.error is None
    world.samples.keep(2 * MINUTE, {labels_of([("__name__", "n"), ("job", "b")]): 5.0})
    (outcome,) = await world.at(2, m=1)
    assert outcome.error == "exceeded limit of 1 with 2 alerts"
    assert outcome.alerts == ()


async def test_waiting_goes_on_after_a_restart():
    world = World("{alert: Slow, expr: 'm > 1', for: 30m}")
    await world.states([1, 5, 10], m=2)
    world.start()
    await world.evaluation.restore(13 * MINUTE)
    await world.states([13], m=2)
    (alert,) = world.evaluation.states[0].alerts
    assert alert.active_at_ms == 4 * MINUTE, "the three minutes away do not count"


async def test_an_alert_that_fired_before_a_restart_fires_at_once():
    world = World("{alert: Slow, expr: 'm > 1', for: 20m}")
    assert await world.states([1, 21], m=2) == ["pending", "firing"]
    world.start()
    await world.evaluation.restore(25 * MINUTE)
    assert await world.states([25], m=2) == ["firing"]


async def test_an_alert_that_was_about_to_fire_waits_ten_minutes_after_a_restart():
    world = World("{alert: Slow, expr: 'm > 1', for: 20m}")
    await world.states([1, 18], m=2)
    world.start()
    await world.evaluation.restore(20 * MINUTE)
    assert await world.states([20, 29, 30], m=2) == ["pending", "pending", "firing"]
