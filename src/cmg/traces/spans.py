"""Spans out of a record: named, with ids and wall-clock times, as OpenTelemetry sees them."""

from typing import Any, Literal

import msgspec

from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.record import Mark, TraceRecord

SpanKind = Literal["server", "client", "internal"]
_CLIENTS = frozenset({"attempt", "database", "cache", "forward"})


class Span(msgspec.Struct, array_like=True, frozen=True):
    """One span: ids as hex digits (`parent` empty: none is known), times in nanoseconds since the epoch.

    `part` says what it is: request, job, admission, recall, attempt, stream, record, database, cache, …
    """

    id: str
    parent: str
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    failed: bool
    attributes: dict[str, Any]
    part: str = ""


def spans_of(record: TraceRecord, whole: dict[str, Any]) -> list[Span]:
    """The request's or job's own span, with `whole` as its attributes, then those of its parts."""
    found = [
        Span(
            _id(record, 0),
            record.parent,
            record.name,
            "server" if record.kind == "request" else "internal",
            _ns(record, record.started),
            _ns(record, record.ended),
            record.failed,
            whole,
            record.kind,
        )
    ]
    for number, mark in enumerate(record.marks, 1):
        end = mark.end or record.ended  # what nobody ended was cut short with the whole
        found.append(
            Span(
                _id(record, number),
                _id(record, mark.within),
                _named(record, mark),
                "client" if mark.name in _CLIENTS else "internal",
                _ns(record, mark.start),
                _ns(record, max(end, mark.start)),
                names.ERROR_TYPE in (mark.attributes or {}),
                _attributes(record, mark),
                mark.name,
            )
        )
    return found


def _named(record: TraceRecord, mark: Mark) -> str:
    """Attempts and recall as the conventions for generative AI name them, queries by their own name."""
    told = mark.attributes or {}
    if mark.name == "attempt":
        return f"{record.attributes.get(names.OPERATION, 'attempt')} {told.get(names.REQUEST_MODEL)}"
    if mark.name == "recall":
        return str(told.get(names.OPERATION, mark.name))
    if mark.name == "database":
        return str(told.get(names.QUERY))
    return f"cache {told.get(names.CACHE)}" if mark.name == "cache" else mark.name


def _attributes(record: TraceRecord, mark: Mark) -> dict[str, Any]:
    told = dict(mark.attributes or {})
    if mark.name == "attempt" and names.OPERATION in record.attributes:
        told[names.OPERATION] = record.attributes[names.OPERATION]
    elif mark.name == "database":
        told[names.DATABASE] = "postgresql"
    return told


def _id(record: TraceRecord, number: int) -> str:
    return f"{record.span + number:016x}"


def _ns(record: TraceRecord, moment: float) -> int:
    return round((record.started_at + moment - record.started) * 1e9)
