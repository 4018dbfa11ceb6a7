"""The outermost place of a request."""

import asyncio
import gc
import json
import weakref
from typing import Any

import pytest

from cmg.app.data_plane import DataPlane, Routes
from cmg.config import TraceSettings
from cmg.kit.asgi import Message, Request, Scope, Send
from cmg.kit.clock import SystemClock
from cmg.kit.errors import InvalidRequest
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer


class Held:
    """Stands for a request's megabytes."""


async def nothing_more() -> Message:
    return {"type": "http.request", "body": b""}


def plane_of(routes: Routes) -> DataPlane:
    nobody: Any = None
    tracer = Tracer(TraceSettings(), None, SystemClock(), Instruments())
    return DataPlane(routes, nobody, nowhere, Instruments(), tracer, [])


def scope_of(path: str) -> Scope:
    return {"type": "http", "method": "GET", "path": path, "headers": [], "client": ("127.0.0.1", 1)}


async def nowhere(_request: Request, _send: Send) -> None:
    raise AssertionError("nothing is passed on here")


async def test_a_refused_request_lets_go_of_what_it_held_without_waiting_for_the_collector():
    held: list[weakref.ref[Held]] = []

    async def refuse(_request: Request, _send: Send) -> None:
        body = Held()
        held.append(weakref.ref(body))
        errors = [InvalidRequest("no")]  # kept where its own traceback leads, as the last failure of a call's attempts
        raise errors[0]

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    routes = Routes()
    routes.add_open("GET", "/refused", refuse)
    plane = plane_of(routes)
    gc.disable()
    try:
        await plane(scope_of("/refused"), nothing_more, send)
        assert sent[0]["status"] == 400
        assert held[0]() is None
    finally:
        gc.enable()


async def test_a_request_that_a_stop_waits_for_no_longer_is_told_so():
    """Uvicorn cancels what runs at the end of the grace, and would answer `Internal Server Error`."""

    async def hang(_request: Request, _send: Send) -> None:
        await asyncio.Event().wait()

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    routes = Routes()
    routes.add_open("GET", "/slow", hang)
    running = asyncio.create_task(plane_of(routes)(scope_of("/slow"), nothing_more, send))
    await asyncio.sleep(0)
    running.cancel()
    await running
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"retry-after"]) == (503, b"1")
    assert json.loads(sent[1]["body"])["error"]["code"] == "stopping"


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
        ("/v1/v1/chat/completions", "/v1/chat/completions"),
        ("/api/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/responses", "/v1/chat/completions"),
    ],
)
async def test_a_client_with_a_wrong_base_url_is_told_the_path_that_it_means(asked: str, meant: str):
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def unasked(*_: object) -> None:
        raise AssertionError("nobody asked for this path")

    routes = Routes()
    routes.add("POST", "/v1/chat/completions", unasked)
    await plane_of(routes)({**scope_of(asked), "method": "POST"}, nothing_more, send)
    error = json.loads(sent[1]["body"])["error"]
    assert (sent[0]["status"], error["code"]) == (404, "unknown_path")
    assert error["message"] == f"{asked} is not served here, {meant} is"
    assert routes.meant("POST", meant) is None
    assert routes.meant("POST", "/v1/nothing") is None
