"""Wherever the network cuts a stream into pieces, and wherever it breaks, the client's text is whole or honest."""

import asyncio
import itertools
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmg.gateway.upstreams.transport import Truncated
from support.gateway_calls import GatewayCalls, Reply
from support.scripted_transport import DONE, ROLE, STOP, USAGE_EVENT, Step, stream, text

WORDS = ["Grüße ", "🦊", " 東京", ' "naïve"', "\n\n", " data: x", "\\u00e9"]
ALL = "".join(WORDS)
GOOD = b"".join([ROLE, b": ping\n\n", *text(*WORDS), STOP, USAGE_EVENT, DONE])
OTHER = b"".join([ROLE, *text(*ALL), STOP, USAGE_EVENT, DONE])  # a character a time
CUTS = st.lists(st.integers(1, len(GOOD) - 1), max_size=12)


def _pieces(body: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(body) for cut in cuts} - {0}), len(body)]
    return [body[begin:end] for begin, end in itertools.pairwise(places)]


def _in_a_gateway(check: Callable[[GatewayCalls], Coroutine[Any, Any, None]]) -> None:
    async def run(folder: Path) -> None:
        gateway = GatewayCalls(folder)
        try:
            await check(gateway)
        finally:
            await gateway.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


def _honest(reply: Reply) -> None:
    """Either all of it, or a beginning and an error; never both, never neither."""
    assert reply.complete
    if reply.done:
        assert (reply.text, reply.errors) == (ALL, [])
    elif reply.status == 200:
        assert ALL.startswith(reply.text)
        assert len(reply.errors) == 1
        assert "[DONE]" not in reply.events
    else:
        assert reply.json["error"]["message"]


@settings(max_examples=40, deadline=None)
@given(CUTS, st.sampled_from([b"\n", b"\r\n"]))
def test_any_split_of_a_good_stream_gives_the_same_bytes(cuts: list[int], line_end: bytes) -> None:
    body = GOOD.replace(b"\n", line_end)

    async def check(gateway: GatewayCalls) -> None:
        gateway.transport.script("one", stream(*_pieces(body, cuts)))
        reply = await gateway.stream(stream_options={"include_usage": True})
        assert reply.body == body
        row = gateway.row()
        assert (row.status, row.completion_tokens, row.finish_reason) == ("ok", 3, "stop")

    _in_a_gateway(check)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1), CUTS, st.sampled_from([Truncated("cut"), None]))
@example(GOOD.index(b"}]}", GOOD.index(b"Gr")) + 3, [], None)  # a whole event without its blank line
def test_a_stream_broken_at_any_byte_is_never_a_success(at: int, cuts: list[int], how: Exception | None) -> None:
    async def check(gateway: GatewayCalls) -> None:
        steps: list[Step] = [*(_pieces(GOOD[:at], cuts) if at else [])]
        gateway.transport.script("one", stream(*steps, *([how] if how else [])))
        reply = await gateway.stream()
        _honest(reply)
        row = gateway.row()
        finished = (STOP if how else STOP.rstrip()) in GOOD[:at]
        assert (reply.done, row.status == "ok") == (finished, finished)
        assert row.status == "ok" or row.cost_origin == "estimate"

    _in_a_gateway(check)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(GOOD) - 1), CUTS, CUTS)
def test_a_stream_broken_at_any_byte_is_made_whole_by_who_says_the_same(
    at: int, cuts: list[int], other_cuts: list[int]
) -> None:
    async def check(gateway: GatewayCalls) -> None:
        steps: list[Step] = [*(_pieces(GOOD[:at], cuts) if at else [])]
        gateway.transport.script("one", stream(*steps, Truncated("cut")))
        gateway.transport.script("two", stream(*_pieces(OTHER, other_cuts)))
        reply = await gateway.stream(models=["two/m"])
        assert (reply.done, reply.text, reply.errors) == (True, ALL, [])
        assert gateway.row().status == "ok"

    _in_a_gateway(check)
