"""Passing a request on to a backstage that answers late, or not at all."""

import asyncio
import time
from typing import Any

import pytest

from cmg.app import forward
from cmg.app.forward import Forwarder
from cmg.kit.asgi import Message, Request
from cmg.kit.clock import SystemClock
from cmg.kit.errors import Unavailable
from cmg.kit.ids import uuid7_hex
from cmg.telemetry.tracing.trace import Trace
from support.raw_server import raw_server

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(forward, "_SILENT_S", 0.2)
    monkeypatch.setattr(forward, "_ALIVE_S", 0.5)


async def passed_on(url: str) -> list[Message]:
    """What a client would get for a request that goes on to `url`."""
    sent: list[Message] = []

    async def nothing() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"method": "GET", "path": "/admin/v1/keys", "query_string": b"", "headers": []}
    scope["cmg.trace"] = Trace(uuid7_hex(), None, 0.0, 0.0)
    forwarder = Forwarder(url, 1000, SystemClock())
    try:
        await forwarder.handle(Request(scope, nothing, "127.0.0.1"), send)
    finally:
        await forwarder.close()
    return sent


async def test_a_backstage_that_takes_connections_and_answers_nothing_is_named_within_seconds():
    started = time.monotonic()
    async with raw_server(lambda connection: connection.gone()) as frozen:
        with pytest.raises(Unavailable, match=r"has not answered .* not even whether it lives"):
            await passed_on(frozen.url)
    assert time.monotonic() - started < 10


async def test_a_backstage_that_lives_may_take_its_time_for_an_answer():
    looked = []

    async def slow(connection):
        while True:
            head, _ = await connection.request()
            if head.startswith("get /livez"):
                looked.append(head)
            else:
                await asyncio.sleep(0.9)
            await connection.send(OK)

    async with raw_server(slow) as server:
        sent = await passed_on(server.url)
    assert sent[0]["status"] == 200
    assert b"".join(piece.get("body", b"") for piece in sent) == b"ok"
    assert looked
