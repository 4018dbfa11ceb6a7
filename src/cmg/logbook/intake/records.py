"""OTLP's export of logs, protobuf or JSON, as one plain form: resource, scope and fields of each record."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from cmg.kit.errors import InvalidRequest, TooLarge

MOST_RECORDS = 50_000
_MOST_PARTS = 1_000_000  # objects and lists of a body: each takes fifty times the memory of its text
_DEPTH = 16


class Record(msgspec.Struct, frozen=True):
    """One log record. Times in ns since 1970, 0 when not given; ids in hex, empty when not given."""

    resource: Mapping[str, Any]
    scope: str
    time_ns: int
    observed_ns: int
    severity: int
    severity_text: str
    body: Any
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str
    event: str


def from_protobuf(data: bytes) -> list[Record]:
    """Records of an `ExportLogsServiceRequest`. Raises `InvalidRequest`, `TooLarge`."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415  loaded by whoever gets protobuf
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: PLC0415  as above

    _check_parts(data.count(0))  # an empty message is its number and a zero
    try:
        request = logs_service_pb2.ExportLogsServiceRequest.FromString(data)
    except DecodeError as error:
        raise InvalidRequest("the body is no ExportLogsServiceRequest in protobuf", param="body") from error
    if sum(1 + len(group.scope_logs) for group in request.resource_logs[: MOST_RECORDS + 1]) > MOST_RECORDS:
        raise TooLarge(f"one request may hold {MOST_RECORDS} groups of log records; send smaller batches")
    return _bounded(_of_protobuf(request))


def _check_parts(parts: int) -> None:
    if parts > _MOST_PARTS:
        raise TooLarge(f"one request may hold {_MOST_PARTS} values; send smaller batches")


def _of_protobuf(request: Any) -> Iterator[Record]:
    for group in request.resource_logs:
        resource = _attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            for one in scoped.log_records:
                yield Record(
                    resource,
                    scoped.scope.name,
                    one.time_unix_nano,
                    one.observed_time_unix_nano,
                    one.severity_number,
                    one.severity_text,
                    _value(one.body, _DEPTH),
                    _attributes(one.attributes),
                    one.trace_id.hex(),
                    one.span_id.hex(),
                    one.event_name,
                )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value, _DEPTH) for pair in pairs}


def _value(value: Any, depth: int) -> Any:
    kind = value.WhichOneof("value")
    if kind is None or depth == 0:
        return None
    told = getattr(value, kind)
    if kind == "array_value":
        return [_value(one, depth - 1) for one in told.values]
    if kind == "kvlist_value":
        return {pair.key: _value(pair.value, depth - 1) for pair in told.values}
    return base64.b64encode(told).decode() if kind == "bytes_value" else told


# OTLP's JSON: protobuf's mapping, but ids in hex; 64-bit numbers may be text; unknown fields are ignored.
_Number = int | str


class _Pair(msgspec.Struct, frozen=True):
    key: str
    value: dict[str, Any] = {}


class _Named(msgspec.Struct, frozen=True):
    name: str = ""
    attributes: list[_Pair] = []


class _LogRecord(msgspec.Struct, frozen=True, rename="camel"):
    time_unix_nano: _Number = 0
    observed_time_unix_nano: _Number = 0
    severity_number: _Number = 0
    severity_text: str = ""
    body: dict[str, Any] = {}
    attributes: list[_Pair] = []
    trace_id: str = ""
    span_id: str = ""
    event_name: str = ""


class _ScopeLogs(msgspec.Struct, frozen=True, rename="camel"):
    scope: _Named = _Named()
    log_records: list[_LogRecord] = []


class _ResourceLogs(msgspec.Struct, frozen=True, rename="camel"):
    resource: _Named = _Named()
    scope_logs: list[_ScopeLogs] = []


class _Export(msgspec.Struct, frozen=True, rename="camel"):
    resource_logs: list[_ResourceLogs] = []


_decode = msgspec.json.Decoder(_Export).decode


def from_json(data: bytes) -> list[Record]:
    """The same of JSON. Raises `InvalidRequest`, `TooLarge`."""
    _check_parts(data.count(b"{") + data.count(b"["))
    try:
        return _bounded(_of_json(_decode(data)))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is no ExportLogsServiceRequest in JSON: {error}", param="body") from error
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise InvalidRequest(f"a value of the body is none of its kind: {error}", param="body") from error


def _of_json(export: _Export) -> Iterator[Record]:
    for group in export.resource_logs:
        resource = _json_attributes(group.resource.attributes)
        for scoped in group.scope_logs:
            for one in scoped.log_records:
                yield Record(
                    resource,
                    scoped.scope.name,
                    int(one.time_unix_nano),
                    int(one.observed_time_unix_nano),
                    int(one.severity_number),
                    one.severity_text,
                    _json_value(one.body, _DEPTH),
                    _json_attributes(one.attributes),
                    one.trace_id.lower(),
                    one.span_id.lower(),
                    one.event_name,
                )


def _json_attributes(pairs: list[_Pair]) -> dict[str, Any]:
    return {pair.key: _json_value(pair.value, _DEPTH) for pair in pairs}


def _json_value(value: Any, depth: int) -> Any:
    if depth == 0 or not isinstance(value, dict) or not value:
        return None
    kind, told = next(iter(value.items()))
    if kind == "intValue":
        return int(told)
    if kind == "arrayValue":
        return [_json_value(one, depth - 1) for one in told.get("values", ())]
    if kind == "kvlistValue":
        return {str(one["key"]): _json_value(one.get("value"), depth - 1) for one in told.get("values", ())}
    return told


def _bounded(records: Iterator[Record]) -> list[Record]:
    found: list[Record] = []
    for record in records:
        if len(found) >= MOST_RECORDS:
            raise TooLarge(f"one request may hold {MOST_RECORDS} log records; send smaller batches")
        found.append(record)
    return found
