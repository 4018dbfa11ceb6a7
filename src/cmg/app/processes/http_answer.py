"""uvicorn's HTTP/1.1 protocol with our own way of writing an answer: one system call for the head and what follows it.

uvicorn writes the head when it is told of it, and the body when that comes. Each write is a system call and wakes the
client; together they were an eighth of a call's CPU (docs/adr/0012-speed.md). Parsing requests, keep-alive, pipelining
and shutting down stay uvicorn's.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from cmg.kit.asgi import Message, Receive, Scope, Send
from cmg.kit.errors import InvalidRequest

_STATUS_LINES = {one.value: f"HTTP/1.1 {one.value} {one.phrase}\r\n".encode() for one in HTTPStatus}
_NO_BODY = frozenset({204, 304})
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_HEAD_BYTES_MAX = 64 * 1024  # of a request; the parser has no bound of its own, and takes its time
_TOO_LARGE = InvalidRequest(f"the head of the request has more than {_HEAD_BYTES_MAX} bytes", code="head_too_large")
_SILENT_S = 60.0  # without a byte of a request that is not whole
_LINGER_S = 2.0  # how long a body that nobody reads may go on to come before its connection is closed
_COPIED_MAX = 64 * 1024  # a larger body is not copied to stand behind its head


class Protocol(HttpToolsProtocol):
    """What uvicorn takes as `http`. A request's head is bounded: what one read brings, and 64 KB beyond it."""

    _in_head = False
    _head_bytes = 0  # of a head that is not whole yet, without the read in which it began
    _heard = 0.0  # when something came of a request that is not whole; 0: none is awaited

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A request is awaited from now on."""
        super().connection_made(transport)
        self._heard = self.loop.time()

    def close_if_silent(self, now: float) -> None:
        """Close when a request that was begun, or a first one, does not go on: such would take the places of all."""
        if self._heard and now - self._heard > _SILENT_S and not self.flow.read_paused:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse; refuse a head without end before it fills the memory."""
        if self._heard:
            self._heard = self.loop.time()
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _HEAD_BYTES_MAX:
                self._refuse_head()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._head_bytes, self._heard = True, 0, self.loop.time()
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._heard = 0.0
        super().on_message_complete()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._in_head = False
        super().on_headers_complete()

    def _refuse_head(self) -> None:
        body = _TOO_LARGE.json()
        head = f"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: {len(body)}\r\n"
        rest = "content-type: application/json\r\nconnection: close\r\n\r\n"
        if not self.transport.is_closing():
            self.transport.write((head + rest).encode() + body)
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        def answered(scope: Scope, receive: Receive, _send: Send) -> Awaitable[None]:
            running: Awaitable[None] = app(scope, receive, Answer(cycle, self.loop).send)
            return running

        super()._start_asgi_task(cycle, answered)  # type: ignore[arg-type]


class Answer:
    """The answer to one request, written as ASGI messages come; `cycle` is uvicorn's state of the request.

    A head waits for the first piece of its body, but never longer than until the loop's next round.
    """

    __slots__ = ("_bodiless", "_chunked", "_cycle", "_flush", "_head", "_left", "_loop")

    def __init__(self, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle, self._loop = cycle, loop
        self._head = b""  # not written yet
        self._flush: asyncio.Handle | None = None
        self._bodiless = self._chunked = False
        self._left = 0  # bytes that the head has promised and that did not come yet

    async def send(self, message: Message) -> None:
        """ASGI's `send`. Raises `RuntimeError` for messages out of order and for another length than the head's."""
        cycle = self._cycle
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        kind = message["type"]
        if kind == "http.response.body" and cycle.response_started and not cycle.response_complete:
            self._body(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not cycle.response_started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} does not belong here: started {cycle.response_started}")

    def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        cycle = self._cycle
        length, closes = None, False
        parts = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        count = 2  # lines: the status, and the empty one behind the headers
        for given, value in (*cycle.default_headers, *headers):
            name = given if given.islower() else given.lower()
            parts += (name, b": ", value, b"\r\n")
            count += 1
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                self._chunked = value.lower() == b"chunked"
            elif b"close" in value.lower():
                closes = True
        if closes:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
            count += 1
        self._bodiless = cycle.scope["method"] == "HEAD" or status in _NO_BODY
        if not self._bodiless and not self._chunked:
            self._chunked = length is None
            self._left = length or 0
            if length is None:
                parts.append(b"transfer-encoding: chunked\r\n")
                count += 1
        parts.append(b"\r\n")
        head = b"".join(parts)
        if head.count(b"\n") != count or head.count(b"\r") != count or b"\0" in head:
            raise RuntimeError("a header of the answer holds a line break or a NUL")
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        self._head, self._flush = head, self._loop.call_soon(self._write, b"")

    def _body(self, data: bytes, *, more: bool) -> None:
        cycle = self._cycle
        if self._bodiless:
            data = b""
        elif self._chunked:
            if data:
                data = b"%x\r\n%s\r\n" % (len(data), data)
            if not more:
                data += b"0\r\n\r\n"
        else:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError(f"the answer's body is {-self._left} bytes longer than its head says")
        self._write(data)
        if more:
            return
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._close()
        cycle.on_response()

    def _close(self) -> None:
        """Close; while the request's body still comes, not yet: a reset would take the answer from the client."""
        cycle = self._cycle
        if cycle.more_body:
            self._loop.call_later(_LINGER_S, cycle.transport.close)
        else:
            cycle.transport.close()

    def _write(self, data: bytes) -> None:
        """Write the head, if it still waits, and these bytes, at once."""
        transport = self._cycle.transport
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
            if len(data) > _COPIED_MAX and not transport.is_closing():
                transport.write(self._head)
            else:
                data = self._head + data
            self._head = b""
        if data and not transport.is_closing():
            transport.write(data)
