"""Stream load: `--concurrency` connections, each starting its next stream when the last ended. One JSON line.

    python streams.py --url http://127.0.0.1:8000 --key cmg_… --concurrency 200 --total 1000 --ramp-s 0.6

The starts are spread over `--ramp-s`, so that the time to first byte is that of steady streams, not of 200 calls in
one instant. A stream counts as good when it is a 200 that ended with `[DONE]` and a clean end.
"""

import argparse
import asyncio
import json
import time
from typing import cast
from urllib.parse import urlsplit

import uvloop


class Client(asyncio.Protocol):
    """One connection. `run` sends one request and returns (time to first body byte, whole time) in ms."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.transport: asyncio.Transport | None = None
        self.done: asyncio.Future[tuple[float, float]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.done is not None and not self.done.done():
            self.done.set_exception(error or ConnectionError("closed in the stream"))

    def run(self) -> "asyncio.Future[tuple[float, float]]":
        """Send the request; the future is done at the stream's end."""
        if self.transport is None:
            raise ConnectionError("closed before the request")
        self.head, self.tail, self.first = b"", b"", 0.0
        self.done = asyncio.get_running_loop().create_future()
        self.started = time.perf_counter()
        self.transport.write(self.request)
        return self.done

    def data_received(self, data: bytes) -> None:
        if not self.first:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0 or len(self.head) == end + 4:
                return
            self.first, data = time.perf_counter(), self.head[end + 4 :]
        self.tail = (self.tail + data)[-64:]
        if self.tail.endswith(b"0\r\n\r\n") and self.done is not None and not self.done.done():
            if not self.head.startswith(b"HTTP/1.1 200") or b"[DONE]" not in self.tail:
                self.done.set_exception(RuntimeError(f"bad stream: {self.head[:200]!r} … {self.tail!r}"))
                return
            now = time.perf_counter()
            self.done.set_result(((self.first - self.started) * 1e3, (now - self.started) * 1e3))


def request_bytes(url: str, key: str, model: str) -> bytes:
    """The HTTP request of one streamed call."""
    filler = "You are a careful assistant. Answer in two sentences and name your sources. " * 10
    messages = [{"role": "system", "content": filler}, {"role": "user", "content": "What did we decide yesterday?"}]
    body = json.dumps(
        {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    ).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(url).netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Run all streams; medians in ms."""
    place, request = urlsplit(arguments.url), request_bytes(arguments.url, arguments.key, arguments.model)
    loop, left, errors = asyncio.get_running_loop(), arguments.total, 0
    firsts: list[float] = []
    wholes: list[float] = []

    async def worker(number: int) -> None:
        nonlocal left, errors
        await asyncio.sleep(arguments.ramp_s * number / arguments.concurrency)
        client = Client(request)
        while left > 0:
            left -= 1
            try:
                if client.transport is None:
                    _, client = await loop.create_connection(lambda: Client(request), place.hostname, place.port)
                first, whole = await asyncio.wait_for(client.run(), 60)
                firsts.append(first)
                wholes.append(whole)
            except (OSError, RuntimeError, TimeoutError) as error:
                errors += 1
                if errors == 1:
                    print(f"first error: {error!r}", flush=True)
                if client.transport is not None:
                    client.transport.abort()
                client = Client(request)

    started = time.perf_counter()
    await asyncio.gather(*(worker(number) for number in range(arguments.concurrency)))
    firsts.sort()
    wholes.sort()
    middle, late = len(firsts) // 2, int(len(firsts) * 0.99)
    return {
        "streams": len(firsts),
        "seconds": time.perf_counter() - started,
        "errors": errors,
        "ttfb_p50_ms": firsts[middle] if firsts else 0.0,
        "ttfb_p99_ms": firsts[late] if firsts else 0.0,
        "total_p50_ms": wholes[middle] if wholes else 0.0,
    }


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", default="x")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--total", type=int, default=400)
    parser.add_argument("--ramp-s", type=float, default=0.0)
    print("JSON " + json.dumps(uvloop.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
