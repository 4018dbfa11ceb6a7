"""The console's server: who opens connections and says nothing does not take the places of those who look."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSMsgType

from cmg.app.processes import http_answer, serving
from cmg.app.processes.orders import Orders
from cmg.config import Settings
from cmg.kit.asgi import Receive, Scope, Send
from support.service import eventually


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    """A page, and a websocket that answers each word with itself."""
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
async def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where it listens, with room for four, who are heard out for a moment."""
    monkeypatch.setattr(serving, "_PAGE_CONNECTIONS", 4)
    monkeypatch.setattr(serving, "_SILENCE_TICKS", 1)
    monkeypatch.setattr(http_answer, "_SILENT_S", 0.3)
    listening = socket.create_server(("127.0.0.1", 0))
    server = serving.console_server(_application, Orders(settings=Settings(data_dir=tmp_path), dsn=""))
    running = asyncio.create_task(server.serve([listening]))
    yield listening.getsockname()[1]
    server.end()
    await running
    listening.close()


async def test_connections_without_a_request_give_their_places_back(port: int) -> None:
    async with contextlib.AsyncExitStack() as open_ones:
        for _ in range(6):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            open_ones.callback(writer.close)
        async with ClientSession() as session:

            async def served() -> bool:
                async with session.get(f"http://127.0.0.1:{port}/") as answer:
                    return answer.status == 200

            await eventually(served, 5, "a page is served")


async def test_a_page_that_is_only_looked_at_keeps_its_websocket(port: int) -> None:
    async with ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/") as page:
        await asyncio.sleep(1.0)
        await page.send_str("still here")
        answer = await page.receive(timeout=5)
    assert (answer.type, answer.data) == (WSMsgType.TEXT, "still here")
