"""A log line as it is stored, and what a search may ask for."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import orjson

from cmg.telemetry.lines.encoding import ECS_VERSION

SEVERITIES = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
LEVELS = {number: name for name, number in SEVERITIES.items()}
_ALSO = {"trace": 10, "notice": 20, "warn": 30, "fatal": 50, "panic": 50, "exception": 40, "err": 40, "log": 20}
_NUL = b"\\u0000"
_MESSAGE_MAX = 16_000
_OLDEST, _NEWEST = timedelta(days=400), timedelta(days=1)
# The ECS names that have a column of their own.
_COLUMNS = frozenset(
    {"@timestamp", "message", "log.level", "log.logger", "service.name", "ecs.version", "cmg.workspace"}
    | {"cmg.request_id", "trace.id", "user.hash"}
)


class Line(msgspec.Struct, kw_only=True):
    """One line; `line_no` is 0 before it is stored. `severity` as in `SEVERITIES`."""

    at: datetime
    severity: int = 20
    logger: str = ""
    service: str = ""
    message: str = ""
    fields: dict[str, Any] = {}
    workspace_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    user_hash: str | None = None
    pattern_no: int | None = None
    line_no: int = 0


def severity_of(level: object) -> int:
    """The number of a level's name; what is unknown counts as `info`."""
    name = str(level).lower()
    return SEVERITIES.get(name) or _ALSO.get(name, 20)


def parsed(line: bytes, now: datetime) -> Line:
    """A line of a spool. One that is no JSON object is kept as the message that it is."""
    if _NUL in line:
        line = line.replace(_NUL, b"\\ufffd")  # PostgreSQL takes no NUL
    try:
        told = orjson.loads(line)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        text = line.decode("utf-8", "replace").replace("\0", "\ufffd")
        return Line(at=now, logger="unparsed", message=text[:_MESSAGE_MAX])
    found = from_record(told, now)
    if not now - _OLDEST <= found.at <= now + _NEWEST:
        # A clock that is wrong by years would spread lines over days that are kept for ever, or never made.
        found.fields["event.created"], found.at = found.at.isoformat(), now
    return found


def from_record(record: Mapping[str, Any], now: datetime) -> Line:
    """A line of its fields by their ECS names; `now` stands for a time that is missing or none."""
    return Line(
        at=_moment(record.get("@timestamp"), now),
        severity=severity_of(record.get("log.level")),
        logger=str(record.get("log.logger") or "")[:200],
        service=str(record.get("service.name") or "")[:200],
        message=str(record.get("message") or "")[:_MESSAGE_MAX],
        fields={name: value for name, value in record.items() if name not in _COLUMNS},
        workspace_id=_text(record.get("cmg.workspace")),
        request_id=_text(record.get("cmg.request_id")),
        trace_id=_text(record.get("trace.id")),
        user_hash=_text(record.get("user.hash")),
    )


def record_of(line: Line) -> dict[str, Any]:
    """The fields of a line by their ECS names, as a search gives them out."""
    record: dict[str, Any] = {
        "@timestamp": line.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "log.level": LEVELS.get(line.severity, "info"),
        "log.logger": line.logger,
        "message": line.message,
        "service.name": line.service,
    }
    named = {"cmg.workspace": line.workspace_id, "cmg.request_id": line.request_id, "trace.id": line.trace_id}
    named |= {"user.hash": line.user_hash}
    record |= {name: value for name, value in named.items() if value is not None}
    return {**record, **line.fields, "ecs.version": ECS_VERSION}


def replaced(line: Line, told: str, by: str) -> Line:
    """The line with one text in the place of another, wherever it stands."""
    fields = {name: _replaced(value, told, by) for name, value in line.fields.items()}
    return msgspec.structs.replace(line, message=line.message.replace(told, by), fields=fields)


def _replaced(value: Any, told: str, by: str) -> Any:
    if isinstance(value, str):
        return value.replace(told, by)
    if isinstance(value, dict):
        return {name: _replaced(one, told, by) for name, one in value.items()}
    if isinstance(value, list):
        return [_replaced(one, told, by) for one in value]
    return value


def _moment(told: object, now: datetime) -> datetime:
    if isinstance(told, str):
        try:
            moment = datetime.fromisoformat(told)
        except ValueError:
            return now
        if 1970 < moment.year < 2200:
            return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return now


def _text(value: object) -> str | None:
    return None if value is None else str(value)[:200]
