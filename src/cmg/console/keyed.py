"""Calling the service's own API with a key that a person gave to a page: sessions open no data plane.

So the key's walls, limits, budget and ledger hold for what a page does with it, as for every other client. The key
stays in the page's memory, on the server, until the page is closed.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from cmg.console.plane import Query, Refused, refusal, words
from cmg.gateway.sse import EventTooLarge, SseParser

_DEADLINE_S = 120.0
_STREAM_S = 600.0
_CONNECT_S = 2.0
_MOST_BYTES = 64 * 1024 * 1024


class Stream:
    """An answer that comes in pieces: its headers, and what each of its events holds."""

    def __init__(self, answer: httpx.Response) -> None:
        self._answer = answer
        self.headers = dict(answer.headers)

    async def events(self) -> AsyncIterator[Any]:
        """Decoded, as they come. Raises `Refused` for an error among them, and for what is no such stream."""
        parser = SseParser()
        async for piece in self._answer.aiter_bytes():
            for event in parser.feed(piece):
                if event.comment or event.data == b"[DONE]":
                    continue
                told = msgspec.json.decode(event.data)
                if isinstance(told, dict) and told.get("error"):
                    raise refusal(502, event.data)
                yield told


class Keyed:
    """Calls with one key, to the gateway at `base_url`; `address` is the visitor's, for a key's allowed addresses."""

    def __init__(self, base_url: str, key: str, address: str) -> None:
        self._base_url = base_url
        self._headers = {"authorization": f"Bearer {key}", "x-forwarded-for": address}

    def __repr__(self) -> str:
        return f"Keyed({self._base_url})"

    async def json(
        self, method: str, path: str, body: Any = None, query: Query | None = None, headers: Query | None = None
    ) -> Any:
        """The decoded answer. Raises `Refused`."""
        content, _ = await self.text(method, path, body, query, headers)
        try:
            return msgspec.json.decode(content) if content else None
        except msgspec.DecodeError as error:
            raise Refused(502, f"{path} did not answer in JSON") from error

    async def text(
        self, method: str, path: str, body: Any = None, query: Query | None = None, headers: Query | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """The bytes of an answer, and its headers. Raises `Refused`, also for more than 64 MiB."""
        async with self._asked(method, path + words(query), body, headers) as answer:
            return await _read(answer), dict(answer.headers)

    @asynccontextmanager
    async def stream(self, path: str, body: Any, headers: Query | None = None) -> AsyncIterator[Stream]:
        """A POST that is answered by a stream. Leaving it ends the call. Raises `Refused`, also after ten minutes."""
        try:
            async with asyncio.timeout(_STREAM_S), self._asked("POST", path, body, headers) as answer:
                if answer.status_code >= 300:
                    await _read(answer)
                yield Stream(answer)
        except TimeoutError as error:
            raise Refused(504, f"the answer did not end within {_STREAM_S:.0f} seconds") from error
        except (msgspec.DecodeError, EventTooLarge) as error:
            raise Refused(502, f"{path} did not answer with a stream of events") from error

    @asynccontextmanager
    async def _asked(self, method: str, path: str, body: Any, headers: Query | None) -> AsyncIterator[httpx.Response]:
        sent: dict[str, Any] = {**self._headers}
        sent |= {name: str(value).encode() for name, value in (headers or {}).items() if value}
        content = None
        if body is not None:
            content, sent["content-type"] = msgspec.json.encode(body), "application/json"
        timeout = httpx.Timeout(_DEADLINE_S, connect=_CONNECT_S)
        try:
            async with (
                httpx.AsyncClient(base_url=self._base_url, timeout=timeout, trust_env=False) as client,
                client.stream(method, path, headers=sent, content=content) as answer,
            ):
                yield answer
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            raise Refused(503, f"the gateway did not answer ({type(error).__name__}); try again") from error


async def _read(answer: httpx.Response) -> bytes:
    pieces, size = [], 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > _MOST_BYTES:
            raise Refused(413, "this is more than 64 MiB; ask the API for it")
        pieces.append(piece)
    whole = b"".join(pieces)
    if answer.status_code >= 300:
        raise refusal(answer.status_code, whole)
    return whole
