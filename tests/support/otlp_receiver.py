"""A collector of traces: takes real OTLP over HTTP and decodes its protobuf; it can be slow, refuse, or go away."""

import gzip
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from support.processes import wait_until


@dataclass
class Received:
    """One span, as plain values. Ids are hex digits."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start_ns: int
    end_ns: int
    failed: bool
    state: str
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass
class OtlpReceiver:
    """Listens on a free port of loopback. `status` and `delay_s` script its answers."""

    status: int = 200
    delay_s: float = 0.0
    requests: int = 0
    spans: list[Received] = field(default_factory=list)

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                time.sleep(receiver.delay_s)
                receiver.requests += self.path == "/v1/traces"  # lines of the service's log come too
                if receiver.status == 200 and self.path == "/v1/traces":
                    assert self.headers["content-type"] == "application/x-protobuf"
                    receiver.spans += _decoded(body)
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The endpoint, as OTEL_EXPORTER_OTLP_ENDPOINT takes it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def of(self, trace_id: str) -> list[Received]:
        """The spans of one trace so far."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def wait_for(self, trace_id: str, timeout_s: float = 15.0) -> list[Received]:
        """The spans of a trace, once there are some."""
        wait_until(lambda: bool(self.of(trace_id)), timeout_s, f"the trace {trace_id} was exported")
        return self.of(trace_id)


def _decoded(body: bytes) -> list[Received]:
    message = ExportTraceServiceRequest.FromString(body)
    return [
        Received(
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            span.name,
            span.kind,
            span.start_time_unix_nano,
            span.end_time_unix_nano,
            span.status.code == 2,
            span.trace_state,
            {one.key: _value(one.value) for one in span.attributes},
            {one.key: _value(one.value) for one in resource.resource.attributes},
        )
        for resource in message.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)
