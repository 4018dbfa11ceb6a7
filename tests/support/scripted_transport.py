"""A `Transport` that answers from scripts: every piece, pause and failure at exactly the place a test wants."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cmg.gateway.upstreams.transport import BadResponse, Timeouts

Step = bytes | Exception | float


@dataclass(frozen=True)
class Script:
    """One answer. `steps`: bytes come, an exception is raised, a number is a pause in seconds; then the body ends.

    `refused` is raised instead of an answer; `pause_s` passes before the head.
    """

    steps: Sequence[Step] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    refused: Exception | None = None
    pause_s: float = 0.0


@dataclass
class Asked:
    """A request as it came, and its answer. `closed`: the answer was closed before its end was read."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    closed: bool = False
    ended: bool = False
    cancelled: bool = False

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)


class ScriptedTransport:
    """`scripts` by "host model": answers in order, the last one repeats."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._scripts: dict[tuple[str, str], list[Script]] = {}

    def script(self, host: str, *scripts: Script, model: str = "m") -> None:
        """Answer calls to a host for a model with these."""
        self._scripts[host, model] = list(scripts)

    def to(self, host: str) -> list[Asked]:
        """The requests that reached a host."""
        return [one for one in self.asked if one.url.startswith(f"http://{host}/")]

    async def request(
        self, _method: str, url: str, headers: Mapping[str, str], body: bytes, _limits: Timeouts
    ) -> "ScriptedResponse":
        """See `Transport.request`."""
        asked = Asked(url, dict(headers), body)
        self.asked.append(asked)
        scripts = self._scripts[url.split("/")[2], asked.json["model"]]
        script = scripts.pop(0) if len(scripts) > 1 else scripts[0]
        try:
            await asyncio.sleep(script.pause_s)
        except asyncio.CancelledError:
            asked.cancelled = True
            raise
        if script.refused is not None:
            raise script.refused
        return ScriptedResponse(script, asked)

    async def close(self) -> None:
        """See `Transport.close`."""


class ScriptedResponse:
    """See `UpstreamResponse`."""

    def __init__(self, script: Script, asked: Asked) -> None:
        self.status, self.headers, self._asked = script.status, script.headers, asked
        self._steps = list(script.steps)

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        parts = [piece async for piece in self.chunks()]
        if sum(map(len, parts)) > limit:
            raise BadResponse("too large")
        return b"".join(parts)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces."""
        return self

    def __aiter__(self) -> "ScriptedResponse":
        return self

    async def __anext__(self) -> bytes:
        try:
            while self._steps:
                step = self._steps.pop(0)
                if isinstance(step, Exception):
                    raise step
                await asyncio.sleep(step if isinstance(step, float) else 0)
                if isinstance(step, bytes):
                    return step
        except asyncio.CancelledError:
            self._asked.cancelled = True
            raise
        self._asked.ended = True
        raise StopAsyncIteration

    def close(self) -> None:
        """Be done."""
        self._asked.closed = self._asked.closed or not self._asked.ended


def chunk(delta: Mapping[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """One `chat.completion.chunk` event with one choice (or `choices=`)."""
    choices = [{"index": fields.pop("index", 0), "delta": delta or {}, "finish_reason": finish}]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": fields.pop("model", "m")}
    return b"data: " + json.dumps({**head, "choices": choices, **fields}).encode() + b"\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk(finish="stop")
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "cost": 0.25}
USAGE_EVENT = chunk(choices=[], usage=USAGE)
EVENTS = {"content-type": "text/event-stream"}


def text(*pieces: str, index: int = 0) -> list[bytes]:
    """Content events."""
    return [chunk({"content": piece}, index=index) for piece in pieces]


def stream(*steps: Step) -> Script:
    """A streamed answer of these steps."""
    return Script(steps, headers=EVENTS)


def good(*pieces: str) -> Script:
    """A whole stream."""
    return stream(ROLE, *text(*pieces), STOP, USAGE_EVENT, DONE)


def whole(content: Any = "hello", usage: Any = USAGE, **fields: Any) -> Script:
    """A whole completion that is not streamed."""
    message = {"role": "assistant", "content": content}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = {"id": "c", "object": "chat.completion", "model": "m", "choices": choices, "usage": usage, **fields}
    return Script([json.dumps(body).encode()])


def error(status: int, message: str = "scripted", code: Any = None, **headers: str) -> Script:
    """An error answer."""
    body = json.dumps({"error": {"message": message, "type": "t", "param": None, "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Script([body], status, {"content-type": "application/json", **named})
