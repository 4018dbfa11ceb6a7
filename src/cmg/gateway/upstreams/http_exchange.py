"""One request and its answer over HTTP/1.1: where a connection puts what comes, and a reader takes it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from cmg.gateway.upstreams.transport import (
    BadResponse,
    FirstByteTimeout,
    Reset,
    Stalled,
    Timeouts,
    TotalTimeout,
    TransportError,
    Truncated,
)

PAUSE_BYTES = 256 * 1024  # body bytes that wait for their reader before we stop reading from the socket
STALE_WITHIN_S = 1.0  # a kept-alive connection that was closed while we wrote shows it within a round trip
_NEVER = float("inf")


class Line(Protocol):
    """What an exchange asks of the connection it runs on."""

    def arm(self, at: float) -> None:
        """Look at the exchange's limits no later than at this loop time."""
        ...

    def resume(self) -> None:
        """Read from the socket again."""
        ...

    def drop(self) -> None:
        """Close at once; tell the exchange nothing."""
        ...


class Exchange:
    """See `UpstreamResponse`; its connection fills it.

    `taken` body bytes have come in all, `waiting` of them nobody read yet. `done`: the whole answer is here.
    """

    __slots__ = (
        "_error",
        "_limits",
        "_loop",
        "_parts",
        "_total_at",
        "_wait_at",
        "_waiter",
        "_wake_at",
        "bodiless",
        "done",
        "head_done",
        "headers",
        "last_at",
        "line",
        "sent_at",
        "stale",
        "status",
        "taken",
        "waiting",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Timeouts, start: float, *, bodiless: bool) -> None:
        self._loop, self._limits = loop, limits
        self._total_at = start + limits.total_s
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._wait_at = 0.0  # since when the reader has waited
        self._wake_at = 0  # how many waiting bytes wake the reader; 0: the head alone does
        self._error: TransportError | None = None
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.bodiless = bodiless
        self.head_done = self.done = self.stale = False
        self.taken = self.waiting = 0
        self.sent_at = self.last_at = start
        self.line: Line | None = None

    # --- the reader's side

    async def until_head(self) -> None:
        """Return when status and headers are known."""
        while not self.head_done:
            if self._error is not None:
                raise self._error
            await self._wait()

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        self._wake_at = limit + 1
        while True:
            if self.waiting > limit or (not self.done and int(self.headers.get("content-length", 0)) > limit):
                self.close()
                raise BadResponse(f"the answer is larger than {limit} bytes")
            if self.done:
                break
            if self._error is not None:
                raise self._error
            if self.line is not None:
                self.line.resume()
            await self._wait()
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self.waiting = [], 0
        return body

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come."""
        self._wake_at = 1
        return self

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self.done:
                raise StopAsyncIteration
            await self._wait()
        parts = self._parts
        chunk = parts[0] if len(parts) == 1 else b"".join(parts)
        if self.waiting > PAUSE_BYTES and self.line is not None:
            self.line.resume()
        self._parts, self.waiting = [], 0
        return chunk

    def close(self) -> None:
        """Be done: an answer that is not whole closes its connection."""
        line, self.line = self.line, None
        if line is not None:
            line.drop()
        if not self.done and self._error is None:
            self.fail(Truncated("the answer was closed before its end"))
        self._parts, self.waiting = [], 0

    async def _wait(self) -> None:
        self._wait_at = now = self._loop.time()
        if self.taken and self.line is not None:
            self.line.arm(min(self._total_at, now + self._limits.idle_s))
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            self._waiter = None

    # --- the connection's side

    def body(self, data: bytes) -> None:
        """Take a piece of the body."""
        size = len(data)
        self._parts.append(data)
        self.taken += size
        self.waiting += size

    def arrived(self) -> None:
        """Something came, or the answer is whole: wake the reader if this is what it waits for."""
        waiter = self._waiter
        if (
            waiter is not None
            and (self.done or (self.head_done and self.waiting >= self._wake_at))
            and not waiter.done()
        ):
            waiter.set_result(None)

    @property
    def full(self) -> bool:
        """So much waits for a reader of pieces that the socket is not to be read."""
        return self.waiting > PAUSE_BYTES and self._wake_at <= 1

    def fail(self, error: TransportError) -> None:
        """End with an error, which the reader meets after the bytes that came before it."""
        if self._error is None and not self.done:
            self._error, self.line = error, None
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def lost(self, error: Exception | None, *, reused: bool, begun: bool) -> None:
        """The connection is gone. `begun`: at least one byte of the answer had come."""
        if not self.head_done:
            self.stale = reused and not begun and self._loop.time() - self.sent_at < STALE_WITHIN_S
            self.fail(Reset(f"the upstream closed the connection before its answer ({error or 'end of stream'})"))
        elif error is None and "content-length" not in self.headers and "transfer-encoding" not in self.headers:
            self.done, self.line = True, None  # a body that the end of the connection ends
            self.arrived()
        else:
            self.fail(Truncated(f"the upstream closed the connection within its answer ({error or 'end of stream'})"))

    def due(self) -> tuple[float, type[TransportError]]:
        """The loop time at which the next limit is passed if nothing comes, and what it is called then."""
        if not self.taken:
            at, error = self.sent_at + self._limits.first_byte_s, FirstByteTimeout
        elif self._waiter is not None:
            at, error = max(self.last_at, self._wait_at) + self._limits.idle_s, Stalled  # type: ignore[assignment]
        else:
            at, error = _NEVER, Stalled  # type: ignore[assignment]
        return (self._total_at, TotalTimeout) if self._total_at <= at else (at, error)
