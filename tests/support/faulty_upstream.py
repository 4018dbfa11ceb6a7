"""An OpenAI-compatible upstream that fails on command, byte by byte, and remembers what it was asked.

It runs in a thread of its own. `script(model, plan, plan, …)` sets the answers of a model in order; the last one
repeats. A model without a script gets a good answer. Every request is kept in `calls`, with the time at which the
client went away before the answer was finished.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import httptools

from cmg.ledger import tokens
from support.faulty_plan import (
    Plan,
    chat_answer,
    chunk_of,
    embedding_answer,
    error_plan,
    message_of,
    tool_call_deltas,
    usage_of,
)

REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests", 503: "Service Unavailable"}


@dataclass
class Call:
    """One request as it came, and what became of it. Times are `time.monotonic()` seconds."""

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    finished_at: float | None = None
    disconnected_at: float | None = None
    pieces_sent: int = 0
    usage: dict[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def model(self) -> str | None:
        """The model asked for, when there is a body."""
        return self.json.get("model") if self.body else None


class FaultyUpstream:
    """The server and its control object. `url` ends in `/v1`; start and stop it, or use it as a context manager."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.models: list[dict[str, Any]] = [{"id": "m-listed", "object": "model", "created": 1, "owned_by": "tests"}]
        self.windows: dict[str, int] = {}  # model → tokens of a prompt that it takes at most
        self.default = Plan()
        self.silent = False  # every request is accepted and none answered
        self._scripts: dict[str, list[Plan]] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="faulty-upstream", daemon=True)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The base URL for a client or an `[[upstreams]]` table."""
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen on a free port of loopback; the same port again after a `stop_listening`."""
        if not self._thread.is_alive():
            self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)

    async def _listen(self) -> None:
        server = await self._loop.create_server(
            lambda: _Connection(self, self._connections), "127.0.0.1", self.port, backlog=512, reuse_address=True
        )
        self._server, self.port = server, server.sockets[0].getsockname()[1]

    def stop_listening(self) -> None:
        """Refuse new connections and close the open ones, until the next `start`."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    def stop(self) -> None:
        """Close everything and end the thread."""
        self.stop_listening()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def script(self, model: str, *plans: Plan) -> None:
        """Answer calls of `model` with these plans in order; the last one repeats."""
        with self._lock:
            self._scripts[model] = list(plans)

    def calls_of(self, model: str) -> list[Call]:
        """The calls that asked for `model`, in order."""
        return [call for call in list(self.calls) if call.body and call.model == model]

    def plan_of(self, model: str) -> Plan:
        """Take the next plan of a model."""
        with self._lock:
            plans = self._scripts.get(model)
            if not plans:
                return self.default
            return plans.pop(0) if len(plans) > 1 else plans[0]

    def record(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Call:
        """Keep a request."""
        with self._lock:
            call = Call(len(self.calls) + 1, method, path, headers, body, time.monotonic())
            self.calls.append(call)
            return call


class _Connection(asyncio.Protocol):
    """One client connection: httptools parses requests, one task answers each."""

    def __init__(self, upstream: FaultyUpstream, connections: set["_Connection"]) -> None:
        self.upstream, self.connections = upstream, connections
        self.parser = httptools.HttpRequestParser(self)
        self.call: Call | None = None
        self.task: asyncio.Task[None] | None = None
        self._reset_message()

    def _reset_message(self) -> None:
        self.url, self.headers, self.parts = b"", {}, []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.connections.discard(self)
        if self.call is not None and self.call.finished_at is None:
            self.call.disconnected_at = time.monotonic()
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        self.call = self.upstream.record(method, self.url.decode(), self.headers, b"".join(self.parts))
        self._reset_message()
        self.task = asyncio.get_running_loop().create_task(self._answer(self.call))

    def abort(self) -> None:
        """Close at once, with RST."""
        sock = self.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    async def _answer(self, call: Call) -> None:
        while self.upstream.silent:  # noqa: ASYNC110  set from another thread
            await asyncio.sleep(0.1)
        if call.method == "GET":
            self._send_json(call, Plan(), {"object": "list", "data": self.upstream.models})
            return
        request = call.json
        plan = self.upstream.plan_of(request.get("model", ""))
        if self.upstream.windows.get(call.model, 10**9) < tokens.count(json.dumps(request.get("messages"))):
            plan = error_plan(400, "This model's maximum context length is exceeded.", code="context_length_exceeded")
        if plan.delay_s:
            await asyncio.sleep(plan.delay_s)
        if plan.reset:
            call.finished_at = time.monotonic()
            self.abort()
        elif plan.body is not None or plan.error is not None:
            body = plan.body if plan.body is not None else json.dumps(plan.error).encode()
            self._send(call, plan, body)
        elif call.path.endswith("/embeddings"):
            answer = embedding_answer(plan, request)
            call.usage = answer["usage"]
            self._send_json(call, plan, answer)
        elif request.get("stream"):
            await self._stream(call, plan, request)
        else:
            await self._whole(call, plan, request)

    async def _whole(self, call: Call, plan: Plan, request: dict[str, Any]) -> None:
        answer = chat_answer(plan, request, call.number)
        call.usage = answer.get("usage", {})
        if plan.break_after is None:
            self._send_json(call, plan, answer)
            return
        body = json.dumps(answer).encode()
        self._head(plan, f"content-length: {len(body)}\r\n")
        self.transport.write(body[: len(body) // 2])
        await self._break(call, plan)

    async def _stream(self, call: Call, plan: Plan, request: dict[str, Any]) -> None:
        self._head(plan, "transfer-encoding: chunked\r\n", "text/event-stream")
        async for event in self._events(call, plan, request):
            for part in [event[i : i + 1] for i in range(len(event))] if plan.byte_by_byte else [event]:
                self.transport.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                if plan.byte_by_byte:
                    await asyncio.sleep(0)
            await asyncio.sleep(plan.chunk_delay_s)
        if not self.transport.is_closing():
            call.finished_at = time.monotonic()
            self.transport.write(b"0\r\n\r\n")

    async def _events(self, call: Call, plan: Plan, request: dict[str, Any]) -> AsyncIterator[bytes]:
        for _ in range(plan.comments):
            yield b": OPENROUTER PROCESSING\n\n"
        message, finish = message_of(plan, request)
        if message.get("tool_calls"):
            deltas = tool_call_deltas(request)
        else:
            deltas = [{"role": "assistant", "content": ""}] + [{"content": piece} for piece in plan.pieces]
        for place, delta in enumerate(deltas):
            if plan.break_after is not None and place == plan.break_after + 1:
                if plan.break_with == "error_event":
                    yield b'data: {"error":{"code":502,"message":"the model went away"}}\n\n'
                elif plan.break_with == "bad_json":
                    yield b'data: {"choices":[{"delta":{"content":"bro\n\n'
                if plan.break_with != "bad_json":
                    await self._break(call, plan)
                    return
            chunk = chunk_of(plan, request, call.number, delta)
            if plan.finish_in_last_piece and place == len(deltas) - 1:
                chunk["choices"][0]["finish_reason"] = finish
            yield _event(chunk)
            call.pieces_sent = place
        async for event in self._tail(call, plan, request, finish):
            yield event

    async def _tail(self, call: Call, plan: Plan, request: dict[str, Any], finish: str | None) -> AsyncIterator[bytes]:
        if finish is not None and not plan.finish_in_last_piece:
            chunk = chunk_of(plan, request, call.number, {})
            chunk["choices"][0]["finish_reason"] = finish
            yield _event(chunk)
        asked = (request.get("stream_options") or {}).get("include_usage")
        if plan.reports_usage and (asked or plan.usage_unasked):
            call.usage = usage_of(plan, request)
            yield _event({**chunk_of(plan, request, call.number, {}), "choices": [], "usage": call.usage})
        if plan.hang_s:
            await asyncio.sleep(plan.hang_s)
        if plan.done:
            yield b"data: [DONE]\n\n"

    async def _break(self, call: Call, plan: Plan) -> None:
        await asyncio.sleep(0.02)  # let what was written leave before the connection breaks
        if plan.break_with == "stall":
            await asyncio.sleep(3600)
        call.finished_at = time.monotonic()
        if plan.break_with == "reset":
            self.abort()
        elif plan.break_with == "close":
            self.transport.close()

    def _head(self, plan: Plan, length: str, kind: str = "application/json") -> None:
        reason = REASONS.get(plan.status, "Status")
        extra = "".join(f"{name}: {value}\r\n" for name, value in plan.headers)
        self.transport.write(f"HTTP/1.1 {plan.status} {reason}\r\ncontent-type: {kind}\r\n{extra}{length}\r\n".encode())

    def _send_json(self, call: Call, plan: Plan, value: Any) -> None:
        self._send(call, plan, json.dumps(value, ensure_ascii=False).encode())

    def _send(self, call: Call, plan: Plan, body: bytes) -> None:
        self._head(plan, f"content-length: {len(body)}\r\n")
        call.finished_at = time.monotonic()
        self.transport.write(body)


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def closed_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
