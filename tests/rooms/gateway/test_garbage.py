"""What a call held is let go at its end: the collector looks rarely, and a body may be megabytes."""

import asyncio
import gc

import pytest

from cmg.gateway.upstreams.transport import Truncated
from support.gateway_calls import GatewayCalls
from support.scripted_transport import STOP, Script, chunk

SSE = {"content-type": "text/event-stream"}
WHOLE = Script([b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}]}'])
STREAM = Script([chunk({"content": "Hi"}), STOP, b"data: [DONE]\n\n"], headers=SSE)
CUT = Script([chunk({"content": "Hi"}), Truncated("gone")], headers=SSE)


@pytest.mark.parametrize("script", [WHOLE, STREAM, CUT], ids=["whole", "stream", "cut"])
async def test_a_call_leaves_nothing_to_the_collector(gateway: GatewayCalls, script: Script):
    stream = script is not WHOLE
    gateway.transport.script("one", script)
    await gateway.call(stream=stream)  # what is made once is made now
    left = [await _left(gateway, stream=stream)]
    while left[-1] and len(left) < 3:  # of something else that ended meanwhile; a call's own comes again
        left.append(await _left(gateway, stream=stream))
    assert left[-1] == 0, left


async def _left(gateway: GatewayCalls, *, stream: bool) -> int:
    """How many objects a call left in circles."""
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        assert (await gateway.call(stream=stream)).status == 200
        await asyncio.sleep(0)
        return gc.collect()
    finally:
        gc.enable()
