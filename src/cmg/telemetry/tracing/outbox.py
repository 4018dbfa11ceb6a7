"""Sends kept traces to backstage of the same machine: bounded, never waited for, counted when they are too many."""

import asyncio
import contextlib
import socket
from collections import deque
from pathlib import Path

import msgspec

from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.record import TraceRecord

WAITING = 2048  # traces of one process that were not sent yet
_PAUSE_S = 0.2
_DATAGRAM_BYTES = 96 * 1024
_encode = msgspec.msgpack.Encoder().encode


class Outbox:
    """Puts what is kept into datagrams every fifth of a second. What does not fit is counted and left out."""

    def __init__(self, path: Path, instruments: Instruments) -> None:
        self._path = path
        self._waiting: deque[bytes] = deque()
        self._dropped = instruments.series("cmg_traces_dropped_total", "outbox")
        self._socket: socket.socket | None = None

    def put(self, record: TraceRecord) -> None:
        """Have a record sent."""
        data = _encode(record)
        if len(self._waiting) >= WAITING or len(data) > _DATAGRAM_BYTES:
            self._dropped.inc()
            return
        self._waiting.append(data)

    async def run(self) -> None:
        """Send until cancelled; the last ones are sent on the way out."""
        try:
            while True:
                await asyncio.sleep(_PAUSE_S)
                self.flush()
        finally:
            self.flush()
            self._close()

    def flush(self) -> None:
        """Send what the receiver takes now; the rest waits."""
        while self._waiting:
            batch = self._batch()
            try:
                self._connected().send(b"".join((_head(len(batch)), *batch)))
            except OSError as error:
                self._waiting.extendleft(reversed(batch))
                if not isinstance(error, BlockingIOError):
                    self._close()  # backstage is away, or another one came: its socket is looked for anew
                return

    def _batch(self) -> list[bytes]:
        batch, size = [], 0
        while self._waiting and size + len(self._waiting[0]) <= _DATAGRAM_BYTES:
            batch.append(self._waiting.popleft())
            size += len(batch[-1])
        return batch

    def _connected(self) -> socket.socket:
        if self._socket is None:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            made.settimeout(0)
            try:
                made.connect(str(self._path))
            except OSError:
                made.close()
                raise
            self._socket = made
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None


def _head(count: int) -> bytes:
    """MessagePack's head of an array: its parts are encoded already."""
    return b"\xdd" + count.to_bytes(4)
