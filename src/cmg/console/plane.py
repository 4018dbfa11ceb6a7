"""Calling the control plane in a person's name, within this process."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import urlencode

import httpx
import msgspec

from cmg.kit.asgi import Handler, Message, Receive, Request, Scope, Send, send_error
from cmg.kit.errors import CmgError
from cmg.kit.permissions import CSRF_HEADER, SESSION_COOKIE

_DEADLINE_S = 30.0
_STREAM_S = 300.0  # of an answer that goes on
_AHEAD = 16
Query = Mapping[str, Any]


class Refused(Exception):
    """The control plane's own refusal: `message` is for people, `param` names the field, `code` is for programs."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


class Visitor(msgspec.Struct, frozen=True):
    """Who asks: the session's token, and what the control plane knows its client by."""

    token: str | None
    address: str
    agent: str

    def __repr__(self) -> str:
        return f"Visitor({self.address})"


class Plane:
    """One visitor's way to the control plane. Nothing is remembered between calls: no cookie that an answer sets."""

    def __init__(self, control_plane: Handler, visitor: Visitor, csrf: str = "") -> None:
        self._handle, self._visitor, self._csrf = control_plane, visitor, csrf

    @property
    def address(self) -> str:
        """The visitor's."""
        return self._visitor.address

    def with_csrf(self, csrf: str) -> "Plane":
        """The same for what changes something."""
        return Plane(self._handle, self._visitor, csrf)

    async def json(self, method: str, path: str, query: Query | None = None, body: Any = None) -> Any:
        """The decoded answer, None when it is empty. Raises `Refused`."""
        answer = await self.raw(method, path, query, body)
        return msgspec.json.decode(answer.content) if answer.content else None

    async def raw(self, method: str, path: str, query: Query | None = None, body: Any = None) -> httpx.Response:
        """The answer as it came. Raises `Refused`."""
        request = self._request(method, path, query, body)
        transport = httpx.ASGITransport(_Asked(self._handle), client=(self._visitor.address, 0))
        try:
            async with asyncio.timeout(_DEADLINE_S):
                # In a task, so that what the request leaves in its context (its trace) ends with it.
                answer = await asyncio.create_task(_exchange(transport, request))
        except TimeoutError as error:
            raise Refused(504, f"{path} did not answer within {_DEADLINE_S:.0f} seconds; try again") from error
        if answer.status_code >= 300:
            raise refusal(answer.status_code, answer.content)
        return answer

    async def records(self, path: str, query: Query | None = None) -> AsyncIterator[Any]:
        """Decoded, the lines of an answer that goes on (NDJSON), as they come. Leaving it ends it. Raises `Refused`."""
        request = self._request("GET", path, query, None)
        scope: Scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": request.url.query,
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": (self._visitor.address, 0),
            "server": ("console", 80),
            "root_path": "",
        }
        rest = b""
        try:
            async with asyncio.timeout(_STREAM_S):
                async for piece in _pieces(_Asked(self._handle), scope):
                    *whole, rest = (rest + piece).split(b"\n")
                    for line in whole:
                        if line:
                            yield msgspec.json.decode(line)
        except TimeoutError as error:
            raise Refused(504, f"{path} went on for more than {_STREAM_S:.0f} seconds") from error

    def _request(self, method: str, path: str, query: Query | None, body: Any) -> httpx.Request:
        headers = {"user-agent": self._visitor.agent, "accept": "application/json"}
        if self._visitor.token:
            headers["cookie"] = f"{SESSION_COOKIE}={self._visitor.token}"
        if method != "GET" and self._csrf:
            headers[CSRF_HEADER] = self._csrf
        content = None
        if body is not None:
            content, headers["content-type"] = msgspec.json.encode(body), "application/json"
        return httpx.Request(method, f"http://console{path}{words(query)}", headers=headers, content=content)


class _Asked:
    """The control plane as an ASGI application, for one request."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._handle(Request(scope, receive, scope["client"][0]), send)
        except CmgError as error:
            await send_error(send, error)


async def _exchange(transport: httpx.ASGITransport, request: httpx.Request) -> httpx.Response:
    answer = await transport.handle_async_request(request)
    await answer.aread()
    return answer


async def _pieces(asked: "_Asked", scope: Scope) -> AsyncIterator[bytes]:
    """The body of an answer in pieces, at most so many ahead of who reads them."""
    sent: asyncio.Queue[Message | None] = asyncio.Queue(_AHEAD)
    begun: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if begun:
            return begun.pop()
        left: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        return await left  # whoever leaves cancels the task

    async def run() -> None:
        try:
            await asked(scope, receive, sent.put)
        except Exception as error:
            await sent.put(None)
            raise Refused(503, f"{scope['path']} broke off; try again") from error
        await sent.put(None)

    task, status, told = asyncio.create_task(run()), 200, b""
    try:
        while (message := await sent.get()) is not None:
            status = message.get("status", status)
            body = message.get("body", b"")
            if status >= 300:
                told += body
            elif body:
                yield body
        await task
    finally:
        task.cancel()
    if status >= 300:
        raise refusal(status, told)


def words(query: Query | None) -> str:
    """The end of an address: what is given, behind a question mark."""
    given = [(name, value) for name, value in (query or {}).items() if value not in (None, "")]
    told = urlencode(given, doseq=True)
    return f"?{told}" if told else ""


def refusal(status: int, body: bytes) -> Refused:
    """What an error body tells."""
    try:
        told = msgspec.json.decode(body)["error"]
        return Refused(status, told["message"], told.get("param"), told.get("code"))
    except (msgspec.DecodeError, KeyError, TypeError):
        return Refused(status, f"the service answered {status}")
