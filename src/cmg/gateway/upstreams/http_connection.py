"""One HTTP/1.1 connection as an asyncio protocol: parses answers with httptools, keeps one lazily moved timer."""

import asyncio
import re
from functools import lru_cache
from typing import Any, Protocol, cast

import httptools

from cmg.gateway.upstreams.http_exchange import Exchange
from cmg.gateway.upstreams.transport import BadResponse, FirstByteTimeout, Truncated

HEAD_BYTES_MAX = 64 * 1024  # also bounds what comes between two body bytes: chunk extensions, trailers
_WRITE_AT_ONCE = 64 * 1024
_TIMER_SLACK_S = 0.002  # uvloop's timers are exact to a millisecond
_KEEP_ALIVE_TIMEOUT = re.compile(r"timeout\s*=\s*(\d{1,6})")


class Pool(Protocol):
    """Where a connection belongs."""

    def idle(self, connection: "Connection", keep_s: float | None) -> None:
        """The connection is free again; the upstream keeps it for `keep_s` (None: it does not say)."""
        ...

    def opened(self, connection: "Connection") -> None:
        """The connection is there."""
        ...

    def gone(self, connection: "Connection") -> None:
        """The connection is closed or closing."""
        ...


class Connection(asyncio.Protocol):
    """Runs one exchange at a time. `origin` is the pool's own mark."""

    def __init__(self, pool: Pool, origin: object, loop: asyncio.AbstractEventLoop) -> None:
        self.origin = origin
        self._pool, self._loop = pool, loop
        self._transport: asyncio.Transport | None = None
        self._parser: Any = httptools.HttpResponseParser(self)
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._idle_until = 0.0
        self._headers: dict[str, str] = {}
        self._used = self._begun = self._keep = self._paused = self._interim = False
        self._head_bytes = 0  # of the headers of this answer, interim ones included
        self._bare = 0  # bytes that came since the last byte of a body
        self._unsent = 0  # bytes of a large request that the socket has not taken

    # --- what the pool calls

    @property
    def usable(self) -> bool:
        """Open, and nothing runs on it."""
        return self._exchange is None and self._transport is not None and not self._transport.is_closing()

    def send(self, exchange: Exchange, head: bytes, body: bytes) -> None:
        """Write a request; its answer goes into `exchange`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            exchange.lost(None, reused=True, begun=False)
            return
        self._exchange, exchange.line = exchange, self
        self._headers, self._begun, self._interim = {}, False, False
        self._head_bytes = self._bare = self._unsent = 0
        exchange.sent_at = self._loop.time()
        if len(body) <= _WRITE_AT_ONCE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)
            self._unsent = transport.get_write_buffer_size()
        self.arm(exchange.due()[0])

    def keep(self, until: float) -> None:
        """Stay open without an exchange until this loop time."""
        self._idle_until = until
        self.arm(until)

    # --- what the exchange calls

    def arm(self, at: float) -> None:
        """Have the timer fire no later than `at`. One that fires too early looks again and moves on."""
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at, self._timer = at, self._loop.call_at(at, self._on_timer)

    def resume(self) -> None:
        """Read from the socket again."""
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    def drop(self) -> None:
        """Close at once: no flush, no wait for the peer."""
        self._exchange = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is not None:
            self._transport.abort()
        self._pool.gone(self)

    def cut(self, reason: str) -> None:
        """Close at once and end the exchange with an error."""
        exchange = self._exchange
        self.drop()
        if exchange is not None:
            exchange.fail(Truncated(reason))

    # --- what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)
        self._pool.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        exchange, self._exchange = self._exchange, None
        self._transport = self._parser = None  # asyncio's transports must not be aborted any more
        self.drop()
        if exchange is not None:
            exchange.lost(exc, reused=self._used, begun=self._begun)

    def resume_writing(self) -> None:
        """The socket took nearly all of a large request: now the upstream's time to answer begins."""
        self._unsent = 0
        if self._exchange is not None:
            self._exchange.sent_at = self._loop.time()

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        exchange = self._exchange
        if exchange is None:  # nobody asked: whatever it is, the next answer must not begin with it
            self.drop()
            return
        self._begun, taken = True, exchange.taken
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._on_nonsense(exchange, error.__context__ or error)
            return
        self._bare = 0 if exchange.taken != taken else self._bare + len(data)
        exchange.last_at = self._loop.time()
        if exchange.done:
            self._on_done(exchange)
        elif self._bare > HEAD_BYTES_MAX:
            self._on_nonsense(exchange, BadResponse(f"more than {HEAD_BYTES_MAX} bytes that belong to no body"))
            return
        elif exchange.full and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        exchange.arrived()

    def _on_nonsense(self, exchange: Exchange, cause: BaseException) -> None:
        self.drop()
        if exchange.done:  # what follows a whole answer costs the connection, not the answer
            exchange.line = None
            exchange.arrived()
            return
        ours = cause if isinstance(cause, BadResponse) else BadResponse(f"not an HTTP/1.1 answer: {cause}")
        exchange.fail(ours)

    def _on_done(self, exchange: Exchange) -> None:
        self._exchange = exchange.line = None
        self.resume()
        transport = self._transport
        sent = not self._unsent or (transport is not None and not transport.get_write_buffer_size())
        if not self._keep or not sent:
            self.drop()
            return
        self._used = True
        if "transfer-encoding" in exchange.headers:  # httptools keeps the last line of a trailer for the next head
            self._parser = httptools.HttpResponseParser(self)
        said = _KEEP_ALIVE_TIMEOUT.search(exchange.headers.get("keep-alive", ""))
        self._pool.idle(self, float(said[1]) if said else None)

    def _on_timer(self) -> None:
        self._timer, now, exchange = None, self._loop.time(), self._exchange
        if exchange is None:
            if now >= self._idle_until - _TIMER_SLACK_S:
                self.drop()
            else:
                self.arm(self._idle_until)
            return
        at, late = exchange.due()
        if now >= at - _TIMER_SLACK_S and late is FirstByteTimeout and self._still_sending():
            exchange.sent_at = now
            at, late = exchange.due()
        if now < at - _TIMER_SLACK_S:
            self.arm(at)
            return
        self.drop()
        exchange.fail(late("nothing more came from the upstream in time"))

    def _still_sending(self) -> bool:
        """A large request is not out yet, and some more of it went out since the last look."""
        if not self._unsent or self._transport is None:
            return False
        before, self._unsent = self._unsent, self._transport.get_write_buffer_size()
        return 0 < self._unsent < before

    # --- what the parser calls

    def on_message_begin(self) -> None:
        """A status line begins: after a whole answer it is one that nobody asked for."""
        if self._exchange is None or self._exchange.done:
            self._keep = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header of the head; one of the trailer is left out."""
        exchange = self._exchange
        if exchange is None or exchange.head_done:
            return
        self._head_bytes += len(name) + len(value) + 4
        if self._head_bytes > HEAD_BYTES_MAX:
            raise BadResponse(f"a head of more than {HEAD_BYTES_MAX} bytes")
        key, text = _name(name), value.decode("latin-1")
        headers = self._headers
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """The head is whole. Interim answers (1xx) are skipped."""
        exchange = self._exchange
        if exchange is None or exchange.head_done:
            return
        status, headers = self._parser.get_status_code(), self._headers
        if status < 200:
            if status == 101:
                raise BadResponse("the upstream switched protocols")
            self._interim, self._headers = True, {}
            return
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise BadResponse("the upstream compressed its answer although identity was asked for")
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise BadResponse(f"a transfer coding we do not know: {headers['transfer-encoding'][:100]}")
        exchange.status, exchange.headers, exchange.head_done = status, headers, True
        if exchange.bodiless:
            exchange.done, self._keep = True, False  # the parser would wait for the body that a GET has

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        exchange = self._exchange
        if exchange is not None and not exchange.done:
            exchange.body(body)

    def on_message_complete(self) -> None:
        """The answer is whole."""
        exchange = self._exchange
        if self._interim:
            self._interim = False
        elif exchange is not None and not exchange.done:
            exchange.done, self._keep = True, self._parser.should_keep_alive()


@lru_cache(500)
def _name(raw: bytes) -> str:
    """A header's name as we hand it out; the same few come again and again."""
    return raw.decode("latin-1").lower()
