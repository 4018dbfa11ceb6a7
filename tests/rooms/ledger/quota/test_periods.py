"""Budget periods begin at the workspace's midnight, also when its clocks change."""

import math
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.ledger.quota.periods import PERIODS, period_end, period_start, starts

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Apia", "America/Havana", "Africa/Cairo"]


def _at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("zone", "date", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Asia/Kathmandu", "2026-03-29", 24),
        ("Africa/Cairo", "2026-04-24", 23),  # its clocks skip midnight itself
        ("America/Havana", "2026-11-01", 25),
    ],
)
def test_a_day_is_as_long_as_its_clock_says(zone: str, date: str, hours: int) -> None:
    noon = _at(f"{date}T12:00", zone)
    assert period_end("day", zone, noon) - period_start("day", zone, noon) == hours * 3600


def test_both_passes_of_a_repeated_hour_are_the_same_day() -> None:
    first = _at("2026-10-25T02:30", "Europe/Berlin")
    assert period_start("day", "Europe/Berlin", first) == period_start("day", "Europe/Berlin", first + 3600)
    assert period_start("day", "Europe/Berlin", first) == _at("2026-10-25T00:00", "Europe/Berlin")


def test_kathmandu_begins_its_day_at_a_quarter_to() -> None:
    start = period_start("day", "Asia/Kathmandu", _at("2026-11-24T09:00", "Asia/Kathmandu"))
    assert datetime.fromtimestamp(start, ZoneInfo("UTC")).isoformat() == "2026-11-23T18:15:00+00:00"


def test_a_day_that_never_was_has_no_length() -> None:
    # Samoa went from 29 to 31 December 2011.
    zone = "Pacific/Apia"
    before = _at("2011-12-29T23:59", zone)
    assert period_end("day", zone, before) == period_start("day", zone, before + 120) == _at("2011-12-31T00:00", zone)


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    tuesday = _at("2026-11-24T12:00", "Europe/Berlin")
    assert period_start("week", "Europe/Berlin", tuesday) == _at("2026-11-23T00:00", "Europe/Berlin")
    assert period_end("week", "Europe/Berlin", tuesday) == _at("2026-11-30T00:00", "Europe/Berlin")
    assert period_start("month", "Europe/Berlin", tuesday) == _at("2026-11-01T00:00", "Europe/Berlin")
    assert period_end("month", "Europe/Berlin", tuesday) == _at("2026-12-01T00:00", "Europe/Berlin")


def test_a_month_over_a_clock_change_ends_at_local_midnight() -> None:
    at = _at("2026-10-31T12:00", "America/New_York")
    assert period_end("month", "America/New_York", at) == _at("2026-11-01T00:00", "America/New_York")
    assert period_end("month", "America/New_York", at + 86400) == _at("2026-12-01T00:00", "America/New_York")


def test_a_lifetime_has_no_end() -> None:
    assert period_start("lifetime", "UTC", time.time()) == 0
    assert math.isinf(period_end("lifetime", "UTC", time.time()))


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(ValueError, match="Mars/Olympus"):
        starts("Mars/Olympus", 0.0)


@given(
    zone=st.sampled_from(ZONES),
    at=st.floats(min_value=1.2e9, max_value=2.0e9),
    later=st.floats(min_value=0, max_value=90 * 86400),
    period=st.sampled_from(PERIODS),
)
def test_periods_hold_their_moments_and_never_go_back(zone: str, at: float, later: float, period: str) -> None:
    assert period_start(period, zone, at) <= at < period_end(period, zone, at)
    assert period_start(period, zone, at) <= period_start(period, zone, at + later)
    if period != "lifetime":
        end = period_end(period, zone, at)
        assert period_start(period, zone, end) == end
        assert period_start(period, zone, end - 0.001) == period_start(period, zone, at)
