"""Breakers in simulated time: when they open, whom they let through, and when they close."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.gateway.breaker import BreakerRules, Breakers
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

RULES = BreakerRules(consecutive=3, calls_min=10, window_s=10, cooldown_s=5, cooldown_s_max=20, jitter=0, probe_s=30)
AT = ("up", "model")


@pytest.fixture
def hand() -> ManualClock:
    return ManualClock()


@pytest.fixture
def meters() -> Instruments:
    return Instruments()


@pytest.fixture
def breakers(hand: ManualClock, meters: Instruments) -> Breakers:
    return Breakers(hand, meters, RULES)


def fail(breakers: Breakers, times: int = 3) -> None:
    for _ in range(times):
        breakers.failure(*AT)


def gauge(meters: Instruments, name: str = "cmg_upstream_breaker_open") -> float | None:
    return meters.registry.get_sample_value(name, {"upstream": "up"})


def test_opens_after_failures_in_a_row_only(breakers: Breakers) -> None:
    for _ in range(3):
        fail(breakers, 2)
        breakers.success(*AT)
    assert breakers.allow(*AT)
    fail(breakers)
    assert not breakers.allow(*AT)


def test_opens_when_half_of_enough_calls_failed(breakers: Breakers) -> None:
    for _ in range(4):
        breakers.failure(*AT)
        breakers.success(*AT)
    assert breakers.allow(*AT)
    breakers.success(*AT)
    breakers.failure(*AT)
    assert not breakers.allow(*AT)


def test_failures_long_ago_do_not_count(breakers: Breakers, hand: ManualClock) -> None:
    for _ in range(20):
        breakers.failure(*AT)
        breakers.success(*AT)
        hand.advance(11)
    assert breakers.allow(*AT)


def test_lets_exactly_one_probe_through_after_the_cool_down(breakers: Breakers, hand: ManualClock) -> None:
    fail(breakers)
    hand.advance(4.9)
    assert not breakers.allow(*AT)
    assert breakers.wait_s(*AT) == pytest.approx(0.1)
    hand.advance(0.2)
    assert [breakers.allow(*AT) for _ in range(5)] == [True, False, False, False, False]


def test_a_good_probe_closes_and_forgets(breakers: Breakers, hand: ManualClock) -> None:
    fail(breakers)
    hand.advance(5)
    assert breakers.allow(*AT)
    breakers.success(*AT)
    assert all(breakers.allow(*AT) for _ in range(5))
    fail(breakers, 2)
    assert breakers.allow(*AT)


def test_failed_probes_double_the_cool_down_up_to_the_bound(breakers: Breakers, hand: ManualClock) -> None:
    fail(breakers)
    waits = []
    for _ in range(5):
        waits.append(breakers.wait_s(*AT))
        hand.advance(waits[-1])
        assert breakers.allow(*AT)
        breakers.failure(*AT)
    assert waits == pytest.approx([5, 10, 20, 20, 20])


def test_a_probe_that_was_abandoned_makes_room_for_another(breakers: Breakers, hand: ManualClock) -> None:
    fail(breakers)
    hand.advance(5)
    assert breakers.allow(*AT)
    breakers.abandoned(*AT, hand.monotonic() - 6)  # one that was let through before it opened
    assert not breakers.allow(*AT)
    breakers.abandoned(*AT, hand.monotonic())
    assert breakers.allow(*AT)
    assert not breakers.allow(*AT)
    hand.advance(30)  # this one never reports
    assert breakers.allow(*AT)


def test_late_results_of_earlier_calls_change_nothing_while_open(breakers: Breakers, hand: ManualClock) -> None:
    fail(breakers)
    fail(breakers, 10)
    breakers.success(*AT)
    assert not breakers.allow(*AT)
    hand.advance(5)
    assert breakers.allow(*AT)


def test_neighbours_are_not_touched(breakers: Breakers) -> None:
    fail(breakers)
    assert breakers.allow("up", "other")
    assert breakers.allow("other", "model")


def test_jitter_stays_within_its_share(hand: ManualClock, meters: Instruments) -> None:
    rules = BreakerRules(consecutive=1, cooldown_s=10, jitter=0.2)
    breakers = Breakers(hand, meters, rules, random.Random(1))
    waits = []
    for number in range(50):
        breakers.failure("up", str(number))
        waits.append(breakers.wait_s("up", str(number)))
    assert 10 <= min(waits) < 10.5
    assert 11.5 < max(waits) <= 12


def test_the_table_is_bounded_and_the_gauge_follows(hand: ManualClock, meters: Instruments) -> None:
    breakers = Breakers(hand, meters, BreakerRules(consecutive=1, table_max=10))
    for number in range(50):
        breakers.failure("up", f"model-{number}")
    assert len(breakers._table) == 10
    assert gauge(meters) == 10
    assert breakers.allow("up", "model-0")
    assert not breakers.allow("up", "model-49")


def test_a_model_that_nobody_asks_for_any_more_is_forgotten(
    breakers: Breakers, hand: ManualClock, meters: Instruments
) -> None:
    fail(breakers)
    hand.advance(800)
    breakers.failure("up", "recent")
    hand.advance(200)
    breakers.sweep()
    assert gauge(meters) == 0
    assert list(breakers._table) == [("up", "recent")]


def test_metrics_count_openings_and_what_is_open(breakers: Breakers, hand: ManualClock, meters: Instruments) -> None:
    fail(breakers)
    hand.advance(5)
    breakers.failure(*AT)
    assert (gauge(meters), gauge(meters, "cmg_upstream_breaker_opened_total")) == (1, 2)
    hand.advance(10)
    breakers.success(*AT)
    assert gauge(meters) == 0


@given(st.lists(st.sampled_from(["success", "failure", "abandoned", "allow", "wait", "long"]), max_size=60))
def test_whatever_happens_one_good_probe_closes_it(events: list[str]) -> None:
    clock, meters = ManualClock(), Instruments()
    breakers = Breakers(clock, meters, RULES)
    for event in events:
        if event in {"wait", "long"}:
            clock.advance(1 if event == "wait" else 40)
        else:
            getattr(breakers, event)(*AT, *([clock.monotonic()] if event == "abandoned" else []))
        assert (gauge(meters) or 0) in {0, 1}
    clock.advance(60)
    assert breakers.allow(*AT)
    breakers.success(*AT)
    assert breakers.allow(*AT)
    assert not gauge(meters)


async def test_an_abandoned_model_leaves_the_gauge_by_itself(
    breakers: Breakers, hand: ManualClock, meters: Instruments
) -> None:
    fail(breakers)
    assert gauge(meters) == 1
    running = asyncio.create_task(breakers.run())
    await hand.run(RULES.forget_s + 120, step_s=30)
    running.cancel()
    assert gauge(meters) == 0
