"""A `Transport` of our own on httptools: a thin HTTP/1.1 client with kept-alive connections.

Why not a ready one: a plain call costs a third of aiohttp's CPU, and every limit, retry and close is ours to state
(docs/adr/0008-upstream-transport.md).
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from cmg.gateway.upstreams.dialing import Resolve, dial, resolve
from cmg.gateway.upstreams.http_connection import Connection
from cmg.gateway.upstreams.http_exchange import Exchange
from cmg.gateway.upstreams.transport import ConnectFailed, ConnectTimeout, Reset, Timeouts

_PLACES_MAX = 1000
_OURS = frozenset({"host", "content-length", "accept-encoding", "connection", "transfer-encoding"})
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
_KEEP_MARGIN_S = 1.0  # let a connection go before the upstream does


@dataclass(eq=False, slots=True)
class _Origin:
    """Scheme, host and port, and its free connections, the last used last."""

    host: str
    port: int
    tls: bool
    free: dict[Connection, None] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class _Place:
    """A URL taken apart: the origin and what stands in the head of every request to it."""

    origin: _Origin
    line: str
    host: str


class HttpTransport:
    """At most `connections` open ones; free ones are kept for `keepalive_s`. Build it inside the loop it is used in.

    `tls`: by default the system's certificate authorities, names verified. Proxy variables are not looked at.
    """

    def __init__(
        self,
        *,
        connections: int = 4096,
        keepalive_s: float = 60,
        tls: ssl.SSLContext | None = None,
        resolver: Resolve = resolve,
    ) -> None:
        self._max, self._keepalive_s, self._tls, self._resolver = connections, keepalive_s, tls, resolver
        self._loop = asyncio.get_running_loop()
        self._places: dict[str, _Place] = {}
        self._origins: dict[tuple[str, int, bool], _Origin] = {}
        self._open: set[Connection] = set()
        self._dialing = 0
        self._closed = False

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limits: Timeouts
    ) -> Exchange:
        """See `Transport.request`.

        A kept-alive connection that turns out closed before any byte of the answer is replaced once by a new one:
        the upstream closed it while our request was on its way, and has not looked at it.
        """
        place = self._places.get(url) or self._place(url)
        head = _head(method, place, headers, body)
        start = self._loop.time()
        exchange = Exchange(self._loop, limits, start, bodiless=method == "HEAD")
        connection = self._free(place.origin)
        if connection is None:
            connection = await self._dial(place.origin, limits, start)
        connection.send(exchange, head, body)
        try:
            await exchange.until_head()
        except Reset:
            if not exchange.stale:
                raise
            exchange = Exchange(self._loop, limits, start, bodiless=method == "HEAD")
            connection = await self._dial(place.origin, limits, start)
            connection.send(exchange, head, body)
            await exchange.until_head()
        return exchange

    async def close(self) -> None:
        """Close every connection."""
        self._closed = True
        for connection in list(self._open):
            connection.cut("the gateway is shutting down")
        await asyncio.sleep(0)  # sockets close in the loop's next round

    @property
    def open_connections(self) -> int:
        """Connections that are open now, free or not."""
        return len(self._open)

    # --- the pool

    def idle(self, connection: Connection, keep_s: float | None) -> None:
        """See `Pool`."""
        keep_s = self._keepalive_s if keep_s is None else min(self._keepalive_s, keep_s - _KEEP_MARGIN_S)
        if keep_s <= 0 or self._closed:
            connection.drop()
            return
        origin = connection.origin
        assert isinstance(origin, _Origin)
        origin.free[connection] = None
        connection.keep(self._loop.time() + keep_s)

    def opened(self, connection: Connection) -> None:
        """See `Pool`."""
        self._open.add(connection)

    def gone(self, connection: Connection) -> None:
        """See `Pool`."""
        self._open.discard(connection)
        origin = connection.origin
        assert isinstance(origin, _Origin)
        origin.free.pop(connection, None)

    def _free(self, origin: _Origin) -> Connection | None:
        while origin.free:
            connection, _ = origin.free.popitem()
            if connection.usable:
                return connection
        return None

    async def _dial(self, origin: _Origin, limits: Timeouts, start: float) -> Connection:
        self._spare_one()
        until = min(start + limits.total_s, self._loop.time() + limits.connect_s)
        self._dialing += 1
        try:
            async with asyncio.timeout_at(until):
                connection = await dial(origin.host, origin.port, partial(self._connect, origin), self._resolver)
        except TimeoutError as error:
            raise ConnectTimeout(f"no connection to {origin.host}:{origin.port} in time") from error
        finally:
            self._dialing -= 1
        if self._closed:
            connection.drop()
            raise ConnectFailed("the gateway is shutting down")
        return connection

    async def _connect(self, origin: _Origin, address: str) -> Connection:
        _, connection = await self._loop.create_connection(
            lambda: Connection(self, origin, self._loop),
            address,
            origin.port,
            ssl=self._context() if origin.tls else None,
            server_hostname=origin.host if origin.tls else None,
            ssl_shutdown_timeout=1 if origin.tls else None,
        )
        return connection

    def _spare_one(self) -> None:
        """Make room for a new connection: at the bound a free one of whatever origin has to go."""
        if self._closed:
            raise ConnectFailed("the gateway is shutting down")
        if len(self._open) + self._dialing < self._max:
            return
        for origin in self._origins.values():
            if origin.free:
                next(iter(origin.free)).drop()
                return
        raise ConnectFailed(f"all {self._max} connections are in use")

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    def _place(self, url: str) -> _Place:
        try:
            parts = urlsplit(url)
            host, tls = parts.hostname or "", parts.scheme == "https"
            port = parts.port or (443 if tls else 80)
        except ValueError as error:
            raise ConnectFailed(f"{url!r} is not a URL: {error}") from error
        # urlsplit drops line breaks without a word, and a blank would end the request line's target.
        if (
            parts.scheme not in {"http", "https"}
            or not host
            or not url.isascii()
            or not url.isprintable()
            or " " in url
        ):
            raise ConnectFailed(f"{url!r} is not an http(s) URL")
        if len(self._places) >= _PLACES_MAX:  # configured upstreams are few; whoever makes up URLs starts over
            self._places.clear()
            self._origins = {key: origin for key, origin in self._origins.items() if origin.free}
        origin = self._origins.setdefault((host, port, tls), _Origin(host, port, tls))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        shown = f"[{host}]" if ":" in host else host
        if port != (443 if tls else 80):
            shown = f"{shown}:{port}"
        place = self._places[url] = _Place(origin, f" {target} HTTP/1.1\r\n", f"host: {shown}\r\n")
        return place


def _head(method: str, place: _Place, headers: Mapping[str, str], body: bytes) -> bytes:
    """The request up to its body. Raises `ConnectFailed` for what would break out of its line."""
    lines = [f"{name}: {value}\r\n" for name, value in headers.items() if name.lower() not in _OURS]
    length = f"content-length: {len(body)}\r\n" if body or method not in _BODILESS else ""
    text = "".join((method, place.line, place.host, "accept-encoding: identity\r\n", length, *lines, "\r\n"))
    expected = len(lines) + (5 if length else 4)
    if text.count("\n") != expected or text.count("\r") != expected or "\0" in text:
        raise ConnectFailed("a header or the URL holds a line break: not sent")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ConnectFailed("a header or the URL holds characters outside Latin-1: not sent") from error
