"""Sends kept traces to a collector (Jaeger, Tempo, an OpenTelemetry Collector) as OTLP over HTTP.

Nobody waits for it: a bounded queue before it, a deadline for each batch, and what a collector refuses is counted.
"""

import asyncio
from collections import deque
from collections.abc import Sequence

from opentelemetry import trace as api
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import cmg
from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.telemetry.tracing.record import Batch, TraceRecord
from cmg.traces.rows import whole_of
from cmg.traces.spans import Span, spans_of

WAITING = 2000  # traces that were not sent yet
_BATCH = 100  # traces in one request
_PAUSE_S = 1.0
_DEADLINE_S = 5.0
_CLOSE_S = 2.0
_KINDS = {"server": api.SpanKind.SERVER, "client": api.SpanKind.CLIENT, "internal": api.SpanKind.INTERNAL}
_log = get_logger("cmg.traces.export")


class Exporter:
    """One collector under `endpoint`. Headers, certificates and compression come from OTEL_EXPORTER_OTLP_…"""

    def __init__(self, endpoint: str, clock: Clock, instruments: Instruments) -> None:
        self._clock = clock
        self._waiting: deque[TraceRecord] = deque()
        self._dropped = instruments.series("cmg_traces_dropped_total", "export")
        self._sent = instruments.series("cmg_traces_exported_total")
        self._sender = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_DEADLINE_S)
        self._factory = SpanFactory()
        self._failing = False

    def take(self, batch: Batch) -> None:
        """Have traces sent; what finds no room is counted and left out."""
        room = WAITING - len(self._waiting)
        self._waiting.extend(batch[:room])
        if len(batch) > room:
            self._dropped.inc(len(batch) - room)

    async def run(self) -> None:
        """Send what comes, a batch at a time, until cancelled."""
        while True:
            await self._clock.sleep(_PAUSE_S)
            await self._flush()

    async def close(self) -> None:
        """Send what is left, for a moment."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await self._flush()
        except TimeoutError:
            self._dropped.inc(len(self._waiting))
        self._sender.shutdown()  # type: ignore[no-untyped-call]

    async def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            if await asyncio.to_thread(self._send, batch):
                self._sent.inc(len(batch))
                self._failing = False
                continue
            self._dropped.inc(len(batch))
            if not self._failing:
                _log.warning("a collector takes no traces; further failures are only counted", traces=len(batch))
            self._failing = True

    def _send(self, batch: Sequence[TraceRecord]) -> bool:
        spans = [span for record in batch for span in self._factory.made(record)]
        try:
            return self._sender.export(spans) is SpanExportResult.SUCCESS
        except Exception as error:  # noqa: BLE001  whatever a collector answers, the next batch is tried
            _log.warning("traces could not be sent", error=repr(error))
            return False


class SpanFactory:
    """Makes the SDK's spans with the ids and times of records. For one thread at a time."""

    def __init__(self) -> None:
        self._ids, self._ended = _GivenIds(), _Ended()
        resource = Resource.create({"service.name": "context-memory-gateway", "service.version": cmg.__version__})
        limits = SpanLimits(max_span_attributes=64)
        provider = TracerProvider(
            ALWAYS_ON, resource, shutdown_on_exit=False, id_generator=self._ids, span_limits=limits
        )
        provider.add_span_processor(self._ended)
        self._tracer = provider.get_tracer("cmg", cmg.__version__)

    def made(self, record: TraceRecord) -> list[ReadableSpan]:
        """The spans of one record."""
        state = api.TraceState.from_header([record.state]) if record.state else None
        for span in spans_of(record, whole_of(record)):
            self._ids.trace, self._ids.span = int(record.id, 16), int(span.id, 16)
            self._make(span, state)
        return self._ended.taken()

    def _make(self, span: Span, state: api.TraceState | None) -> None:
        parent = int(span.parent, 16) if span.parent else api.INVALID_SPAN_ID
        flags = api.TraceFlags(api.TraceFlags.SAMPLED)
        around = api.SpanContext(self._ids.trace, parent, is_remote=True, trace_flags=flags, trace_state=state)
        context = api.set_span_in_context(api.NonRecordingSpan(around))
        made = self._tracer.start_span(
            span.name, context, _KINDS[span.kind], attributes=span.attributes, start_time=span.start_ns
        )
        if span.failed:
            made.set_status(api.StatusCode.ERROR)
        made.end(span.end_ns)


class _GivenIds(IdGenerator):
    """The ids that were told to callers and upstreams long before."""

    trace = span = 0

    def generate_span_id(self) -> int:
        """See `IdGenerator`."""
        return self.span

    def generate_trace_id(self) -> int:
        """See `IdGenerator`."""
        return self.trace


class _Ended(SpanProcessor):
    """Keeps ended spans until they are taken."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        """See `SpanProcessor`."""
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        """Every span since the last time."""
        spans, self._spans = self._spans, []
        return spans
