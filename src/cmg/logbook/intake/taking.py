"""Takes export requests: bounded in bytes, records and requests at once; lines are stored when the answer goes out."""

import asyncio
import contextlib
import zlib

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, RateLimited, TooLarge, Unavailable
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.intake.naming import line_of
from cmg.logbook.intake.records import from_json, from_protobuf
from cmg.logbook.models import Line
from cmg.logbook.patterns.keeping import Patterns
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments

PROTOBUF, JSON = "application/x-protobuf", "application/json"
_AT_ONCE = 8
_BATCH = 2000
_LARGE = 2 * 2**20  # what is read of such a request takes up to 400 MB while it is read


class Intake:
    """`body_bytes` bounds a request, before and after it is decompressed. Large ones are read one at a time."""

    def __init__(
        self,
        store: LineStore,
        patterns: Patterns,
        clock: Clock,
        instruments: Instruments,
        body_bytes: int,
        disk: DiskGuard | None = None,
    ) -> None:
        self._store, self._patterns, self._clock, self._instruments = store, patterns, clock, instruments
        self._most = body_bytes
        self._running, self._one_large = 0, asyncio.Semaphore()
        self._disk = disk

    async def take(self, body: bytes, content_type: str, encoding: str, workspace_id: str) -> tuple[bytes, str]:
        """Store the records of a request for a workspace; the answer's body and its type.

        Raises `InvalidRequest`, `TooLarge`; `RateLimited`, `Unavailable`, `DatabaseAway`: then collectors send again.
        """
        kind = content_type.partition(";")[0].strip().lower()
        if kind not in (PROTOBUF, JSON):
            raise InvalidRequest(f"`content-type` is {PROTOBUF} or {JSON}", param="content-type")
        if self._disk is not None and self._disk.sheds("logs"):
            raise Unavailable("the disk is nearly full: no log lines are taken now", headers={"retry-after": "60"})
        if self._running >= _AT_ONCE:
            raise RateLimited("too many log requests at once; send again", headers={"retry-after": "1"})
        self._running += 1
        try:
            data = await asyncio.to_thread(_plain, body, encoding.strip().lower(), self._most)
            async with self._one_large if len(data) > _LARGE else contextlib.nullcontext():
                lines = await asyncio.to_thread(self._lines, data, kind, workspace_id)
            refused = 0
            for begin in range(0, len(lines), _BATCH):
                refused += await self._store.write(lines[begin : begin + _BATCH])
        finally:
            self._running -= 1
        self._instruments.series("cmg_log_lines_stored_total", "otlp").inc(len(lines) - refused)
        return _answer(kind, refused), kind

    def _lines(self, data: bytes, kind: str, workspace_id: str) -> list[Line]:
        now = self._clock.now()
        lines = [line_of(one, workspace_id, now) for one in (from_json if kind == JSON else from_protobuf)(data)]
        self._patterns.mine(lines)
        return lines


def _plain(body: bytes, encoding: str, most: int) -> bytes:
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "deflate"):
        raise InvalidRequest("`content-encoding` is gzip, deflate or identity", param="content-encoding")
    unpacking = zlib.decompressobj(47)  # gzip or zlib, whichever the bytes say
    try:
        data = unpacking.decompress(body, most)
    except zlib.error as error:
        raise InvalidRequest(f"the body is not {encoding}", param="body") from error
    if unpacking.unconsumed_tail:
        raise TooLarge(f"the body is larger than {most} bytes when it is decompressed; send smaller batches")
    if not unpacking.eof:
        raise InvalidRequest("the compressed body ends too early", param="body")
    return data


def _answer(kind: str, refused: int) -> bytes:
    if kind == JSON:
        return b"{}" if not refused else b'{"partialSuccess":{"rejectedLogRecords":"%d"}}' % refused
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2  # noqa: PLC0415  loaded by whoever gets protobuf

    answer = logs_service_pb2.ExportLogsServiceResponse()
    if refused:
        answer.partial_success.rejected_log_records = refused
    return bytes(answer.SerializeToString())
