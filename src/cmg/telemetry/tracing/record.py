"""What is sent of a trace that is kept, as MessagePack."""

from typing import Any, Literal

import msgspec

Kind = Literal["request", "job"]


class Mark(msgspec.Struct, array_like=True, frozen=True):
    """One part of a trace; times are the machine's monotonic seconds, `end` 0 when it never ended.

    `within` is the number of the mark around it, counted from 1; 0 is the trace itself.
    """

    name: str
    start: float
    end: float
    within: int
    attributes: dict[str, Any] | None = None


class TraceRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One request or job. `id` is the trace's, `span` the number from which its spans' ids are counted."""

    id: str
    request_id: str
    span: int
    parent: str
    state: str
    kind: Kind
    name: str
    reason: str
    failed: bool
    status: int  # of HTTP; 0 for a job
    started_at: float
    started: float
    ended: float
    workspace_id: str | None
    user: str | None
    thread: str | None
    attributes: dict[str, Any]
    left_out: int
    marks: list[Mark]


Batch = list[TraceRecord]
