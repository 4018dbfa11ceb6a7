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
    await asyncio.sleep(0)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):  # fewer than open a breaker
            assert (await gateway.call(stream=stream)).status == 200
        await asyncio.sleep(0)
        assert gc.collect() == 0
    finally:
        gc.enable()
