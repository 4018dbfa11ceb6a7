"""Intake and shipping by OTLP: from OpenTelemetry's exporter, as JSON, in forms of other programs; and on to others."""

import asyncio
import gzip
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest, RateLimited, TooLarge
from cmg.logbook.intake.naming import line_of
from cmg.logbook.intake.records import from_json
from cmg.logbook.intake.taking import JSON, PROTOBUF, Intake
from cmg.logbook.patterns.keeping import Patterns
from cmg.logbook.patterns.pattern_store import PatternStore
from cmg.logbook.shipping import LogShipper
from cmg.telemetry.lines.encoding import pseudonym

NOW = SystemClock().now()


class Receiver:
    """An HTTP server that keeps what is posted to it and answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str, str]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                told = self.headers.get("content-type", ""), self.headers.get("content-encoding", "")
                receiver.got.append((body, *told))
                self.send_response(receiver.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of OTLP."""
    one = Receiver()
    yield one
    one.close()


@pytest.fixture
def intake(store, database, clock, instruments) -> Intake:
    """An intake with a small bound."""
    return Intake(store, Patterns(PatternStore(database), clock, instruments), clock, instruments, 100_000)


async def lines(search, **asked: Any) -> list[dict[str, Any]]:
    """The lines of a search, oldest first."""
    return list(reversed((await search.page({"until": "2199-01-01", **asked}, None)).items))


def exported(receiver: Receiver) -> tuple[bytes, str, str]:
    """What OpenTelemetry's logging handler and exporter send for one warning and one error."""
    resource = Resource.create({"service.name": "worker", "host.name": "box-1"})
    provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPLogExporter(endpoint=f"{receiver.url}/v1/logs", compression=None)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.getLogger("other.program")
    handler = LoggingHandler(logger_provider=provider)
    logger.addHandler(handler)
    try:
        logger.error("payment of %s failed", "ada", extra={"password": "hunter2hunter2", "user.id": "ada@example.com"})
    finally:
        logger.removeHandler(handler)
        provider.shutdown()
    return receiver.got[-1]


async def test_what_opentelemetry_exports_becomes_a_line(intake, search, receiver) -> None:
    body, kind, _ = await asyncio.to_thread(exported, receiver)
    answer, answered_as = await intake.take(gzip.compress(body), kind, "gzip", "team")
    assert (answer, answered_as) == (b"", PROTOBUF)
    (line,) = await lines(search)
    assert (line["message"], line["log.level"], line["log.logger"]) == (
        "payment of ada failed",
        "error",
        "other.program",
    )
    assert (line["service.name"], line["host.name"], line["cmg.workspace"]) == ("worker", "box-1", "team")
    assert (line["password"], line["user.hash"]) == ("***", pseudonym("ada@example.com"))
    assert "hunter2" not in json.dumps(line)
    assert "ada@example" not in json.dumps(line)


def export(*records: dict[str, Any], **resource: str) -> bytes:
    """An export request as JSON."""
    attributes = [{"key": name, "value": {"stringValue": value}} for name, value in resource.items()]
    scope = {"scope": {"name": "test"}, "logRecords": list(records)}
    return json.dumps({"resourceLogs": [{"resource": {"attributes": attributes}, "scopeLogs": [scope]}]}).encode()


def text(body: str, **more: Any) -> dict[str, Any]:
    """A record with a text."""
    return {"timeUnixNano": "1795521600123456789", "body": {"stringValue": body}, **more}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            '10.0.0.7 - ada [24/Nov/2026:12:00:00 +0000] "GET /v1/models?x=1 HTTP/1.1" 502 157 "-" "curl/8.5"',
            {
                "source.ip": "10.0.0.7",
                "http.response.status_code": 502,
                "log.level": "error",
                "url.path": "/v1/models?x=1",
            },
        ),
        (
            "1:M 24 Nov 2026 12:00:00.123 # Out of memory",
            {"message": "Out of memory", "log.level": "warning", "process.pid": 1},
        ),
        (
            "2026-11-24 12:00:00.123 UTC [77] ERROR:  deadlock detected",
            {"message": "deadlock detected", "log.level": "error", "process.pid": 77},
        ),
        (
            '{"msg": "ready", "level": "WARN", "ts": "2026-11-24T11:59:00Z", "request_id": "r-9"}',
            {"message": "ready", "log.level": "warning", "cmg.request_id": "r-9"},
        ),
        ("plain words", {"message": "plain words", "log.level": "info", "log.logger": "test"}),
    ],
)
async def test_lines_in_well_known_forms_get_the_same_names(
    intake, search, body: str, expected: dict[str, Any]
) -> None:
    assert await intake.take(export(text(body)), JSON, "", "team") == (b"{}", JSON)
    (line,) = await lines(search)
    assert {name: line[name] for name in expected} == expected


