"""A fast fake upstream for the bench: answers are built once, so that the gateway under test is the slow part.

    python mock_upstream.py --port 9100 [--chunk-delay-ms 10]

Speaks just enough HTTP/1.1 for one request at a time on a connection; only for loopback.
"""

import argparse
import asyncio
import json
from typing import cast

import uvloop

USAGE = {"prompt_tokens": 220, "completion_tokens": 160, "total_tokens": 380, "cost": 0.00042}
TEXT = "A reply of some length that a model could have written about the question it was asked. " * 8
CHUNKS = 50
SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _whole(value: object) -> bytes:
    body = _json(value)
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chat_answer() -> bytes:
    """The whole answer to a plain call."""
    message = {"role": "assistant", "content": TEXT}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    base = {"id": "chatcmpl-bench", "object": "chat.completion", "created": 1700000000, "model": "bench"}
    return _whole({**base, "choices": [choice], "usage": USAGE})


def stream_events() -> list[bytes]:
    """`CHUNKS` content events, a usage event and `[DONE]`, one HTTP chunk each."""
    base = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1700000000, "model": "bench"}
    events = []
    for number in range(CHUNKS):
        finish = "stop" if number == CHUNKS - 1 else None
        choice = {"index": 0, "delta": {"content": f" token{number}"}, "finish_reason": finish}
        events.append({**base, "choices": [choice]})
    events.append({**base, "choices": [], "usage": USAGE})
    lines = [_chunk(b"data: " + _json(event) + b"\n\n") for event in events]
    return [*lines, _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]


class Mock(asyncio.Protocol):
    """One connection. Class attributes are set once by `main`."""

    answer = chat_answer()
    events = stream_events()
    chunk_delay_s = 0.0
    loop: asyncio.AbstractEventLoop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.buffer, self.open = cast("asyncio.Transport", transport), b"", True

    def connection_lost(self, _error: Exception | None) -> None:
        self.open = False

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        body = self.buffer[end + 4 :]
        place = head.find(b"content-length:")
        length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
        if place < 0 and b"transfer-encoding: chunked" in head:
            if not body.endswith(b"0\r\n\r\n"):
                return
        elif len(body) < length:
            return
        self.buffer = b""
        if b'"stream":true' in body or b'"stream": true' in body:
            self.transport.write(SSE_HEAD)
            self._send(0)
        else:
            self.transport.write(self.answer)

    def _send(self, number: int) -> None:
        if not self.open:
            return
        self.transport.write(self.events[number])
        if number + 1 == len(self.events):
            return
        if self.chunk_delay_s:
            self.loop.call_later(self.chunk_delay_s, self._send, number + 1)
        else:
            self.loop.call_soon(self._send, number + 1)


async def main() -> None:
    """Listen until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chunk-delay-ms", type=float, default=0)
    arguments = parser.parse_args()
    Mock.loop, Mock.chunk_delay_s = asyncio.get_running_loop(), arguments.chunk_delay_ms / 1000
    server = await Mock.loop.create_server(Mock, "127.0.0.1", arguments.port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
