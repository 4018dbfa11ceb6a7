"""Who is on call: rotations in local time, so that a handover stays at its hour when clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from cmg.alerting.setup.documents import WEEKDAYS, Rotation, Schedule
from cmg.alerting.setup.windows import moment

_DAY = timedelta(days=1)


def on_call(schedule: Schedule, at: float) -> str | None:
    """The responder's id; None when nobody is. Overrides win, then the last layer that has somebody."""
    for one in reversed(schedule.overrides):
        if one.starts_at.timestamp() <= at < one.ends_at.timestamp():
            return one.person
    zone = ZoneInfo(schedule.timezone)
    for layer in reversed(schedule.layers):
        person = on_duty(layer, zone, at)
        if person is not None:
            return person
    return None


def on_duty(layer: Rotation, zone: ZoneInfo, at: float) -> str | None:
    """Whose turn it is in one layer; None before it begins, and outside its hours and weekdays."""
    if not _within_hours(layer, zone, at):
        return None
    turn = _turn(layer, zone, at)
    return None if turn < 0 else layer.people[turn % len(layer.people)]


def _turn(layer: Rotation, zone: ZoneInfo, at: float) -> int:
    first = date.fromisoformat(layer.starts_on)
    if layer.shift_hours is not None:
        return int((at - moment(first, layer.handover, zone)) // (layer.shift_hours * 3600))
    today = datetime.fromtimestamp(at, zone).date()
    days = (today - first).days
    if at < moment(today, layer.handover, zone):
        days -= 1
    return days if layer.kind == "daily" else days // 7


def _within_hours(layer: Rotation, zone: ZoneInfo, at: float) -> bool:
    today = datetime.fromtimestamp(at, zone).date()
    if layer.hours is None:
        return _on_weekday(layer, today)
    opens, closes = layer.hours.split("-")
    over_midnight = _DAY if closes <= opens else timedelta()
    return any(
        _on_weekday(layer, day) and moment(day, opens, zone) <= at < moment(day + over_midnight, closes, zone)
        for day in (today, today - _DAY)  # the shift of the evening before may last until now
    )


def _on_weekday(layer: Rotation, day: date) -> bool:
    return not layer.weekdays or WEEKDAYS[day.weekday()] in layer.weekdays


def changes_of(schedule: Schedule, start: float, end: float) -> list[tuple[float, str | None]]:
    """(moment, who is on call from then on) over a span of time, to the minute; the first is the span's beginning."""
    found = [(start, on_call(schedule, start))]
    for at in _edges(schedule, start, end):
        person = on_call(schedule, at)
        if person != found[-1][1]:
            found.append((at, person))
    return found


def gaps(schedule: Schedule, start: float, end: float) -> list[tuple[float, float]]:
    """The spans in which nobody is on call."""
    found = changes_of(schedule, start, end)
    ends = [at for at, _ in found[1:]] + [end]
    return [(at, until) for (at, person), until in zip(found, ends, strict=True) if person is None]


def _edges(schedule: Schedule, start: float, end: float) -> list[float]:
    """Every moment at which somebody else may take over: handovers, hours, midnights, ends of overrides."""
    zone = ZoneInfo(schedule.timezone)
    clocks, edges = {"00:00"}, set[float]()
    for layer in schedule.layers:
        clocks |= {layer.handover, *(layer.hours.split("-") if layer.hours else ())}
        if layer.shift_hours is not None:
            length = layer.shift_hours * 3600
            first = moment(date.fromisoformat(layer.starts_on), layer.handover, zone)
            turn = max(0, int((start - first) // length))
            while first + turn * length < end:
                edges.add(first + turn * length)
                turn += 1
    day, last = datetime.fromtimestamp(start, UTC).date() - _DAY, datetime.fromtimestamp(end, UTC).date() + _DAY
    while day <= last:
        edges |= {moment(day, clock, zone) for clock in clocks}
        day += _DAY
    for one in schedule.overrides:
        edges |= {one.starts_at.timestamp(), one.ends_at.timestamp()}
    return sorted(at for at in edges if start < at < end)
