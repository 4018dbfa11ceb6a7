"""The raw ASGI application of a gateway process: finds the route, authenticates, counts, and maps errors once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from cmg.app.security_headers import protection
from cmg.app.visitors import Visitors
from cmg.identity.authenticator import Authenticator
from cmg.identity.models import Caller
from cmg.kit.asgi import CLIENT_GONE, ClientGone, Handler, Headers, Message, Receive, Request, Scope, Send, send_error
from cmg.kit.errors import CmgError, InvalidRequest, NotFound, Unavailable
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.lines.request import REQUEST
from cmg.telemetry.lines.request import request_id as id_of_scope
from cmg.telemetry.logs import get_logger
from cmg.telemetry.tracing.trace import Trace, enter
from cmg.telemetry.tracing.tracer import Ended, Tracer

CallerHandler = Callable[[Request, Send, Caller], Awaitable[None]]
_REQUEST_ID = b"x-cmg-request-id"
_STOPPING = Unavailable("the service is stopping; ask again", code="stopping", headers={"retry-after": "1"})
_log = get_logger("cmg.app.data_plane")
_ACCESS = "cmg.access"  # a line for each request: failed ones at info and warning, good ones at debug
_access, _access_lines = get_logger(_ACCESS), logging.getLogger(_ACCESS)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
# Paths of the control plane that get a route label of their own; what a client invents folds to `other`.
_FAMILIES = ("/admin/v1/", "/api/v1/", "/health/", "/hooks/", "/docs", "/console/")
_KNOWN = frozenset({"/v1/logs", "/mcp", "/metrics", "/status", "/openapi.json", "/docs", "/console"})
# Machines ask for these all the time: their traces would hide everybody else's.
UNTRACED = frozenset({"/livez", "/readyz", "/health", "/health/", "/metrics"})

_INSTEAD = {"/v1/responses": "/v1/chat/completions", "/v1/completions": "/v1/chat/completions"}

PRACTICE = "drill"  # the route of a drill's calls


class Routes:
    """Method and path to a handler. A prefix route takes every path that begins with it."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Handler] = {}
        self._exact: dict[tuple[str, str], CallerHandler] = {}
        self._prefix: list[tuple[str, str, CallerHandler]] = []
        self._below: list[tuple[str, str, Handler]] = []

    def add_open(self, method: str, path: str, handler: Handler) -> None:
        """A route without authentication: probes and the public status page."""
        self._open[method, path] = handler

    def add(self, method: str, path: str, handler: CallerHandler) -> None:
        """A route for callers with a key; a path that ends in `/` is a prefix."""
        if path.endswith("/"):
            self._prefix.append((method, path, handler))
        else:
            self._exact[method, path] = handler

    def add_below(self, method: str, prefix: str, handler: Handler) -> None:
        """An open route for every path that begins with a prefix."""
        self._below.append((method, prefix, handler))

    def find_below(self, method: str, path: str) -> Handler | None:
        """The open route whose prefix a path has."""
        return next((one for wanted, prefix, one in self._below if wanted == method and path.startswith(prefix)), None)

    def find_open(self, method: str, path: str) -> Handler | None:
        """The open route of a request; a slash at its end makes no difference, nor does HEAD: monitors ask so."""
        method = "GET" if method == "HEAD" else method
        return self._open.get((method, path)) or self._open.get((method, path.removesuffix("/")))

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes; empty when it is none of these routes."""
        served = {path, path.removesuffix("/")}
        exact = {method for method, known in (*self._exact, *self._open) if known in served}
        return sorted(exact or {method for method, prefix, _ in self._prefix if _below(path, prefix)})

    def meant(self, method: str, path: str) -> str | None:
        """The route that a client with a wrong base URL is after, or that does what another of OpenAI's paths does."""
        path = path.removesuffix("/")
        likely = (_INSTEAD.get(path, ""), f"/v1{path}", path.replace("/v1/v1/", "/v1/", 1), path.removeprefix("/api"))
        return next((one for one in likely if one != path and (method, one) in self._exact), None)

    def find(self, method: str, path: str) -> tuple[str, CallerHandler] | None:
        """The route's label and its handler; a slash at the end of an exact path makes no difference."""
        for exact in (path, path.removesuffix("/")):
            handler = self._exact.get((method, exact))
            if handler is not None:
                return exact, handler
        for wanted, prefix, found in self._prefix:
            if method == wanted and _below(path, prefix):
                return f"{prefix}{{id}}", found
        return None


def _below(path: str, prefix: str) -> bool:
    return path.startswith(prefix) and len(path) > len(prefix)


class MethodNotAllowed(InvalidRequest):
    """405: the path is served, by other methods."""

    status, code = 405, "method_not_allowed"

    def __init__(self, method: str, path: str, allowed: list[str]) -> None:
        known = ", ".join(allowed)
        super().__init__(f"{path} takes {known}, not {method}", code=self.code, headers={"allow": known})


def _key_name(request: Request) -> str | None:
    caller: Caller | None = request.scope.get("cmg.caller")
    return None if caller is None else caller.key.name


