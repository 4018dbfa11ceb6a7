"""Passing a request on to backstage, so that one port serves everything.

It answers on the machine's own unix socket, on another machine, or within this process.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from cmg.kit.asgi import ClientGone, Message, Receive, Request, Scope, Send, header_text
from cmg.kit.clock import Clock
from cmg.kit.errors import TooLarge, Unavailable
from cmg.telemetry.lines.request import request_id
from cmg.telemetry.tracing.trace import Trace

CLIENT_HEADER = b"x-cmg-forwarded-client"
REQUEST_HEADER = b"x-cmg-forwarded-request"
_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te", b"trailer", b"upgrade"}
    | {b"transfer-encoding", b"host", b"expect", CLIENT_HEADER, REQUEST_HEADER}
)
_OURS = (CLIENT_HEADER, REQUEST_HEADER)
KEPT_HEADER = b"x-cmg-trace-kept"  # backstage's word for a gateway; no client sees it
_OF_BACKSTAGE = frozenset({KEPT_HEADER, b"date"})  # the gateway's server dates every answer itself
_REASON_MOST = 20
_TOTAL_S = 300.0
_SILENT_S = 5.0  # without a word of an answer, before somebody asks whether anybody is there
_STARTING_S = 5.0
_ALIVE_S = 5.0  # for an answer that depends on nothing


class _Silent(Exception):
    """Backstage takes connections and answers nothing."""


class Forwarder:
    """One client session to a backstage. `body_bytes` bounds what is passed on. Build it inside the loop.

    Backstage of this machine answers on a socket and believes the client's address that it is told; another machine's
    answers under a URL and believes `X-Forwarded-For` from those it trusts (`trusted_proxies`).
    """

    def __init__(self, backstage: Path | str, body_bytes: int, clock: Clock) -> None:
        self._limit, self._clock = body_bytes, clock
        self._base, self._tells, connector = "http://backstage", CLIENT_HEADER, _connector(backstage)
        if isinstance(backstage, str):
            self._base, self._tells = backstage.rstrip("/"), b"x-forwarded-for"
        self._session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=2),
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )

    async def handle(self, request: Request, send: Send) -> None:
        """Ask backstage and pass its answer on as it comes. Raises `Unavailable` while it is away."""
        trace: Trace = request.scope["cmg.trace"]
        trace.tried = True  # backstage decides, so that what belongs together is kept together
        mark = trace.begin("forward", self._clock.monotonic())
        path = request.scope.get("raw_path") or request.path.encode()
        query = request.scope["query_string"]
        passed = [(name, value) for name, value in _end_to_end(request) if name not in (self._tells, b"traceparent")]
        headers = [(name.decode("latin-1"), header_text(value)) for name, value in passed]  # they are sent in UTF-8
        headers.append((self._tells.decode(), request.client))
        headers.append((REQUEST_HEADER.decode(), request_id(request.scope)))
        headers.append(("traceparent", trace.traceparent(mark)))
        target = path.decode("latin-1") + (f"?{query.decode('latin-1')}" if query else "")
        url = URL(f"{self._base}{target}", encoded=True)  # the target goes on byte for byte
        try:
            answer = await self._answer_of_the_living(self._answer(request, url, headers))
        except _Silent as error:
            raise Unavailable(
                f"the control plane has not answered for {_SILENT_S + _ALIVE_S:g} s, not even whether it lives; "
                "what was asked may still be done: look before you ask again",
                headers={"retry-after": "10"},
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if isinstance(error.__cause__, TooLarge | ClientGone):
                raise error.__cause__ from error
            raise Unavailable(
                "the control plane is starting or away; try again in a moment", headers={"retry-after": "1"}
            ) from error
        async with answer:
            trace.reason = trace.reason or answer.headers.get(KEPT_HEADER.decode(), "")[:_REASON_MOST]
            await _pass_on(answer, send)
        trace.end(mark, self._clock.monotonic())

    async def _answer_of_the_living(self, asked: Coroutine[Any, Any, aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
        """The answer, however long it takes, while backstage lives: one that is stopped takes connections as well."""
        asking = asyncio.ensure_future(asked)
        try:
            while not (await asyncio.wait((asking,), timeout=_SILENT_S))[0]:
                if not await self._lives() and not asking.done():
                    raise _Silent
            return asking.result()
        finally:
            asking.cancel()

    async def _lives(self) -> bool:
        """Whether anybody answers; one that is away altogether is told by the request itself."""
        try:
            async with self._session.get(URL(f"{self._base}/livez"), timeout=aiohttp.ClientTimeout(total=_ALIVE_S)):
                return True
        except TimeoutError:
            return False
        except (aiohttp.ClientError, OSError):
            return True

    async def _answer(self, request: Request, url: URL, headers: list[tuple[str, str]]) -> aiohttp.ClientResponse:
        """Backstage's answer; one that is starting is waited for, since nothing was sent to it yet."""
        patience = asyncio.get_running_loop().time() + _STARTING_S
        while True:
            try:
                data = self._pieces(request) if _has_body(request) else None
                return await self._session.request(
                    request.method, url, headers=headers, data=data, allow_redirects=False
                )
            except aiohttp.ClientConnectorError:
                if asyncio.get_running_loop().time() > patience:
                    raise
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def _pieces(self, request: Request) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await request.receive()
            if message["type"] != "http.request":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > self._limit:
                raise TooLarge(f"the body is larger than the limit of {self._limit} bytes")
            if piece:
                yield piece
            if not message.get("more_body"):
                return


class Within:
    """Passing a request on to the application of this very process."""

    def __init__(self, application: Callable[[Scope, Receive, Send], Awaitable[None]], body_bytes: int) -> None:
        self._application, self._limit = application, body_bytes

    async def handle(self, request: Request, send: Send) -> None:
        """Have the application answer. Raises `TooLarge`."""
        first: list[Message] = [{"type": "http.request", "body": await request.body(self._limit), "more_body": False}]

        async def receive() -> Message:
            return first.pop() if first else await request.receive()

        told = [(name, value) for name, value in request.scope["headers"] if name not in _OURS]
        scope = {**request.scope, "headers": [*told, (CLIENT_HEADER, request.client.encode())]}
        await self._application(scope, receive, send)


def _connector(backstage: Path | str) -> aiohttp.BaseConnector:
    if isinstance(backstage, str):
        return aiohttp.TCPConnector(limit=256)
    return aiohttp.UnixConnector(path=str(backstage), limit=256)


def _has_body(request: Request) -> bool:
    return b"content-length" in request.headers or b"transfer-encoding" in request.headers


def _end_to_end(request: Request) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in request.scope["headers"] if name not in _HOP_BY_HOP]


async def _pass_on(answer: aiohttp.ClientResponse, send: Send) -> None:
    raw = [(name.lower(), value) for name, value in answer.raw_headers]
    headers = [(name, value) for name, value in raw if name not in _HOP_BY_HOP and name not in _OF_BACKSTAGE]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    async for piece in answer.content.iter_any():
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
