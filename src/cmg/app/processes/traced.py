"""The trace of a request of the control plane, which a gateway's trace goes on in."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cmg.app.forward import CLIENT_HEADER, KEPT_HEADER
from cmg.kit.asgi import CLIENT_GONE, Message, Receive, Scope, Send
from cmg.telemetry.tracing.trace import Trace, current, enter
from cmg.telemetry.tracing.tracer import Ended, Tracer

_UNTRACED = ("/metrics", "/health")  # machines ask for these all the time
_MOUNTED = "/mcp"
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class Traced:
    """Around an application: a trace for each request, unless one was begun in this very process.

    `paths` has the path of each route by its endpoint: names are never what a client made up.
    """

    def __init__(
        self,
        application: Callable[[Scope, Receive, Send], Awaitable[None]],
        paths: Mapping[Callable[..., Any], str],
        tracer: Tracer,
    ) -> None:
        self._application, self._paths, self._tracer = application, paths, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] != "http" or scope["path"].startswith(_UNTRACED) or current() is not None:
            await self._application(scope, receive, send)
            return
        headers = dict(scope["headers"])
        trace = scope["cmg.trace"] = self._tracer.start(headers, self._tracer.clock.monotonic())
        enter(trace)
        answer = _Answer(send, trace, self._tracer, asked_by_gateway=CLIENT_HEADER in headers)
        try:
            await self._application(scope, receive, answer)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            ended = Ended("request", f"{method} {self._route(scope)}", answer.status or CLIENT_GONE)
            self._tracer.finish(trace, ended, self._tracer.clock.monotonic())

    def _route(self, scope: Scope) -> str:
        path: str = scope["path"].rstrip("/")
        return self._paths.get(scope.get("endpoint") or _route_less) or (path if path == _MOUNTED else "other")


def _route_less() -> None:
    """Stands for what no route answered."""


class _Answer:
    """`send`, remembering the status, and telling the gateway whether the trace is kept as far as is known."""

    def __init__(self, send: Send, trace: Trace, tracer: Tracer, *, asked_by_gateway: bool) -> None:
        self._send, self._trace, self._tracer, self._tells = send, trace, tracer, asked_by_gateway
        self.status = 0

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._trace.failed = self.status >= 500
            reason = self._tracer.decide(self._trace, self._tracer.clock.monotonic())
            if reason and self._tells:
                message["headers"] = [*message["headers"], (KEPT_HEADER, reason.encode())]
        return self._send(message)
