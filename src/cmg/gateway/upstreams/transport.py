"""What the gateway asks of an HTTP client: the protocol, its time limits and its errors."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import msgspec


class Timeouts(msgspec.Struct, frozen=True):
    """The limits of one request, in seconds.

    `connect_s`: name look-up, TCP and TLS. `first_byte_s`: from the request's last byte to the first byte of the
    answer's body (a head without a body does not stop it). `idle_s`: between two pieces of the body, not counting
    the time in which the reader took nothing. `total_s`: from the start to the body's end.
    """

    connect_s: float
    first_byte_s: float
    idle_s: float
    total_s: float


class TransportError(Exception):
    """No whole answer came. `may_have_arrived`: the upstream may have got the request, and may bill it."""

    may_have_arrived = True
    kind = "transport"


class ConnectFailed(TransportError):
    """Refused, unknown name, no route, TLS not agreed, or no connection to spare: nothing was sent."""

    may_have_arrived = False
    kind = "connect_failed"


class ConnectTimeout(ConnectFailed):
    """No connection within `connect_s`: nothing was sent."""

    kind = "connect_timeout"


class FirstByteTimeout(TransportError):
    """The request was sent and no byte of the answer's body came within `first_byte_s`."""

    kind = "first_byte_timeout"


class Stalled(TransportError):
    """The body began, and then nothing came for `idle_s`."""

    kind = "stalled"


class TotalTimeout(TransportError):
    """The answer was not whole within `total_s`."""

    kind = "total_timeout"


class Reset(TransportError):
    """The connection was closed or reset before the answer's head was whole."""

    kind = "reset"


class Truncated(TransportError):
    """The connection was closed or reset within the body: what came before was delivered, the rest is missing."""

    kind = "truncated"


class BadResponse(TransportError):
    """What came is no HTTP/1.1 answer, or one over our bounds (head, body), or compressed although we ask for none."""

    kind = "bad_response"


class UpstreamResponse(Protocol):
    """An answer whose head has come. `headers` has lower-case names; a repeated name is joined by ", ".

    The body is taken once: by `read`, or by iterating over `chunks`. Whoever takes neither to the end calls `close`.
    """

    status: int
    headers: Mapping[str, str]

    async def read(self, limit: int) -> bytes:
        """The whole body. Raises `BadResponse` over `limit` bytes, and every `TransportError`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come, none empty; pieces that came together are joined.

        Raises every `TransportError`, after all bytes that came before it were delivered.
        """
        ...

    def close(self) -> None:
        """Be done with the answer; an unfinished one closes its connection at once. May be called again."""
        ...


class Transport(Protocol):
    """An HTTP/1.1 client with kept-alive connections. Follows no redirect and changes no body."""

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limits: Timeouts
    ) -> UpstreamResponse:
        """Send a request and return when the answer's head is there, whatever its status.

        `host`, `content-length` and `accept-encoding: identity` are added. Cancelling closes the connection at once.
        Raises every `TransportError` but `Stalled` and `Truncated`.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Answers that are being read end with a `TransportError`."""
        ...
