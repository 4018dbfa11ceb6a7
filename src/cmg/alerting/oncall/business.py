"""Business time: the next working day of a calendar, for what can wait that long."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cmg.alerting.setup.documents import WEEKDAYS, BusinessCalendar
from cmg.alerting.setup.windows import moment

_DAYS_MAX = 400


def next_business_day(calendar: BusinessCalendar, at: float) -> float:
    """The moment at which the next working day after that of `at` ends its hours: by then P4 is to be answered."""
    zone = ZoneInfo(calendar.timezone)
    day = datetime.fromtimestamp(at, zone).date()
    for _ in range(_DAYS_MAX):
        day += timedelta(days=1)
        if WEEKDAYS[day.weekday()] in calendar.weekdays and day.isoformat() not in calendar.holidays:
            return moment(day, calendar.closes, zone)
    return at + _DAYS_MAX * 86_400


def is_open(calendar: BusinessCalendar, at: float) -> bool:
    """Whether it is working time."""
    local = datetime.fromtimestamp(at, ZoneInfo(calendar.timezone))
    if WEEKDAYS[local.weekday()] not in calendar.weekdays or local.date().isoformat() in calendar.holidays:
        return False
    return calendar.opens <= f"{local:%H:%M}" < calendar.closes
