"""The outermost place of a request."""

import gc
import weakref
from typing import Any

from cmg.app.data_plane import DataPlane, Routes
from cmg.config import TraceSettings
from cmg.kit.asgi import Message, Request, Send
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer


class Held:
    """Stands for a request's megabytes."""


async def nowhere(_request: Request, _send: Send) -> None:
    raise AssertionError("nothing is passed on here")


async def test_a_refused_request_lets_go_of_what_it_held_without_waiting_for_the_collector():
    held: list[weakref.ref[Held]] = []

    async def refuse(_request: Request, _send: Send) -> None:
        body = Held()
        held.append(weakref.ref(body))
        errors = [InvalidRequest("no")]  # kept where its own traceback leads, as the last failure of a call's attempts
        raise errors[0]

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    routes = Routes()
    routes.add_open("GET", "/refused", refuse)
    nobody: Any = None
    tracer = Tracer(TraceSettings(), None, SystemClock(), Instruments())
    plane = DataPlane(routes, nobody, nowhere, Instruments(), tracer, [])
    scope = {"type": "http", "method": "GET", "path": "/refused", "headers": [], "client": ("127.0.0.1", 1)}
    gc.disable()
    try:
        await plane(scope, receive, send)
        assert sent[0]["status"] == 400
        assert held[0]() is None
    finally:
        gc.enable()
