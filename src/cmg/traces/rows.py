"""A kept trace as it is stored."""

from typing import Any
from uuid import UUID

import msgspec

from cmg.kit.clock import at
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.record import TraceRecord
from cmg.traces.people import digest
from cmg.traces.spans import Span, spans_of

_TEXT_MOST = 200
_encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(list[Span]).decode
COLUMNS = (
    "id", "trace_id", "at", "workspace_id", "person", "kind", "name", "model", "reason", "failed", "status",
    "duration_ms", "spans", "body",
)  # fmt: skip


def whole_of(record: TraceRecord) -> dict[str, Any]:
    """The attributes of the request's or job's own span. Of people there are digests only."""
    told = {names.REQUEST_ID: record.request_id, names.REASON: record.reason, **record.attributes}
    if record.kind == "request":
        method, _, route = record.name.partition(" ")
        told |= {names.METHOD: method, names.ROUTE: route, names.STATUS: record.status}
    if record.workspace_id is not None:
        told[names.WORKSPACE] = record.workspace_id
        if record.thread is not None:
            told[names.CONVERSATION] = digest(record.workspace_id, "thread", record.thread).hex()
    if record.left_out:
        told[names.MARKS_LEFT_OUT] = record.left_out
    return told


def row_of(record: TraceRecord) -> tuple[Any, ...]:
    """The record in the order of `COLUMNS`."""
    spans, workspace = spans_of(record, whole_of(record)), record.workspace_id
    model = record.attributes.get(names.REQUEST_MODEL)
    return (
        UUID(record.request_id),
        UUID(record.id),
        at(record.started_at),
        workspace,
        digest(workspace, "user", record.user) if workspace is not None and record.user is not None else None,
        record.kind,
        record.name[:_TEXT_MOST],
        None if model is None else str(model)[:_TEXT_MOST].replace("\x00", "\ufffd"),
        record.reason,
        record.failed,
        record.status,
        (record.ended - record.started) * 1000,
        len(spans),
        _encode(spans),
    )
