"""CPU per call of the gateway's transport beside aiohttp's client, on the bench's mock upstream.

    python tests/bench/transport_bench.py [--rounds 5] [--calls 20000]

The client runs in this process, pinned to a core of its own, the mock on the other; only CPU seconds of this process
are counted, so a busy machine blurs the figures little. Rounds take turns; medians are shown.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench.sides import GATEWAY_CORE, mock_upstream
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.transport import Timeouts

LIMITS = Timeouts(connect_s=5, first_byte_s=30, idle_s=30, total_s=600)
HEADERS = {"authorization": "Bearer x", "content-type": "application/json", "traceparent": "00-" + "a" * 52}
MESSAGES = '"messages":[{"role":"user","content":"' + "A question of some length. " * 30 + '"}]}'
PLAIN = ('{"model":"bench",' + MESSAGES).encode()
STREAM = ('{"model":"bench","stream":true,' + MESSAGES).encode()
Call = Callable[[bytes], Awaitable[int]]


async def ours(url: str) -> tuple[Call, Call, Callable[[], Awaitable[None]]]:
    """A plain call and a stream through `HttpTransport`: they give the bytes they got."""
    transport = HttpTransport()

    async def plain(body: bytes) -> int:
        return len(await (await transport.request("POST", url, HEADERS, body, LIMITS)).read(2**20))

    async def stream(body: bytes) -> int:
        response = await transport.request("POST", url, HEADERS, body, LIMITS)
        return sum([len(chunk) async for chunk in response.chunks()])

    return plain, stream, transport.close


async def theirs(url: str) -> tuple[Call, Call, Callable[[], Awaitable[None]]]:
    """The same through a bare aiohttp session, with the limits it has of its own."""
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=4096, keepalive_timeout=60),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=600, sock_connect=5, sock_read=30),
    )

    async def plain(body: bytes) -> int:
        async with session.post(url, headers=HEADERS, data=body) as response:
            return len(await response.read())

    async def stream(body: bytes) -> int:
        async with session.post(url, headers=HEADERS, data=body) as response:
            return sum([len(chunk) async for chunk in response.content.iter_any()])

    return plain, stream, session.close


async def load(call: Call, body: bytes, calls: int, concurrency: int) -> float:
    """CPU µs per call of this process."""

    async def worker(count: int) -> None:
        for _ in range(count):
            if not await call(body):
                raise RuntimeError("an empty answer")

    await asyncio.gather(*(worker(20) for _ in range(concurrency)))
    before = time.process_time()
    await asyncio.gather(*(worker(calls // concurrency) for _ in range(concurrency)))
    return (time.process_time() - before) * 1e6 / calls


async def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=20_000)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {GATEWAY_CORE})
    found: dict[tuple[str, str], list[float]] = {}
    with mock_upstream() as port:
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        sides = {"own transport": await ours(url), "aiohttp": await theirs(url)}
        for _ in range(arguments.rounds):
            for name, (plain, stream, _) in sides.items():
                for label, call, body, calls, many in (
                    ("plain, 1 at a time", plain, PLAIN, arguments.calls // 4, 1),
                    ("plain, 32 at a time", plain, PLAIN, arguments.calls, 32),
                    ("stream of 50 chunks, 32 at a time", stream, STREAM, arguments.calls // 8, 32),
                ):
                    found.setdefault((label, name), []).append(await load(call, body, calls, many))
        for _, _, close in sides.values():
            await close()
    print("| CPU µs per call | " + " | ".join(sides) + " |\n| --- | --- | --- |")
    for label in dict.fromkeys(label for label, _ in found):
        print(f"| {label} | " + " | ".join(f"{statistics.median(found[label, name]):.0f}" for name in sides) + " |")


if __name__ == "__main__":
    uvloop.run(main())
