"""The console's own origin: doors and files for everybody, pages for who is signed in, and a policy for them."""

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response

from cmg.console.doors.pages import DOORS, LOGIN, PASSWORD
from cmg.console.plane import Plane, Refused, Visitor
from cmg.console.ports import Surroundings
from cmg.console.visit import VISIT, sign_in
from cmg.identity.sessions.models import token_in
from cmg.kit.asgi import ClientGone, Headers, Message, Receive, Request, Scope, Send, send_error
from cmg.kit.errors import CmgError
from cmg.telemetry.logs import get_logger

ASGI = Callable[[Scope, Receive, Send], Awaitable[None]]
STATIC = Path(__file__).parent / "static"
_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    b"frame-ancestors 'none'"
)
_DOOR_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_SOCKET, _LIBRARIES, _FILES, _PLANE = "/_nicegui_ws/", "/_nicegui/", "/static/", "/admin/v1/"
_NAME = re.compile(r"[a-z][a-z-]*\.(js|css|svg)")
_log = get_logger("cmg.console")


class Console:
    """What uvicorn calls. `pages` draws them; but for its own files it is asked only when somebody is signed in."""

    def __init__(self, pages: ASGI, around: Surroundings) -> None:
        self._pages, self._around = pages, around

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._pages(scope, receive, send)
            return
        # The framework writes this header's words into its pages; whoever stands before us has no say in them.
        scope["headers"] = [one for one in scope["headers"] if one[0] != b"x-forwarded-prefix"]
        headers = dict(scope["headers"])
        if scope["type"] == "websocket":
            if scope["path"].startswith(_SOCKET) and self._own_page(headers):
                await self._pages(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Protected(send, self._protection(scope))
        if scope["path"].startswith(_PLANE):
            await self._ask(scope, receive, answer)
            return
        await (await self._reply(scope, headers))(scope, receive, answer)

    async def _ask(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The control plane at this origin, for what sets cookies and for files to save."""
        try:
            await self._around.control_plane(Request(scope, receive, self._around.visitors.address(scope)), send)
        except CmgError as error:
            await send_error(send, error)
        except ClientGone:
            _log.debug("a browser went before its request was whole")

    async def _reply(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGI:
        path: str = scope["path"]
        if path.startswith(_SOCKET):
            return self._pages if self._own_page(headers) else PlainTextResponse("another site's page", 403)
        if path.startswith(_LIBRARIES):
            return self._pages
        if path.startswith(_FILES):
            return _file(path.removeprefix(_FILES))
        if path == "/favicon.ico":
            return _file("icon.svg")
        if path.rstrip("/") in DOORS:
            return HTMLResponse(DOORS[path.rstrip("/")], headers={"content-security-policy": _DOOR_POLICY.decode()})
        if scope["method"] not in {"GET", "HEAD"}:
            return PlainTextResponse("pages are read", 405, {"allow": "GET, HEAD"})
        return await self._page(scope, headers)

    async def _page(self, scope: Scope, headers: dict[bytes, bytes]) -> ASGI:
        """The framework with the visit in the scope, or the way to a door."""
        here = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        visitor = Visitor(
            token_in(scope["headers"]), self._around.visitors.address(scope), _text(headers, b"user-agent")
        )
        if visitor.token is None:
            return _to(LOGIN, here)
        try:
            plane = Plane(self._around.control_plane, visitor)
            urls = (self._api_url(scope, headers), self._around.gateway_url)
            visit = await sign_in(plane, urls, self._around.clock)
        except Refused as refused:
            if refused.status == 401:
                return _to(LOGIN, here)
            return PlainTextResponse(refused.message, refused.status, {"retry-after": "2"})
        if visit.person.must_change_password:
            return _to(PASSWORD, here)
        scope[VISIT] = visit
        return self._pages

    def _own_page(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a page of ours asks: a browser tells whose page it is, and other sites' reach nobody's session."""
        origin = headers.get(b"origin")
        if origin is None:
            return headers.get(b"sec-fetch-site", b"same-origin") == b"same-origin"
        told = origin.decode("latin-1")
        return told == self._around.origin or urlsplit(told).netloc == _text(headers, b"host")

    def _api_url(self, scope: Scope, headers: dict[bytes, bytes]) -> str:
        if self._around.api_url:
            return self._around.api_url
        host = urlsplit(f"//{_text(headers, b'host')}").hostname or "127.0.0.1"
        name = f"[{host}]" if ":" in host else host
        return f"{'https' if self._around.visitors.encrypted(scope) else 'http'}://{name}:{self._around.api_port}"

    def _protection(self, scope: Scope) -> Headers:
        asked = scope["path"].startswith(_PLANE)
        strict = self._around.protection(encrypted=self._around.visitors.encrypted(scope), private=asked)
        if asked:
            return strict
        return [(name, _POLICY if name == b"content-security-policy" else value) for name, value in strict]


class _Protected:
    """`send` with the headers that protect a browser, where the answer does not say otherwise itself."""

    def __init__(self, send: Send, protection: Headers) -> None:
        self._send, self._protection = send, protection

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            said = {name for name, _ in message["headers"]}
            message["headers"] = [*message["headers"], *(one for one in self._protection if one[0] not in said)]
        return self._send(message)


def _file(name: str) -> Response:
    if not _NAME.fullmatch(name) or not (STATIC / name).is_file():
        return PlainTextResponse("there is no such file", 404)
    return FileResponse(STATIC / name, headers={"cache-control": "no-cache"})


def _to(door: str, here: str) -> Response:
    return RedirectResponse(f"{door}?next={quote(here, safe='/')}", 303, {"cache-control": "no-store"})


def _text(headers: dict[bytes, bytes], name: bytes) -> str:
    return headers.get(name, b"").decode("latin-1")
