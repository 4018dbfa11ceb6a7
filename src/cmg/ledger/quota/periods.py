"""Where budget periods begin and end: days, weeks (from Monday) and months of a time zone, right over clock changes."""

import math
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cmg.identity.models import Period

PERIODS: tuple[Period, ...] = ("day", "week", "month", "lifetime")
_MAX_ZONES = 1000  # there are about 600 names


class Starts(NamedTuple):
    """Starts of the day, week and month in which a moment lies, and the day's end; epoch seconds."""

    day: float
    week: float
    month: float
    day_end: float


_current: dict[str, Starts] = {}


def starts(timezone: str, at: float) -> Starts:
    """The periods around `at` (epoch seconds). About 0.2 µs while the day lasts. Raises `ValueError` on a bad zone."""
    known = _current.get(timezone)
    if known is not None and known[0] <= at < known[3]:
        return known
    day = _local_date(timezone, at)
    found = Starts(
        _midnight(timezone, day),
        _midnight(timezone, day - timedelta(days=day.weekday())),
        _midnight(timezone, day.replace(day=1)),
        _midnight(timezone, day + timedelta(days=1)),
    )
    if len(_current) >= _MAX_ZONES:
        _current.clear()
    _current[timezone] = found
    return found


def period_start(period: Period, timezone: str, at: float) -> float:
    """Epoch seconds of the first moment of the period in which `at` lies; 0 for `lifetime`."""
    if period == "lifetime":
        return 0.0
    return starts(timezone, at)[PERIODS.index(period)]


def period_end(period: Period, timezone: str, at: float) -> float:
    """Epoch seconds of the next period's first moment; infinity for `lifetime`."""
    if period == "lifetime":
        return math.inf
    if period == "day":
        return starts(timezone, at).day_end
    day = _local_date(timezone, at)
    if period == "week":
        return _midnight(timezone, day + timedelta(days=7 - day.weekday()))
    return _midnight(timezone, (day.replace(day=28) + timedelta(days=4)).replace(day=1))


@lru_cache(_MAX_ZONES)
def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{timezone!r} is not an IANA time zone") from error


def _local_date(timezone: str, at: float) -> date:
    return datetime.fromtimestamp(at, UTC).astimezone(_zone(timezone)).date()


def _midnight(timezone: str, day: date) -> float:
    """The first moment of a date.

    Where the clock skips midnight, fold 0 reads 00:00 with the offset before the change: the very moment of the
    change. Where midnight comes twice, fold 0 is the first.
    """
    return datetime(day.year, day.month, day.day, tzinfo=_zone(timezone)).timestamp()
