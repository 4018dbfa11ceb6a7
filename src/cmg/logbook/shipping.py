"""Ships this machine's lines on to another log store over OTLP/HTTP, if one is set; nobody waits for it.

At most once and bounded: what finds no room, or is refused for good, is counted. What a collector sent here is not
shipped: two stores that ship to each other would never end.
"""

import asyncio
import collections
import gzip
from collections.abc import Sequence
from typing import Any

import aiohttp
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from cmg.kit.clock import Clock
from cmg.logbook.models import Line, record_of
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

QUEUED = 20_000
_BATCH = 1000
_GATHER_S = 1.0
_TIMEOUT_S = 10.0
_TRIES = 4
_AGAIN = frozenset({429, 502, 503, 504})  # OTLP/HTTP: these are worth another try
_REST_S = 300.0  # after an endpoint said that it takes no logs
_SEVERITY = {10: 5, 20: 9, 30: 13, 40: 17, 50: 21}
_OURS = ("@timestamp", "message", "log.level", "trace.id", "span.id", "service.name", "ecs.version", "log.logger")
_log = get_logger("cmg.logbook.shipping")


class LogShipper:
    """Build it inside the loop. `take` is quick; `run` sends."""

    def __init__(self, endpoint: str, clock: Clock, instruments: Instruments) -> None:
        self._url = f"{endpoint.rstrip('/')}/v1/logs"
        self._clock, self._instruments = clock, instruments
        self._queue: collections.deque[Line] = collections.deque()
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S, sock_connect=3)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())
        self._failing = False

    def take(self, lines: Sequence[Line]) -> None:
        """Queue lines that were stored; the oldest give way when there is no room."""
        self._queue.extend(lines)
        lost = len(self._queue) - QUEUED
        for _ in range(lost):
            self._queue.popleft()
        if lost > 0:
            self._count("dropped", lost)

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await self._clock.sleep(_GATHER_S)
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
                sent = await self._send(await asyncio.to_thread(_encoded, batch))
                self._count("sent" if sent else "failed", len(batch))

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _send(self, body: bytes) -> bool:
        for attempt in range(_TRIES):
            told = await self._attempt(body)
            if told is None:
                self._failing = False
                return True
            if not self._failing:
                _log.warning("log lines cannot be shipped", error=str(told), **{"url.full": self._url})
            self._failing = True
            if isinstance(told, int) and told not in _AGAIN:
                await self._clock.sleep(_REST_S if told in (404, 405, 501) else 0)
                return False
            await self._clock.sleep(2.0**attempt)
        return False

    async def _attempt(self, body: bytes) -> int | str | None:
        """None when it was taken, else the status or the error."""
        headers = {"content-type": "application/x-protobuf", "content-encoding": "gzip"}
        try:
            async with self._session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if answer.status < 300 else answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return repr(error)

    def _count(self, outcome: str, lines: int) -> None:
        self._instruments.series("cmg_log_lines_shipped_total", outcome).inc(lines)


def _encoded(lines: Sequence[Line]) -> bytes:
    request = ExportLogsServiceRequest()
    groups: dict[tuple[str, str], Any] = {}
    for line in lines:
        key = (line.service, line.logger)
        if key not in groups:
            group = request.resource_logs.add()
            _put(group.resource.attributes, "service.name", line.service)
            groups[key] = group.scope_logs.add()
            groups[key].scope.name = line.logger
        _fill(groups[key].log_records.add(), line)
    return gzip.compress(request.SerializeToString(), compresslevel=3)


def _fill(target: Any, line: Line) -> None:
    record = record_of(line)
    target.time_unix_nano = int(line.at.timestamp() * 1e6) * 1000
    target.severity_number = _SEVERITY.get(line.severity, 9)
    target.severity_text = record["log.level"]
    target.body.string_value = line.message
    for attribute, width, name in (("trace_id", 32, "trace.id"), ("span_id", 16, "span.id")):
        told = str(record.get(name) or "")
        if len(told) == width and not told.strip("0123456789abcdef"):
            setattr(target, attribute, bytes.fromhex(told))
    for name, value in record.items():
        if name not in _OURS:
            _put(target.attributes, name, value)


def _put(attributes: Any, name: str, value: Any) -> None:
    pair = attributes.add()
    pair.key = name
    if isinstance(value, bool):
        pair.value.bool_value = value
    elif isinstance(value, int) and abs(value) < 2**63:
        pair.value.int_value = value
    elif isinstance(value, float):
        pair.value.double_value = value
    else:
        pair.value.string_value = str(value)
