"""What a search asks for, read from text; what is wrong names its field."""

import base64
import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import msgspec

from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.pages import page_size
from cmg.logbook.models import SEVERITIES

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_TEXT_MAX = 500
_YEARS = (1971, 2199)


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A line's place in the order of a search: its time in µs, and its number. What follows comes before it in time."""

    at_us: int
    line_no: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines. `workspace_id` None: of every workspace and of the service itself. `after`: a page's last line."""

    since: datetime
    until: datetime
    workspace_id: str | None = None
    severity: int | None = None
    logger: str | None = None
    service: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    pattern: int | None = None
    words: str | None = None
    after: Place | None = None
    limit: int = 100

    def filters(self) -> tuple[Any, ...]:
        """What lines must fulfil beside their time, in the order of the SQL."""
        ids = (self.request_id, self.trace_id, self.service, self.pattern)
        return (self.workspace_id, self.severity, self.logger, *ids, self.words)


def read(values: Mapping[str, Any], workspace_id: str | None, now: datetime, reach: timedelta) -> Wanted:
    """The parameters `q since until level logger service request_id trace_id pattern cursor limit`.

    Raises `InvalidRequest` naming the first that is wrong. The default is everything within `reach`.
    """
    since = moment("since", values.get("since"), now) or now - reach
    until = moment("until", values.get("until"), now) or now + timedelta(days=1)
    if since >= until:
        raise InvalidRequest("`since` must be before `until`", param="since")
    return Wanted(
        since=since,
        until=until,
        workspace_id=workspace_id,
        severity=severity(values.get("level")),
        logger=text("logger", values.get("logger")),
        service=text("service", values.get("service")),
        request_id=text("request_id", values.get("request_id")),
        trace_id=text("trace_id", values.get("trace_id")),
        pattern=number("pattern", values.get("pattern")),
        words=text("q", values.get("q")),
        after=place(values.get("cursor")),
        limit=page_size(values.get("limit")),
    )


def moment(name: str, told: str | None, now: datetime) -> datetime | None:
    """A time with its offset, a date (in UTC), or so long ago (`15m`, `2h`, `7d`). Raises `InvalidRequest`."""
    if not told:
        return None
    if ago := _AGO.fullmatch(told):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    wrong = InvalidRequest(
        f"`{name}` is a time like 2026-11-23T20:27:28Z, a date, or so long ago: 15m, 2h, 7d", param=name
    )
    try:
        found = datetime.fromisoformat(told.replace(" ", "+") if "T" in told else told)
    except ValueError as error:
        raise wrong from error
    if not _YEARS[0] <= found.year <= _YEARS[1]:
        raise wrong
    if found.tzinfo is None:
        if len(told) != len("2026-11-23"):
            raise wrong
        return found.replace(tzinfo=UTC)
    return found


def severity(level: str | None) -> int | None:
    """The number of a level; lines of it and above are meant. Raises `InvalidRequest`."""
    if not level:
        return None
    if level.lower() not in SEVERITIES:
        raise InvalidRequest(f"`level` is one of {', '.join(SEVERITIES)}", param="level")
    return SEVERITIES[level.lower()]


def text(name: str, told: str | None) -> str | None:
    """A text of a bounded length without NUL. Raises `InvalidRequest`."""
    if not told:
        return None
    if "\0" in told or len(told) > _TEXT_MAX:
        raise InvalidRequest(f"`{name}` is a text of at most {_TEXT_MAX} letters without NUL", param=name)
    return told


def number(name: str, told: str | None) -> int | None:
    """A whole number of 64 bits. Raises `InvalidRequest`."""
    if not told:
        return None
    try:
        found = int(told)
    except ValueError as error:
        raise InvalidRequest(f"`{name}` is a number", param=name) from error
    if not -(2**63) <= found < 2**63:
        raise InvalidRequest(f"`{name}` is a number of 64 bits", param=name)
    return found


def place(cursor: str | None) -> Place | None:
    """The place that a cursor names. Raises `InvalidRequest`."""
    if not cursor:
        return None
    try:
        found = msgspec.msgpack.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), type=Place)
        datetime.fromtimestamp(found.at_us / 1e6, UTC)
    except (binascii.Error, msgspec.DecodeError, ValueError, OverflowError, OSError) as error:
        raise InvalidRequest(
            "`cursor` is not one that this list gave out; leave it away to begin", param="cursor"
        ) from error
    return found


def cursor_of(place: Place) -> str:
    """The cursor that names a place."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(place)).decode().rstrip("=")