class DataPlane:
    """What uvicorn calls. `forward` answers every path that is no route here."""

    def __init__(
        self,
        routes: Routes,
        authenticator: Authenticator,
        forward: Handler,
        instruments: Instruments,
        tracer: Tracer,
        trusted_proxies: list[str],
    ) -> None:
        self._routes, self._authenticator, self._forward = routes, authenticator, forward
        self._instruments, self._tracer, self._clock = instruments, tracer, tracer.clock
        self._active = instruments.series("cmg_http_requests_active")
        self._visitors = Visitors(trusted_proxies)
        self.practice: str | None = None
        """The name of the key whose calls are a drill: they use up no error budget."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection. Websockets are refused; there is no lifespan."""
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        started = self._clock.monotonic()
        REQUEST.set(scope)  # every line that is logged from here on knows its request
        request = Request(scope, receive, self._visitors.address(scope))
        trace = scope["cmg.trace"] = self._tracer.start(request.headers, started)
        scope["cmg.request_id"] = trace.request_id
        enter(trace)
        answer = _Answer(send, trace, self._protection(scope, request.path))
        route = "other"
        self._active.inc()
        try:
            route = await self._dispatch(request, answer)
        except CmgError as error:
            route = self._label(request)
            await self._refuse(request, answer, error)
            # Else the request's bytes, held by the frames that the error remembers, wait for the collector.
            error.__traceback__ = error.__context__ = error.__cause__ = None
        except ClientGone:
            route, answer.status = self._label(request), CLIENT_GONE
        except asyncio.CancelledError:  # the process stops, and waits no longer: no fault that needs a trace in the log
            route = self._label(request)
            if not answer.status:
                await self._refuse(request, answer, _STOPPING)
        except Exception as error:  # noqa: BLE001  the outermost place: log with its trace, answer 500
            route = self._label(request)
            await self._crashed(request, answer, error)
        finally:
            self._active.inc(-1)
            self._finish(request, route, answer.status, trace)

    async def _dispatch(self, request: Request, send: Send) -> str:
        path = request.path
        found = self._routes.find(request.method, path)
        if found is None:
            handler = self._routes.find_open(request.method, path) or self._routes.find_below(request.method, path)
            if handler is None and (allowed := self._routes.methods(path)):
                raise MethodNotAllowed(request.method, path, allowed)
            if handler is None and (meant := self._routes.meant(request.method, path)):
                raise NotFound(f"{path} is not served here, {meant} is", code="unknown_path")
            await (handler or self._forward)(request, send)
            return self._label(request)
        label, call = found
        caller = await self._authenticator.authenticate(
            request.header(b"authorization"), request.header(b"x-api-key"), request.client
        )
        request.scope["cmg.caller"] = caller
        trace: Trace = request.scope["cmg.trace"]
        trace.workspace_id = caller.workspace_id
        await call(request, send, caller)
        return label

    async def _refuse(self, request: Request, answer: "_Answer", error: CmgError) -> None:
        if answer.status:
            _log.error("an error after the answer had begun", error=error.message, path=self._label(request))
            return
        await send_error(answer, error, ((_REQUEST_ID, _id_of(request)),))

    async def _crashed(self, request: Request, answer: "_Answer", error: Exception) -> None:
        request_id = _id_of(request)
        _log.error("a request crashed", exc_info=error)
        if not answer.status:
            hidden = CmgError("an internal error; the log has the details under this request's id")
            await send_error(answer, hidden, ((_REQUEST_ID, request_id),))

    def _label(self, request: Request) -> str:
        """A bounded name for the path: never what a client made up."""
        path = request.path
        found = self._routes.find(request.method, path)
        if found is not None:
            return found[0]
        if path in _KNOWN or self._routes.find_open(request.method, path) is not None:
            return path
        for family in _FAMILIES:
            if path.startswith(family):
                # The first word behind the family is a resource's name; only those that exist get a label of their own.
                word = path[len(family) :].split("/", 1)[0] if family == "/admin/v1/" else ""
                return f"{family}{word if word in _ADMIN or word in _PEOPLE else ''}"
        return "other"

    def _finish(self, request: Request, route: str, status: int, trace: Trace) -> None:
        method = request.method if request.method in _METHODS else "other"
        status, ended = status or CLIENT_GONE, self._clock.monotonic()
        took_s, told = ended - trace.started, Ended("request", f"{method} {route}", status)
        kept = route not in UNTRACED and self._tracer.finish(trace, told, ended)
        if self.practice is not None and _key_name(request) == self.practice:
            route = PRACTICE
        self._instruments.series("cmg_http_requests_total", route, method, str(status)).inc()
        self._instruments.series("cmg_http_request_duration_seconds", route, method).observe(
            took_s, trace.exemplar() if kept else None
        )
        level = logging.DEBUG if status < 400 else logging.INFO if status < 500 else logging.WARNING
        if _access_lines.isEnabledFor(level):
            _access.log(
                level,
                "request",
                **{
                    "http.request.method": method,
                    "http.route": route,
                    "http.response.status_code": status,
                    "event.duration": round(took_s * 1e9),
                    "source.ip": request.client,
                },
            )

    def _protection(self, scope: Scope, path: str) -> Headers:
        return protection(encrypted=self._visitors.encrypted(scope), private=path.startswith(_PRIVATE))


_ADMIN = frozenset(
    {
        "audit",
        "budget-events",
        "events",
        "incidents",
        "jobs",
        "keys",
        "logs",
        "maintenances",
        "models",
        "traces",
        "usage",
        "workspaces",
    }
)
_PRIVATE = "/admin/"  # what no cache may keep
_PEOPLE = frozenset({"accounts", "invitations", "login", "logout", "me", "password", "sessions"})


class _Answer:
    """`send`, remembering the status that went out, telling the trace, with the headers that protect a browser."""

    __slots__ = ("_protection", "_send", "_trace", "status")

    def __init__(self, send: Send, trace: Trace, protection: Headers) -> None:
        self._send, self._trace, self._protection = send, trace, protection
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"traceparent", self._trace.traceparent().encode())]
            said = dict(headers)
            if _REQUEST_ID in said:
                headers.append((b"x-request-id", said[_REQUEST_ID]))  # where OpenAI's clients look for it
            message["headers"] = headers + [one for one in self._protection if one[0] not in said]
        return self._send(message)


def _id_of(request: Request) -> bytes:
    """The id that the handler gave the request, else a new one."""
    return id_of_scope(request.scope).encode()
