"""A wall clock that is put far ahead deletes nothing that is not old."""

from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from cmg.jobs.leap import BELIEVED_S, MOST_S, Leap
from cmg.kit.clock import SystemClock, since_boot
from support.manual_clock import ManualClock


@pytest.fixture
def leap(clock: ManualClock) -> Leap:
    """On a clock whose `monotonic` nobody sets."""
    return Leap(clock, clock.monotonic)


def _put(clock: ManualClock, seconds: float) -> None:
    clock.set(clock.now() + timedelta(seconds=seconds))


async def test_a_guarded_job_does_nothing_while_the_clock_is_ahead(clock: ManualClock, leap: Leap) -> None:
    done = []

    async def purge(payload: object) -> None:
        done.append(payload)

    guarded = leap.guarded(purge)
    await guarded(1)
    _put(clock, 400 * 86400)
    await guarded(2)
    _put(clock, -400 * 86400)
    await guarded(3)
    assert done == [1, 3]


def test_time_that_passes_is_no_leap(clock: ManualClock, leap: Leap) -> None:
    for _ in range(400):
        clock.advance(86400)
        assert not leap.holds()


def test_a_clock_that_stays_ahead_is_believed_after_a_day(clock: ManualClock, leap: Leap) -> None:
    _put(clock, MOST_S + 1)
    assert leap.holds()
    clock.advance(BELIEVED_S - 1)
    assert leap.holds()
    clock.advance(1)
    assert not leap.holds()
    clock.advance(1)
    assert not leap.holds()


def test_a_second_leap_is_waited_for_as_long(clock: ManualClock, leap: Leap) -> None:
    _put(clock, MOST_S + 1)
    assert leap.holds()
    _put(clock, -MOST_S - 1)
    assert not leap.holds()
    clock.advance(BELIEVED_S)
    _put(clock, MOST_S + 1)
    assert leap.holds()


def test_small_corrections_are_followed_and_one_that_was_put_back_may_be_put_right(
    clock: ManualClock, leap: Leap
) -> None:
    for _ in range(10):
        _put(clock, MOST_S / 2)
        assert not leap.holds()
    for seconds in (-3 * 86400, 3 * 86400):
        _put(clock, seconds)
        assert not leap.holds()


def test_it_is_told_once_with_how_much_and_what_to_do(clock: ManualClock, leap: Leap) -> None:
    _put(clock, 86400)
    with capture_logs() as lines:
        assert [leap.holds() for _ in range(3)] == [True] * 3
    ((told, advice),) = [(line["ahead_s"], line["advice"]) for line in lines]
    assert told == 86400
    assert "restart" in advice


def test_the_clock_that_nobody_sets_goes_on() -> None:
    assert since_boot() >= SystemClock().monotonic() - 1
    assert not Leap(SystemClock()).holds()
