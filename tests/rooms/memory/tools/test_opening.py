"""The protocol's library is loaded when the first agent asks, and nobody who asks meanwhile is lost."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cmg.memory.tools import opening
from cmg.memory.tools.calls import Tools
from cmg.memory.tools.opening import LateEndpoint

BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).encode()
HEADERS = [(b"content-type", b"application/json"), (b"accept", b"application/json, text/event-stream")]


async def ask(endpoint: LateEndpoint, method: str = "POST") -> tuple[int, dict[str, Any]]:
    """One request to list the tools: (status, answer)."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: Any = {"type": "http", "method": method, "path": "/mcp", "query_string": b"", "headers": HEADERS}
    await endpoint(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent[1:]))


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[LateEndpoint]:
    """An endpoint whose tools are only listed."""
    unused: Any = None
    endpoint = LateEndpoint(Tools(unused, unused), 10_000)
    work = asyncio.create_task(endpoint.run())
    yield endpoint
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


async def test_who_asks_while_it_is_loaded_is_answered_too() -> None:
    async with running() as endpoint:
        answers = await asyncio.gather(*(ask(endpoint) for _ in range(5)))
    assert [status for status, _ in answers] == [200] * 5
    assert {len(answer["result"]["tools"]) for _, answer in answers} == {7}


async def test_a_wrong_method_is_told_so_at_first_too() -> None:
    async with running() as endpoint:
        assert (await ask(endpoint, "GET"))[0] == 405


async def test_what_is_not_there_in_time_is_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_OPEN_S", 0.05)
    unused: Any = None
    status, answer = await ask(LateEndpoint(Tools(unused, unused), 10_000))  # nobody runs it
    assert (status, answer["error"]["code"]) == (503, "unavailable")
