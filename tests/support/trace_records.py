"""Records of traces, as processes send them."""

from typing import Any

from cmg.kit.ids import uuid7_hex
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.record import Mark, TraceRecord


def trace_record(**changed: Any) -> TraceRecord:
    """A chat call of 100 ms with two attempts, 80 ms of it in the second."""
    id_ = uuid7_hex()
    marks = [
        Mark("admission", 100.0, 100.005, 0),
        Mark("database", 100.001, 100.004, 1, {names.QUERY: "identity.key_by_id"}),
        Mark(
            "attempt", 100.005, 100.015, 0, {names.PROVIDER: "one", names.REQUEST_MODEL: "m", names.ERROR_TYPE: "503"}
        ),
        Mark("attempt", 100.015, 100.095, 0, {names.PROVIDER: "two", names.REQUEST_MODEL: "m"}),
        Mark("record", 100.095, 100.096, 0),
    ]
    given: dict[str, Any] = {
        "id": id_,
        "request_id": id_,
        "span": int(id_[16:], 16),
        "parent": "",
        "state": "",
        "kind": "request",
        "name": "POST /v1/chat/completions",
        "reason": "share",
        "failed": False,
        "status": 200,
        "started_at": 1.7e9,
        "started": 100.0,
        "ended": 100.1,
        "workspace_id": "w1",
        "user": "ada",
        "thread": "t1",
        "attributes": {names.OPERATION: "chat", names.REQUEST_MODEL: "m"},
        "left_out": 0,
        "marks": marks,
    }
    return TraceRecord(**{**given, **changed})
