"""The request that a line belongs to: known by the task that handles it, looked at only when a line is written."""

import re
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from cmg.kit.ids import uuid7_hex
from cmg.telemetry.tracing.trace import Trace, current

Scope = MutableMapping[str, Any]
# The whole ASGI scope, so that a request that logs nothing pays for one assignment (50 ns) and nothing more.
REQUEST: ContextVar[Scope | None] = ContextVar("cmg_request", default=None)
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}")


def request_id(scope: Scope) -> str:
    """The request's id; a request that nobody has given one yet gets it here."""
    given: str | None = scope.get("cmg.request_id")
    if given is None:
        given = scope["cmg.request_id"] = uuid7_hex()
    return given


def add_request(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor: the ids of the request, its trace, its workspace and its key, unless the line names others."""
    scope = REQUEST.get()
    if scope is None:
        return _of_trace(event, current())
    event.setdefault("cmg.request_id", request_id(scope))
    caller = scope.get("cmg.caller")
    if caller is not None:
        event.setdefault("cmg.workspace", caller.workspace_id)
        event.setdefault("cmg.key_id", caller.key_id)
    trace, span = _trace(scope)
    if trace is not None:
        event.setdefault("trace.id", trace)
        event.setdefault("span.id", span)
    return event


def _of_trace(event: MutableMapping[str, Any], trace: Trace | None) -> MutableMapping[str, Any]:
    """Outside of a request: the trace of the job that runs, if one does."""
    if trace is not None:
        event.setdefault("trace.id", trace.id)
        event.setdefault("span.id", f"{trace.span:016x}")
    return event


def _trace(scope: Scope) -> tuple[str | None, str | None]:
    """The trace as it is recorded here, else as the caller's `traceparent` names it (W3C Trace Context)."""
    recorded: Trace | None = scope.get("cmg.trace")
    if recorded is not None:
        return recorded.id, f"{recorded.span:016x}"
    for name, value in scope.get("headers", ()):
        if name == b"traceparent" and (found := _TRACEPARENT.fullmatch(value)):
            return found["trace"].decode(), found["span"].decode()
    return None, None
