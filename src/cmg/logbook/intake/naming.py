"""Gives what other programs tell the names of ECS: OpenTelemetry's attributes, and lines in well-known forms."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from cmg.logbook.intake.records import Record
from cmg.logbook.models import LEVELS, Line, parsed, severity_of
from cmg.telemetry.lines.encoding import encoded, without_people

_RENAMED = {
    "exception.type": "error.type",
    "exception.message": "error.message",
    "exception.stacktrace": "error.stack_trace",
    "client.address": "source.ip",
    "network.peer.address": "source.ip",
    "http.method": "http.request.method",
    "http.status_code": "http.response.status_code",
    "logger.name": "log.logger",
    "level": "log.level",
    "severity": "log.level",
    "msg": "message",
    "time": "@timestamp",
    "timestamp": "@timestamp",
    "ts": "@timestamp",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "request_id": "cmg.request_id",
}
_RESERVED = frozenset({"cmg.workspace", "user.hash", "cmg.line_no", "cmg.pattern"})  # ours to give
_FORM_MAX = 32 * 1024  # letters of a text that may be in one of these forms
# Access logs of nginx, Apache and HAProxy's httpd form. What is taken is not given back: a text that nearly fits would
# be tried at each of its letters.
_ACCESS = re.compile(
    r'(?P<ip>\S++) \S++ (?P<user>\S++) \[[^\]]++\] "(?P<method>[A-Z]++) (?P<path>[^\s"]++)[^"]*+" (?P<status>\d{3}) '
    r"(?P<bytes>\d+|-)"
    r'(?: "(?P<referrer>[^"]*)" "(?P<agent>[^"]*)")?'
)
_REDIS = re.compile(
    r"(?P<pid>\d+):(?P<role>[XCSM]) (?P<time>\d\d \w{3} \d{4} [\d:.]+) (?P<mark>[.\-*#]) (?P<message>.*)"
)
_REDIS_LEVELS = {".": "debug", "-": "info", "*": "info", "#": "warning"}
_POSTGRES = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d [\d:.]+ \w+) \[(?P<pid>\d+)\] (?:\S+ )?(?P<level>DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|"
    r"FATAL|PANIC|DETAIL|HINT|STATEMENT|CONTEXT):\s+(?P<message>.*)",
    re.DOTALL,
)
_NS = 1_000_000_000


def line_of(record: Record, workspace_id: str, now: datetime) -> Line:
    """A record as a line of a workspace, redacted and bounded."""
    fields = {**_named(record.resource), **_named(record.attributes)}
    fields |= _of_body(record.body)
    fields.setdefault("message", record.event or "")
    if record.event:
        fields.setdefault("event.action", record.event)
    if record.time_ns or record.observed_ns or "@timestamp" not in fields:
        fields["@timestamp"] = _moment(record.time_ns or record.observed_ns, now)
    level = _level(record)
    if level is not None:
        fields["log.level"] = level
    fields.setdefault("log.level", "info")
    fields.setdefault("log.logger", record.scope or fields.get("service.name") or "otlp")
    for name, value in (("trace.id", record.trace_id), ("span.id", record.span_id)):
        if value:
            fields[name] = value
    line = parsed(encoded(without_people(fields)), now)
    line.workspace_id = workspace_id
    return line


def _level(record: Record) -> str | None:
    """A level's name: by OpenTelemetry's number (four for each of trace to fatal), else by its text."""
    if 1 <= record.severity <= 24:
        return ("debug", "debug", "info", "warning", "error", "critical")[(record.severity - 1) // 4]
    return LEVELS[severity_of(record.severity_text)] if record.severity_text else None


def _named(told: Mapping[str, Any]) -> dict[str, Any]:
    return {_RENAMED.get(name, name): value for name, value in told.items() if name not in _RESERVED}


def _of_body(body: Any) -> dict[str, Any]:
    """A body's fields: those of a map, of JSON in a text, or of a line in a form that is well known."""
    if isinstance(body, Mapping):
        fields = _named(body)
        fields.setdefault("message", encoded(body).decode())
        return fields
    if not isinstance(body, str):
        return {} if body is None else {"message": str(body)}
    if body.startswith("{"):
        try:
            told = orjson.loads(body)
        except orjson.JSONDecodeError:
            return {"message": body}
        return _of_body(told) if isinstance(told, dict) else {"message": body}
    return _of_text(body)


def _of_text(text: str) -> dict[str, Any]:
    if len(text) > _FORM_MAX:
        return {"message": text}
    if found := _ACCESS.match(text):
        status = int(found["status"])
        fields: dict[str, Any] = {
            "message": text,
            "source.ip": found["ip"],
            "http.request.method": found["method"],
            "url.path": found["path"],
            "http.response.status_code": status,
            "log.level": "error" if status >= 500 else "info",
        }
        if found["bytes"] != "-":
            fields["http.response.bytes"] = int(found["bytes"])
        return fields | ({"user_agent.original": found["agent"]} if found["agent"] else {})
    if found := _REDIS.fullmatch(text):
        return {
            "message": found["message"],
            "process.pid": int(found["pid"]),
            "log.level": _REDIS_LEVELS[found["mark"]],
        }
    if found := _POSTGRES.match(text):
        return {
            "message": found["message"],
            "process.pid": int(found["pid"]),
            "log.level": level_of_postgres(found["level"]),
        }
    return {"message": text}


def level_of_postgres(word: str) -> str:
    """PostgreSQL's level by our names; what belongs to the line before it is `info`."""
    if word.startswith("DEBUG"):
        return "debug"
    known = {"WARNING": "warning", "ERROR": "error", "FATAL": "critical", "PANIC": "critical"}
    return known.get(word, "info")


def _moment(ns: int, now: datetime) -> str:
    try:
        moment = datetime.fromtimestamp(ns / _NS, UTC) if ns else now
    except (ValueError, OverflowError, OSError):
        moment = now
    return moment.isoformat()
