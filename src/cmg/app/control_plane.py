"""The FastAPI application of the backstage process: everything but the data plane, a permission on every route."""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

import cmg
from cmg.app.forward import CLIENT_HEADER, REQUEST_HEADER
from cmg.app.openapi.document import api_docs_router, openapi_document
from cmg.app.processes.traced import Traced
from cmg.identity.authenticator import Authenticator
from cmg.identity.models import Caller
from cmg.identity.sessions.door import SessionDoor
from cmg.kit.asgi import Application, Receive, Scope, Send, send_error
from cmg.kit.errors import CmgError, Forbidden, InvalidRequest, NotFound, Unauthenticated
from cmg.kit.parameters.declared import guard
from cmg.kit.permissions import PUBLIC, SIGNED, permission_of, routes_of
from cmg.telemetry.lines.request import REQUEST
from cmg.telemetry.logs import get_logger
from cmg.telemetry.security_events import SecurityEvents
from cmg.telemetry.tracing.trace import current
from cmg.telemetry.tracing.tracer import Tracer

_log = get_logger("cmg.app.control_plane")
_PAGES = ("/docs", "/openapi.json")
_BASIC = (*_PAGES, "/api/v1/")  # promtool and older clients of Prometheus know no other way to send a key


class Unguarded(Exception):
    """A route of the control plane that declares no permission: the process must not start with it."""


@dataclass(frozen=True)
class Doors:
    """Who lets callers in: keys by their header, and, where the machine knows people, sessions by their cookie."""

    keys: Authenticator
    sessions: SessionDoor | None = None
    events: SecurityEvents | None = None


def build(routers: Iterable[APIRouter], doors: Doors, mounts: Mapping[str, Application], tracer: Tracer) -> Application:
    """The whole application; `mounts` answer their path for every checked key and look at the scopes themselves.

    Raises `Unguarded` for a route without a permission.
    """
    app = documented(routers)
    check_permissions(app)
    app.state.events = doors.events
    paths = {getattr(route.original_route, "endpoint"): str(route.path) for route in routes_of(app)}  # noqa: B009  typed as any route
    return Traced(_Callers(app, doors, mounts), paths, tracer)


def documented(routers: Iterable[APIRouter]) -> FastAPI:
    """The application without authentication: what the OpenAPI document is made from."""
    app = FastAPI(
        title="Context Memory Gateway",
        version=cmg.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,  # would name the host by which a gateway calls this process
    )
    for router in (*routers, api_docs_router(app)):
        app.router.routes.extend(router.routes)  # `include_router` would build every route a second time: 0.2 s
        guard((one for one in router.routes if isinstance(one, APIRoute)), "/admin/v1/")
    app.add_exception_handler(CmgError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _crashed)
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]
    return app


def build_for_docs() -> FastAPI:
    """The application on services that are not connected: for its OpenAPI document and its routes."""
    from cmg.app.wiring.control import routers_without_database  # noqa: PLC0415  wiring builds on this module

    return documented(routers_without_database())


def check_permissions(app: FastAPI) -> None:
    """Raise `Unguarded` naming every route that is neither public with a reason nor guarded by a scope."""
    bare = [f"{sorted(route.methods or ())} {route.path}" for route in routes_of(app) if permission_of(route) is None]
    if bare:
        raise Unguarded(f"routes without a permission: {', '.join(bare)}")


