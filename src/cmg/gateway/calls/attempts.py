"""Trying candidates until one answers well, and leaving exactly one record however a call ends."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from cmg.gateway.answering import trace_headers
from cmg.gateway.calls.description import attempted
from cmg.gateway.calls.exchange import Failed, ask, whole_body
from cmg.gateway.calls.ladder import Ladder
from cmg.gateway.recording import Call, Recorder
from cmg.gateway.routing.router import Candidate
from cmg.kit.asgi import CLIENT_GONE, ClientGone
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError
from cmg.telemetry.tracing import names

T = TypeVar("T")


async def first_good(
    call: Call,
    ladder: Ladder,
    clock: Clock,
    path: str,
    body_for: Callable[[Candidate], bytes],
    read: Callable[[bytes, Candidate], T],
) -> tuple[bytes, T]:
    """The first whole answer that `read` takes, over as many attempts as it takes. Raises `CmgError`."""
    waiting, trace = clock.monotonic(), call.trace
    try:
        while True:
            candidate = call.candidate = await ladder.next()
            call.attempts = ladder.attempts
            call.attempt = trace.begin("attempt", clock.monotonic(), attempted(candidate))
            try:
                response = await ask(candidate, path, body_for(candidate), trace_headers(call))
                body = await whole_body(response, candidate)
                answer = read(body, candidate)
            except Failed as failed:
                call.error_type = failed.failure.kind
                trace.end(call.attempt, clock.monotonic(), {names.ERROR_TYPE: failed.failure.kind})
                ladder.failed(failed.failure)
            else:
                trace.end(call.attempt, clock.monotonic())
                ladder.answered()
                call.error_type = None
                return body, answer
    finally:
        call.waited_s += clock.monotonic() - waiting


class Recorded:
    """A context around an admitted call: whatever leaves it, the call is written, once, and its breaker let go."""

    __slots__ = ("_call", "_ladder", "_recorder")

    def __init__(self, call: Call, ladder: Ladder, recorder: Recorder) -> None:
        self._call, self._ladder, self._recorder = call, ladder, recorder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._ladder.abandoned()
        call = self._call
        if kind is None or call.written:
            return
        call.attempts = self._ladder.attempts
        if isinstance(error, asyncio.CancelledError | ClientGone):
            call.status, call.http_status = "cancelled", CLIENT_GONE
        elif isinstance(error, CmgError):
            call.status, call.http_status = "error", error.status
            call.error_type = call.error_type or error.code
        else:
            call.status, call.http_status, call.error_type = "error", 500, "internal"
        if not call.usage.completion:
            call.turns = None  # nobody answered: the client will say it again
        self._recorder.write(call)
