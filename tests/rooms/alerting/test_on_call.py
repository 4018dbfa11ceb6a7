"""Who is on call: rotations, layers, overrides, and what daylight saving does to them."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from cmg.alerting.oncall.business import is_open, next_business_day
from cmg.alerting.oncall.roster import Shift, roster, tiers
from cmg.alerting.oncall.schedules import changes_of, gaps, on_call
from cmg.alerting.setup.documents import BusinessCalendar, MaintenanceWindow, Schedule
from cmg.alerting.setup.windows import open_until
from support.alerting_world import setup_of
from support.alerting_world import tiers as tiers_of_people

BERLIN = ZoneInfo("Europe/Berlin")


def local(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def schedule(*layers: dict, overrides: list[dict] | None = None, timezone: str = "Europe/Berlin") -> Schedule:
    body = {"name": "x", "timezone": timezone, "layers": list(layers), "overrides": overrides or []}
    return Schedule.model_validate(body)


WEEKLY = {"people": ["ada", "bob", "mia"], "kind": "weekly", "starts_on": "2026-01-05", "handover": "09:00"}
DAILY = {"people": ["ada", "bob"], "kind": "daily", "starts_on": "2026-03-27", "handover": "02:30"}


@pytest.mark.parametrize(
    ("when", "who"),
    [
        ("2026-01-05T08:59", None),
        ("2026-01-05T09:00", "ada"),
        ("2026-01-12T08:59", "ada"),
        ("2026-01-12T09:00", "bob"),
        ("2026-01-19T09:00", "mia"),
        ("2026-01-26T09:00", "ada"),
        # over the change to summer time (29 March) and back (25 October) the handover stays at nine
        ("2026-03-30T08:59", "mia"),
        ("2026-03-30T09:00", "ada"),
        ("2026-10-26T08:59", "mia"),
        ("2026-10-26T09:00", "ada"),
    ],
)
def test_a_weekly_rotation_hands_over_at_its_hour(when, who):
    assert on_call(schedule(WEEKLY), local(when)) == who


def test_a_handover_that_summer_time_skips_comes_an_hour_later():
    night = schedule(DAILY)
    skipped = datetime(2026, 3, 29, 1, 30, tzinfo=UTC).timestamp()  # 02:30 does not exist: it is 03:30 by then
    assert (on_call(night, skipped - 60), on_call(night, skipped)) == ("bob", "ada")


def test_a_handover_that_comes_twice_counts_the_first_time():
    night = schedule({**DAILY, "starts_on": "2026-10-24"})
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    assert (on_call(night, first - 60), on_call(night, first), on_call(night, first + 3600)) == ("ada", "bob", "bob")


def test_custom_shifts_count_real_hours():
    eight = schedule({"people": ["ada", "bob", "mia"], "kind": "custom", "shift_hours": 8, "starts_on": "2026-03-28"})
    start = local("2026-03-28T09:00")
    assert [on_call(eight, start + hours * 3600) for hours in (0, 7.99, 8, 16, 24)] == [
        "ada",
        "ada",
        "bob",
        "mia",
        "ada",
    ]


def test_later_layers_win_and_overrides_over_all():
    nights = {
        "people": ["noa"],
        "kind": "daily",
        "starts_on": "2026-01-01",
        "hours": "22:00-06:00",
        "weekdays": ["fri"],
    }
    stand_in = {"person": "zoe", "starts_at": "2026-01-09T23:00:00+01:00", "ends_at": "2026-01-10T00:00:00+01:00"}
    both = schedule(WEEKLY, nights, overrides=[stand_in])
    told = ["2026-01-09T21:59", "2026-01-09T22:00", "2026-01-09T23:30", "2026-01-10T05:59", "2026-01-10T06:00"]
    assert [on_call(both, local(one)) for one in told] == ["ada", "noa", "zoe", "noa", "ada"]


def test_gaps_are_found_to_the_minute():
    days = {"people": ["ada"], "kind": "daily", "starts_on": "2026-01-01", "hours": "08:00-18:00"}
    start = local("2026-01-05T00:00")
    found = gaps(schedule(days), start, start + 86_400)
    assert found == [(start, start + 8 * 3600), (start + 18 * 3600, start + 86_400)]


def test_changes_name_everybody_who_takes_over():
    start = local("2026-01-05T09:00")
    found = changes_of(schedule(WEEKLY), start, start + 15 * 86_400)
    assert found == [(start, "ada"), (start + 7 * 86_400, "bob"), (start + 14 * 86_400, "mia")]


def window(**recurring: object) -> MaintenanceWindow:
    return MaintenanceWindow.model_validate({"name": "w", "recurring": recurring})


def test_a_recurring_window_opens_at_its_local_time_in_summer_and_winter():
    weekly = window(timezone="Europe/Berlin", start="22:00", minutes=180, weekdays=["sat"])
    for day in ("2026-03-28", "2026-07-04", "2026-10-24"):
        opens = local(f"{day}T22:00")
        assert open_until(weekly, opens - 1) is None
        assert open_until(weekly, opens) == opens + 180 * 60
        assert open_until(weekly, opens + 180 * 60) is None
    assert open_until(weekly, local("2026-07-05T00:30")) is not None, "it goes over midnight"
    assert open_until(weekly, local("2026-07-05T22:30")) is None


def test_a_window_on_the_last_day_of_the_month():
    monthly = window(start="00:00", minutes=60, days_of_month=[-1])
    for day, there in (("2026-02-28", True), ("2026-02-27", False), ("2026-12-31", True), ("2028-02-29", True)):
        moment = datetime.fromisoformat(f"{day}T00:30+00:00").timestamp()
        assert (open_until(monthly, moment) is not None) == there, day


def test_business_time_knows_weekends_holidays_and_zones():
    calendar = BusinessCalendar(timezone="America/New_York", holidays=["2026-11-26"])
    zone = ZoneInfo("America/New_York")
    wednesday = local("2026-11-25T18:00", zone)
    assert next_business_day(calendar, wednesday) == local("2026-11-27T17:00", zone)
    assert not is_open(calendar, local("2026-11-26T12:00", zone))
    assert is_open(calendar, local("2026-11-27T09:00", zone))
    assert not is_open(calendar, local("2026-11-28T12:00", zone))


def test_over_a_year_there_is_no_moment_without_somebody_in_a_whole_rotation():
    start = local("2026-01-05T09:00")
    assert gaps(schedule(WEEKLY), start, start + timedelta(days=365).total_seconds()) == []


def test_hours_that_come_twice_belong_to_one_shift():
    """On 25 October 02:00 to 03:00 comes twice in Berlin: who has `02:30-08:00` has the second hour too."""
    early = {"people": ["ada"], "kind": "daily", "starts_on": "2026-10-01", "hours": "02:30-08:00"}
    start = local("2026-10-25T00:00")
    begins = datetime(2026, 10, 25, 0, 30, tzinfo=UTC).timestamp()
    found = changes_of(schedule(early), start, start + 12 * 3600)
    assert found == [(start, None), (begins, "ada"), (local("2026-10-25T08:00"), None)]
    minutes = range(int(begins), int(local("2026-10-25T08:00")), 60)
    assert {on_call(schedule(early), minute) for minute in minutes} == {"ada"}


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana"])
def test_changes_say_the_same_as_every_minute_of_a_year(zone):
    """Changes are found at edges alone; every twentieth minute of the year is asked besides."""
    layers = [
        {"people": ["ada", "bob"], "kind": "weekly", "starts_on": "2026-01-05", "handover": "02:15"},
        {"people": ["mia"], "kind": "daily", "starts_on": "2026-01-01", "hours": "22:40-06:20", "weekdays": ["sat"]},
        {"people": ["noa"], "kind": "daily", "starts_on": "2026-01-01", "hours": "00:20-01:40", "weekdays": ["sun"]},
    ]
    made = schedule(*layers, timezone=zone)
    start = local("2026-01-05T02:15", ZoneInfo(zone))
    end = start + 364 * 86_400
    edges = [*changes_of(made, start, end), (end, None)]
    for (begins, who), (ends, _) in pairwise(edges):
        asked = {on_call(made, at) for at in (begins, ends - 1, *range(int(begins), int(ends), 1200))}
        assert asked == {who}, datetime.fromtimestamp(begins, UTC)


def test_a_roster_tells_now_next_and_gaps():
    weekdays = {**WEEKLY, "weekdays": ["mon", "tue", "wed", "thu", "fri"]}
    asked = local("2026-01-07T12:00")
    found = roster("main", schedule(weekdays), asked)
    assert found.now == Shift("ada", asked, local("2026-01-10T00:00"))
    assert found.next == Shift("ada", local("2026-01-12T00:00"), local("2026-01-12T09:00"))
    weekends = [("2026-01-10", "2026-01-12"), ("2026-01-17", "2026-01-19")]
    assert found.gaps == tuple((local(f"{starts}T00:00"), local(f"{ends}T00:00")) for starts, ends in weekends)


def test_a_roster_in_a_gap_tells_who_comes():
    found = roster("main", schedule(WEEKLY), local("2026-01-01T00:00"))
    assert found.now is None
    assert found.next == Shift("ada", local("2026-01-05T09:00"), local("2026-01-12T09:00"))
    assert found.gaps == ((local("2026-01-01T00:00"), local("2026-01-05T09:00")),)


def test_a_roster_sees_shifts_of_two_months_and_those_without_end():
    long = {"people": ["ada", "bob"], "kind": "custom", "shift_hours": 1440, "starts_on": "2026-01-01"}
    asked = local("2026-01-02T09:00")
    handed = local("2026-01-01T09:00") + 60 * 86_400
    found = roster("main", schedule(long), asked)
    assert (found.now, found.next) == (Shift("ada", asked, handed), Shift("bob", handed, None))
    alone = roster("main", schedule({**WEEKLY, "people": ["ada"]}), asked + 10 * 86_400)
    assert (alone.now, alone.next, alone.gaps) == (Shift("ada", asked + 10 * 86_400, None), None, ())


def test_tiers_say_whom_each_step_would_tell():
    documents = tiers_of_people()
    documents["schedules"] = {
        "main": {"name": "Main", "timezone": "Europe/Berlin", "layers": [WEEKLY]},
        "later": {"name": "Later", "timezone": "Europe/Berlin", "layers": [{**WEEKLY, "starts_on": "2027-01-04"}]},
    }
    targets = [{"schedule": "main"}, {"responder": "ada"}, {"schedule": "later"}, {"channel": "slack"}]
    step = {"name": "first", "after_minutes": 0, "targets": targets}
    documents["escalation-policies"] = {"default": {"name": "All", "steps": [step]}}
    setup = setup_of(documents)
    (tier,) = tiers(setup, setup.policies["default"], local("2026-01-13T12:00"))
    assert tier.people == (("bob", "main"), ("ada", None))
    assert (tier.number, tier.channels, tier.absent) == (1, ("slack",), ("later",))
