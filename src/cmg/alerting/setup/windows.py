"""When a maintenance window is open, in its own time zone, over changes of daylight saving."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from cmg.alerting.setup.documents import WEEKDAYS, MaintenanceWindow, Recurrence


def open_until(window: MaintenanceWindow, now: float) -> float | None:
    """When the window that is open at `now` closes; None when none is.

    A recurring one lasts its minutes of real time from the moment its wall-clock start comes. A start that daylight
    saving skips comes an hour later; one that comes twice counts the first time.
    """
    if window.starts_at is not None and window.ends_at is not None:
        ends = window.ends_at.timestamp()
        return ends if window.starts_at.timestamp() <= now < ends else None
    return None if window.recurring is None else _recurring(window.recurring, now)


def _recurring(told: Recurrence, now: float) -> float | None:
    zone = ZoneInfo(told.timezone)
    today = datetime.fromtimestamp(now, zone).date()
    length = told.minutes * 60
    found = [
        starts + length
        for back in range(told.minutes // 1440 + 2)
        if _on(told, day := today - timedelta(days=back))
        and (starts := moment(day, told.start, zone)) <= now < starts + length
    ]
    return max(found, default=None)


def _on(told: Recurrence, day: date) -> bool:
    if told.first_day is not None and day < date.fromisoformat(told.first_day):
        return False
    if told.last_day is not None and day > date.fromisoformat(told.last_day):
        return False
    if told.weekdays and WEEKDAYS[day.weekday()] not in told.weekdays:
        return False
    if told.months and day.month not in told.months:
        return False
    from_end = day.day - _days_in(day) - 1  # -1: the month's last day
    return not told.days_of_month or day.day in told.days_of_month or from_end in told.days_of_month


def _days_in(day: date) -> int:
    return ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day


def moment(day: date, clock: str, zone: ZoneInfo) -> float:
    """The moment of a wall-clock time; one that is skipped lies as far behind the gap as it lay in it."""
    hours, minutes = map(int, clock.split(":"))
    return datetime.combine(day, time(hours, minutes), zone).astimezone(UTC).timestamp()
