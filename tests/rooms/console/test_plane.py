"""Answers that go on: lines as they come, refusals in the service's words, and an end for whoever leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cmg.console.plane import Plane, Refused, Visitor
from cmg.kit.asgi import Request, Send
from cmg.kit.errors import RateLimited

Answer = Callable[[Send], Awaitable[None]]


def _plane(answer: Answer) -> Plane:
    async def handle(request: Request, send: Send) -> None:
        assert (request.path, request.query()) == ("/tail", {"q": "a b"})
        await answer(send)

    return Plane(handle, Visitor("t" * 40, "192.0.2.1", "a browser"))


async def _begin(send: Send, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})


async def _body(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _all(plane: Plane) -> list[Any]:
    return [one async for one in plane.records("/tail", {"q": "a b"})]


async def test_lines_are_whole_however_the_answer_is_cut() -> None:
    async def answer(send: Send) -> None:
        await _begin(send)
        for piece in (b'{"a": ', b'1}\n\n{"a"', b": 2}\n", b'{"a": 3}\n{"a": 4}\n'):
            await _body(send, piece)

    assert await _all(_plane(answer)) == [{"a": number} for number in (1, 2, 3, 4)]


async def test_a_refusal_is_told_in_the_services_words() -> None:
    async def answer(_: Send) -> None:
        raise RateLimited("20 tails are open already; close one")

    with pytest.raises(Refused, match="20 tails are open") as refused:
        await _all(_plane(answer))
    assert refused.value.status == 429


async def test_what_breaks_off_is_refused_after_what_came() -> None:
    async def answer(send: Send) -> None:
        await _begin(send)
        await _body(send, b'{"a": 1}\n')
        raise LookupError("away")

    lines = _plane(answer).records("/tail", {"q": "a b"})
    assert await anext(lines) == {"a": 1}
    with pytest.raises(Refused, match="broke off") as refused:
        await anext(lines)
    assert refused.value.status == 503


async def test_whoever_leaves_ends_the_answer_and_nothing_piles_up() -> None:
    sent, ended = [0], asyncio.Event()

    async def answer(send: Send) -> None:
        await _begin(send)
        try:
            while True:
                await _body(send, b'{"a": 1}\n')
                sent[0] += 1
        finally:
            ended.set()

    lines = _plane(answer).records("/tail", {"q": "a b"})
    assert await anext(lines) == {"a": 1}
    await asyncio.sleep(0.05)
    assert sent[0] <= 20
    await lines.aclose()
    await asyncio.wait_for(ended.wait(), 5)
