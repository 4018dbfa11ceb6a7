"""Begins and ends traces: the one place where a process decides which of them become records."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

import msgspec

from cmg.config import TraceSettings
from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7_hex
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.context import baggage_of, context_of
from cmg.telemetry.tracing.record import Kind, Mark, TraceRecord
from cmg.telemetry.tracing.tail import Tail
from cmg.telemetry.tracing.trace import Trace, Unmarked

_SERVER_ERROR = 500


class Taker(Protocol):
    """Where records go."""

    def put(self, record: TraceRecord) -> None:
        """Take one; never waits."""
        ...


class Ended(msgspec.Struct, frozen=True, gc=False):
    """How a trace ended: `name` is bounded (a route, a job's name), `status` HTTP's or 0."""

    kind: Kind
    name: str
    status: int = 0


class Tracer:
    """The traces of one process. Without a taker, or switched off, contexts go on and nothing is kept."""

    def __init__(self, settings: TraceSettings, taker: Taker | None, clock: Clock, instruments: Instruments) -> None:
        self.clock, self._taker, self._instruments = clock, taker, instruments
        self._tail, self._wanted = Tail(settings), frozenset(settings.baggage)
        self._make = Trace if settings.enabled and taker is not None else Unmarked

    def start(self, headers: Mapping[bytes, bytes], started: float) -> Trace:
        """The trace of a request, which goes on with its caller's."""
        context = context_of(headers) if b"traceparent" in headers else None
        trace = self._make(uuid7_hex(), context, started, self.clock.time())
        if self._wanted:
            trace.baggage = headers.get(b"baggage")
        return trace

    def decide(self, trace: Trace, now: float) -> str:
        """Why the trace is kept, as far as that is known now; empty when it is not."""
        return "" if self._make is Unmarked else self._tail.decide(trace, now)

    def finish(self, trace: Trace, ended: Ended, now: float) -> str:
        """The request or job is over; returns why it is kept, empty when it is not."""
        if self._make is Unmarked:
            return ""
        trace.failed = trace.failed or ended.status >= _SERVER_ERROR
        reason = self._tail.decide(trace, now)
        if reason:
            # A little later: the database tells of a query when its answer was already used.
            asyncio.get_running_loop().call_soon(self._keep, trace, ended, now)
        return reason

    def _keep(self, trace: Trace, ended: Ended, now: float) -> None:
        assert self._taker is not None
        user, thread = trace.person
        carried = baggage_of(trace.baggage, self._wanted) if trace.baggage else {}
        record = TraceRecord(
            id=trace.id,
            request_id=trace.request_id,
            span=trace.span,
            parent=trace.parent,
            state=trace.state,
            kind=ended.kind,
            name=ended.name,
            reason=trace.reason,
            failed=trace.failed,
            status=ended.status,
            started_at=trace.started_at,
            started=trace.started,
            ended=now,
            workspace_id=trace.workspace_id,
            user=user,
            thread=thread,
            attributes={**trace.facts, **{f"baggage.{name}": value for name, value in carried.items()}},
            left_out=trace.left_out,
            marks=[Mark(*mark) for mark in trace.marks],
        )
        self._instruments.series("cmg_traces_kept_total", trace.reason).inc()
        self._taker.put(record)


def untraced(started: float) -> Trace:
    """A trace for what nobody watches."""
    return Unmarked(uuid7_hex(), None, started, 0.0)
