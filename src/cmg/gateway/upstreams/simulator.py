"""The built-in simulator: a `Transport` that answers `sim/*` models in this process, without any network.

Its behaviour is fixed, so that a first call, a demonstration and a test need no account and no key:
`sim/echo` repeats the last user message, `sim/memory` tells the memories it was given, `sim/fail-503` is always
overloaded, `sim/slow` takes its time, `sim/cut` breaks off half-way, `sim/embed` makes vectors.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from cmg.gateway.upstreams.simulated import (
    SIMULATOR_MODELS,
    ChatRequest,
    EmbeddingRequest,
    Refusal,
    chat_answer,
    chat_events,
    embedding_answer,
    refusal_of,
)
from cmg.gateway.upstreams.transport import BadResponse, FirstByteTimeout, Timeouts, Truncated
from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7_hex

__all__ = ["SIMULATOR_MODELS", "SimulatorTransport"]

_JSON = {"content-type": "application/json"}
_EVENTS = {"content-type": "text/event-stream"}
_SLOW_FIRST_S = 1.0
_SLOW_PIECE_S = 0.02
_chat = msgspec.json.Decoder(ChatRequest)
_MISSING = re.compile(r"^(?:Object missing required field `([^`]+)`|.*)$", re.DOTALL)
R = TypeVar("R")
_embedding = msgspec.json.Decoder(EmbeddingRequest)


class SimulatorTransport:
    """See `Transport`. Only a URL's last path segments count: `/chat/completions`, `/embeddings`, `/models`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limits: Timeouts
    ) -> "SimulatorResponse":
        """Answer as an OpenAI-compatible API does, errors included; the headers are not looked at."""
        del headers
        path = urlsplit(url).path
        try:
            if method == "GET" and path.endswith("/models"):
                return _whole(200, {"object": "list", "data": SIMULATOR_MODELS})
            if method == "POST" and path.endswith("/chat/completions"):
                return await self._complete(_decoded(_chat, body), limits)
            if method == "POST" and path.endswith("/embeddings"):
                return _whole(200, embedding_answer(_decoded(_embedding, body)))
        except Refusal as refusal:
            return _whole(refusal.status, refusal.body)
        return _whole(404, Refusal(404, f"there is no {method} {path} here").body)

    async def close(self) -> None:
        """Nothing is open."""

    async def _complete(self, request: ChatRequest, limits: Timeouts) -> "SimulatorResponse":
        refusal = refusal_of(request)
        if refusal is not None:
            raise refusal
        kind = request.kind
        if kind == "slow":
            await self._patience(_SLOW_FIRST_S, limits)
        number, created = uuid7_hex(), int(self._clock.time())
        if not request.stream:
            answer = msgspec.json.encode(chat_answer(request, number, created))
            return SimulatorResponse(
                200, _JSON, _cut([answer[: len(answer) // 2]]) if kind == "cut" else _plain([answer])
            )
        events = chat_events(request, number, created)
        if kind == "cut":
            return SimulatorResponse(200, _EVENTS, _cut(events[: max(2, len(events) // 2)]))
        if kind == "slow":
            return SimulatorResponse(200, _EVENTS, self._slowly(events))
        return SimulatorResponse(200, _EVENTS, _plain(events))

    async def _patience(self, seconds: float, limits: Timeouts) -> None:
        await self._clock.sleep(min(seconds, limits.first_byte_s, limits.total_s))
        if seconds > min(limits.first_byte_s, limits.total_s):
            raise FirstByteTimeout("the simulator is slow on purpose")

    async def _slowly(self, events: list[bytes]) -> AsyncIterator[bytes]:
        for event in events:
            await self._clock.sleep(_SLOW_PIECE_S)
            yield event


class SimulatorResponse:
    """See `UpstreamResponse`."""

    def __init__(self, status: int, headers: Mapping[str, str], pieces: AsyncIterator[bytes]) -> None:
        self.status, self.headers, self._pieces = status, headers, pieces
        self._closed = False

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        parts, size = [], 0
        async for piece in self.chunks():
            size += len(piece)
            if size > limit:
                raise BadResponse(f"the answer is larger than {limit} bytes")
            parts.append(piece)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces, with a turn of the event loop between them."""
        async for piece in self._pieces:
            if self._closed:
                raise Truncated("the answer was closed before its end")
            yield piece
            await asyncio.sleep(0)

    def close(self) -> None:
        """Be done with it."""
        self._closed = True


async def _plain(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _cut(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise Truncated("the simulator breaks off on purpose")


def _whole(status: int, value: object) -> SimulatorResponse:
    return SimulatorResponse(status, _JSON, _plain([msgspec.json.encode(value)]))


def _decoded(decoder: "msgspec.json.Decoder[R]", body: bytes) -> R:
    """The request, or the 400 that names the field."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or _MISSING.sub(r"\1", what)
        raise Refusal(400, f"invalid request: {error}", param=field or None) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, f"the request's body is not JSON: {error}") from error
