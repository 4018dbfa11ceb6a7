"""What a usage report may be asked for, read from text; what is wrong names its field."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

from cmg.kit.errors import InvalidRequest
from cmg.ledger.quota.periods import period_end, period_start

GROUPS = ("key", "workspace", "user", "model", "tag", "day")  # in the order of the SQL's columns
DAYS_MAX = 400
_DEFAULT_DAYS = 30
_YEARS = (2000, 2200)
_DATE_LETTERS = 10

Moment = date | datetime  # a date is a whole day of a workspace's calendar, a datetime one moment


class Filters(msgspec.Struct, frozen=True):
    """Which calls count; None: all."""

    key: str | None = None
    user: str | None = None
    model: str | None = None
    tag: str | None = None


class Asked(msgspec.Struct, frozen=True):
    """A report as it is asked for. `until` as a date includes that day, as a moment it is the first one left out."""

    since: Moment
    until: Moment
    groups: tuple[str, ...]
    filters: Filters = Filters()
    workspace: str | None = None

    def bounds(self, timezone: str) -> tuple[float, float]:
        """[since, until) in epoch seconds, for workspaces of this time zone."""
        until = self.until
        end = until.timestamp() if isinstance(until, datetime) else day_start(until + timedelta(days=1), timezone)
        since = self.since
        return since.timestamp() if isinstance(since, datetime) else day_start(since, timezone), end


def read(values: Mapping[str, str | None], today: date) -> Asked:
    """The parameters `from`, `to`, `group_by`, `workspace`, `key`, `user`, `model`, `tag`.

    Raises `InvalidRequest` naming the first that is wrong. The default is the last 30 days, by day.
    """
    for name, value in values.items():
        if value is not None and "\x00" in value:
            raise InvalidRequest(f"`{name}` must not hold a NUL character", param=name)
    until = moment_in("to", values.get("to")) or today
    since = moment_in("from", values.get("from")) or _whole_day(until) - timedelta(days=_DEFAULT_DAYS - 1)
    filters = Filters(values.get("key"), values.get("user"), values.get("model"), values.get("tag"))
    asked = Asked(since, until, _groups(values.get("group_by")), filters, values.get("workspace"))
    start, end = asked.bounds("UTC")
    if start >= end:
        raise InvalidRequest("`from` must be before `to`", param="from")
    if end - start > (DAYS_MAX + 1) * 86400:
        raise InvalidRequest(f"a report covers at most {DAYS_MAX} days; ask for less at once", param="from")
    return asked


def day_start(day: date, timezone: str) -> float:
    """The first moment of a date in a time zone; its noon exists in every calendar but one day of Samoa's."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(timezone))
    return period_start("day", timezone, noon.timestamp())


def days_of(since: float, until: float, timezone: str) -> list[float]:
    """The first moments of all days that [since, until) touches."""
    found = [period_start("day", timezone, since)]
    while (following := period_end("day", timezone, found[-1])) < until:
        found.append(following)
    return found


def _groups(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ("day",)
    groups = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [group for group in groups if group not in GROUPS]
    if unknown:
        raise InvalidRequest(
            f"`group_by` takes {', '.join(GROUPS)}, several separated by commas; not {unknown[0][:40]!r}",
            param="group_by",
        )
    return groups


def moment_in(name: str, text: str | None) -> Moment | None:
    """The date or moment of a parameter. Raises `InvalidRequest` naming it."""
    if text is None:
        return None
    wrong = InvalidRequest(
        f"`{name}` is a date like 2026-11-23 or a moment with its offset like 2026-11-23T20:27:28Z "
        f"between the years {_YEARS[0]} and {_YEARS[1]}",
        param=name,
    )
    try:
        # In a query string an unencoded + arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise wrong from error
    if not _YEARS[0] <= moment.year <= _YEARS[1]:
        raise wrong
    if len(text) == _DATE_LETTERS:
        return moment.date()
    if moment.tzinfo is None:
        raise wrong
    return moment


def _whole_day(moment: Moment) -> date:
    return moment.date() if isinstance(moment, datetime) else moment