async def test_ids_numbers_and_nested_values_of_json_are_read(intake, search) -> None:
    trace, span = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
    nested = {"kvlistValue": {"values": [{"key": "message", "value": {"stringValue": "in a map"}}]}}
    more = [
        {"key": "http.status_code", "value": {"intValue": "404"}},
        {"key": "cmg.workspace", "value": {"stringValue": "x"}},
    ]
    record = {"traceId": trace.upper(), "spanId": span, "severityNumber": 13, "body": nested, "attributes": more}
    await intake.take(export(record, **{"service.name": "s"}), JSON, "", "team")
    (line,) = await lines(search, trace_id=trace)
    assert (line["message"], line["log.level"], line["span.id"]) == ("in a map", "warning", span)
    assert (line["http.response.status_code"], line["cmg.workspace"]) == (404, "team")


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "error"),
    [
        (b"\xff\xff", PROTOBUF, "", InvalidRequest),
        (b"{", JSON, "", InvalidRequest),
        (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "soon"}]}]}]}', JSON, "", InvalidRequest),
        (b"{}", "text/plain", "", InvalidRequest),
        (b"{}", JSON, "br", InvalidRequest),
        (b"no gzip", JSON, "gzip", InvalidRequest),
        (gzip.compress(b"{}", mtime=0)[:-4], JSON, "gzip", InvalidRequest),
        (gzip.compress(b" " * 1_000_000), JSON, "gzip", TooLarge),
    ],
)
async def test_what_is_no_export_is_refused(
    intake, body: bytes, kind: str, encoding: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await intake.take(body, kind, encoding, "team")


EMPTIES = 1_100_000
OBJECTS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"arrayValue":{"values":['


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\x0a\x00" * EMPTIES, PROTOBUF),
        (b"\x0a\x00" * 60_000, PROTOBUF),
        (OBJECTS + b"{}," * EMPTIES + b"{}]}}}]}]}]}", JSON),
        (b'{"resourceLogs":[' + b"[]," * EMPTIES + b"[]]}", JSON),
    ],
)
async def test_a_small_request_that_unfolds_into_memory_is_refused(intake, body: bytes, kind: str) -> None:
    """20 kB of gzip hold 20 MB of nothing, of which a reader makes 800 MB of objects."""
    intake._most = 20 * 2**20
    with pytest.raises(TooLarge):
        await intake.take(gzip.compress(body), kind, "gzip", "team")


@pytest.mark.parametrize(
    "value",
    [
        {"kvlistValue": {"values": [{"key": "a", "value": {"intValue": "9" * 40}}]}},
        {"kvlistValue": {"values": [{"key": "\x00", "value": {"doubleValue": "NaN"}}]}},
        {"stringValue": '{"a": ' + "9" * 40 + "}"},
        {"stringValue": "{" * 3000},
        {"intValue": "9" * 40},
        {"bytesValue": "_"},
    ],
)
async def test_an_odd_value_is_stored_as_it_is(intake, search, value: dict[str, Any]) -> None:
    trace = "5b8efff798038103d269b633813fc60d"
    await intake.take(export({"traceId": trace, "body": value}), JSON, "", "team")
    assert len(await lines(search, trace_id=trace)) == 1


@pytest.mark.parametrize("size", [30_000, 2_000_000])
@pytest.mark.parametrize(
    "text", ['1.1.1.1 - - [x] "GET {}', "1.1.1.1 - - [{}", "{} {} {}", "1:X 01 Jan 2026 {}", "2026-11-29 10:00:00 {}"]
)
def test_a_text_that_nearly_is_in_a_form_is_read_at_once(text: str, size: int) -> None:
    """Thirty thousand letters took a second, two million an hour, in which the process did nothing else."""
    started = time.process_time()
    line_of(from_json(export({"body": {"stringValue": text.replace("{}", "a" * size)}}))[0], "team", NOW)
    assert time.process_time() - started < 1


async def test_requests_at_once_are_bounded(intake) -> None:
    intake._running = 8
    with pytest.raises(RateLimited):
        await intake.take(b"{}", JSON, "", "team")


async def test_stored_lines_are_shipped_on(receiver, line, instruments) -> None:
    shipper = LogShipper(receiver.url, SystemClock(), instruments)
    trace = "5b8efff798038103d269b633813fc60c"
    shipper.take([line("a", trace_id=trace, fields={"cmg.count": 3}), line("b", severity=40)])
    running = asyncio.create_task(shipper.run())
    for _ in range(100):
        await asyncio.sleep(0.05)
        if receiver.got:
            break
    running.cancel()
    await shipper.close()
    request = ExportLogsServiceRequest.FromString(gzip.decompress(receiver.got[0][0]))
    records = [one for group in request.resource_logs for scope in group.scope_logs for one in scope.log_records]
    assert [(one.body.string_value, one.severity_number) for one in records] == [("a", 9), ("b", 17)]
    assert records[0].trace_id.hex() == trace
    assert [pair.value.int_value for pair in records[0].attributes if pair.key == "cmg.count"] == [3]


async def test_what_cannot_be_shipped_is_counted_and_bounded(receiver, line, instruments, monkeypatch) -> None:
    monkeypatch.setattr("cmg.logbook.shipping.QUEUED", 5)
    receiver.status = 400
    shipper = LogShipper(receiver.url, SystemClock(), instruments)
    shipper.take([line(f"{n}") for n in range(8)])
    running = asyncio.create_task(shipper.run())

    def told(outcome: str) -> float:
        return instruments.registry.get_sample_value("cmg_log_lines_shipped_total", {"outcome": outcome}) or 0

    for _ in range(100):
        await asyncio.sleep(0.05)
        if told("failed"):
            break
    running.cancel()
    await shipper.close()
    assert (told("dropped"), told("failed")) == (3, 5)