class _Callers:
    """Puts the checked caller into `request.state.caller`; a bad key is refused before any route is looked for."""

    def __init__(self, app: FastAPI, doors: Doors, mounts: Mapping[str, Application]) -> None:
        self._app, self._doors, self._mounts = app, doors, mounts
        self._public = [route.path_regex for route in routes_of(app) if permission_of(route) in {PUBLIC, SIGNED}]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["path"] = scope["path"].rstrip("/") or "/"  # makes no difference here either
        headers = dict(scope["headers"])
        if REQUEST_HEADER in headers:
            scope["cmg.request_id"] = _text(headers[REQUEST_HEADER])
        REQUEST.set(scope)
        client = _text(headers.get(CLIENT_HEADER)) or (scope.get("client") or ("127.0.0.1", 0))[0]
        authorization, api_key = _authorization(scope["path"], headers), _text(headers.get(b"x-api-key"))
        state = scope.setdefault("state", {})
        state["client"] = client
        state["caller"] = None
        try:
            if authorization or api_key:
                state["caller"] = await self._doors.keys.authenticate(authorization, api_key, client)
            else:
                state["caller"] = await self._signed_in(scope, client)
            scope["cmg.caller"] = state["caller"]
            trace = current()
            if trace is not None and state["caller"] is not None:
                trace.workspace_id = state["caller"].workspace_id
            if state["caller"] is None and not self._allowed_open(scope):
                raise Unauthenticated(
                    "no API key; send `Authorization: Bearer cmg_…`, or sign in", headers=_challenge(scope["path"])
                )
        except CmgError as error:
            await send_error(send, error)
            return
        by_key = state["caller"] is not None and state["caller"].session is None
        mounted = self._mounts.get(scope["path"]) if by_key else None
        await (mounted or self._app)(scope, receive, send)

    async def _signed_in(self, scope: Scope, client: str) -> Caller | None:
        """The caller of a session's cookie. One that has ended is as none where nobody has to be signed in."""
        if self._doors.sessions is None:
            return None
        try:
            return await self._doors.sessions.enter(scope["headers"], client)
        except Unauthenticated:
            if self._allowed_open(scope):
                return None
            raise

    def _allowed_open(self, scope: Scope) -> bool:
        """Only a public route is reached without a key, so strangers cannot even learn which paths exist."""
        return any(pattern.match(scope["path"]) for pattern in self._public)


def _authorization(path: str, headers: dict[bytes, bytes]) -> str | None:
    """The header; where a password stands for the key, as a browser sends it for the docs page, as a bearer's."""
    told = _text(headers.get(b"authorization"))
    if told is None or not told.startswith("Basic ") or not path.startswith(_BASIC):
        return told
    try:
        return f"Bearer {base64.b64decode(told[6:]).decode().partition(':')[2]}"
    except ValueError:  # neither base64 nor UTF-8: the authenticator refuses what was sent
        return told


def _challenge(path: str) -> dict[str, str]:
    """A browser that opens the docs page is asked for the key as a password."""
    return {"WWW-Authenticate": 'Basic realm="API key as the password"'} if path.startswith(_PAGES) else {}


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")


async def _told(request: Request, error: Any) -> Response:
    events: SecurityEvents | None = getattr(request.app.state, "events", None)
    if error.status == Forbidden.status and events is not None:
        caller: Caller | None = request.state.caller
        user = caller.session.account_id if caller is not None and caller.session is not None else ""
        key = {"cmg.key_id": caller.key_id} if caller is not None and caller.key_id else {}
        events.emit("authz_fail", error.code or "forbidden", client=request.state.client, user=user, **key)
    return Response(error.json(), error.status, error.headers, "application/json")


async def _invalid(request: Request, error: Any) -> Response:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"] if part not in {"body", "query", "path", "header"}]
    param = ".".join(place) or None
    return await _told(request, InvalidRequest(f"{param or 'body'}: {first['msg']}", param=param))


async def _plain(request: Request, error: Any) -> Response:
    if error.status_code == 404:
        return await _told(request, NotFound(f"{request.url.path} is not served here", code="unknown_path"))
    wrong = InvalidRequest(str(error.detail), code="method_not_allowed" if error.status_code == 405 else None)
    return Response(wrong.json(), error.status_code, error.headers, "application/json")


async def _crashed(request: Request, error: Any) -> Response:
    _log.error("a request of the control plane crashed", exc_info=error, **{"url.path": request.url.path})
    return await _told(request, CmgError("an internal error; the log has the details"))
