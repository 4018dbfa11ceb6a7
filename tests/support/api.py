"""A plain HTTP client for acceptance tests: what no SDK smooths over (bodies, headers, raw stream bytes)."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp


@dataclass
class Answer:
    """One whole answer. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The `error` object; fails when the body is not OpenAI's error shape."""
        value = self.json["error"]
        assert set(value) >= {"message", "type", "param", "code"}, value
        return dict(value)

    @property
    def text(self) -> str:
        """The assistant's text of a chat completion."""
        return str(self.json["choices"][0]["message"]["content"])


@dataclass
class Stream:
    """A finished SSE answer: the raw bytes, and how the connection ended (None: cleanly)."""

    status: int
    headers: dict[str, str]
    raw: bytes
    broken: Exception | None
    first_byte_s: float
    took_s: float

    @property
    def events(self) -> list[Any]:
        """Every event's data: JSON, or the text `[DONE]`."""
        found = []
        for block in self.raw.decode().replace("\r\n", "\n").split("\n\n"):
            data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
            if data:
                found.append(data if data == "[DONE]" else json.loads(data))
        return found

    @property
    def done(self) -> bool:
        """Whether the stream ended with `[DONE]`."""
        return bool(self.events) and self.events[-1] == "[DONE]"

    @property
    def text(self) -> str:
        """The content deltas of the first choice, joined."""
        chunks = [event for event in self.events if isinstance(event, dict) and event.get("choices")]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)

    @property
    def finish_reasons(self) -> list[str]:
        """The finish reasons sent."""
        chunks = [event for event in self.events if isinstance(event, dict) and event.get("choices")]
        return [c["choices"][0]["finish_reason"] for c in chunks if c["choices"][0].get("finish_reason")]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The in-band error events."""
        return [event["error"] for event in self.events if isinstance(event, dict) and "error" in event]


class Api:
    """Calls one service with one key. Use it as an async context manager."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, force_close=True)  # each call may reach another worker
        self.session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()

    def _headers(self, key: str | None, headers: dict[str, str] | None) -> dict[str, str]:
        own = {"content-type": "application/json"}
        if key != "":
            own["authorization"] = f"Bearer {key or self.key}"
        return {**own, **(headers or {})}

    async def request(
        self, method: str, path: str, body: Any = None, key: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """One call; `body` may be bytes (sent as they are) or a JSON value; `key` "" sends none."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        started = time.monotonic()
        async with self.session.request(
            method, self.url + path, data=data, headers=self._headers(key, headers), allow_redirects=False
        ) as r:
            raw = await r.read()
            found = {name.lower(): value for name, value in r.headers.items()}
            return Answer(r.status, found, raw, time.monotonic() - started)

    async def get(self, path: str, key: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """GET."""
        return await self.request("GET", path, None, key, headers)

    async def post(self, path: str, body: Any, key: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        """POST a JSON value or bytes."""
        return await self.request("POST", path, body, key, headers)

    async def chat(
        self, model: str, text: str = "Hello there", *, key: str | None = None, headers: Any = None, **fields: Any
    ) -> Answer:
        """A plain chat call with one user message (or `messages=`)."""
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        body = {"model": model, "messages": messages, **fields}
        return await self.post("/v1/chat/completions", body, key, headers)

    async def chunks(
        self, model: str, text: str = "Hello there", *, key: str | None = None, **fields: Any
    ) -> AsyncIterator[bytes]:
        """A streamed chat call as raw bytes; closing the generator hangs up."""
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        body = json.dumps({"model": model, "messages": messages, "stream": True, **fields}).encode()
        headers = self._headers(key, None)
        async with self.session.post(self.url + "/v1/chat/completions", data=body, headers=headers) as r:
            self.last_status = r.status
            async for chunk in r.content.iter_any():
                yield chunk

    async def stream(
        self, model: str, text: str = "Hello there", *, key: str | None = None, headers: Any = None, **fields: Any
    ) -> Stream:
        """A streamed chat call read to its end, however it ends."""
        messages = fields.pop("messages", [{"role": "user", "content": text}])
        body = json.dumps({"model": model, "messages": messages, "stream": True, **fields}).encode()
        started, first, raw, broken = time.monotonic(), 0.0, b"", None
        async with self.session.post(
            self.url + "/v1/chat/completions", data=body, headers=self._headers(key, headers)
        ) as r:
            found = {name.lower(): value for name, value in r.headers.items()}
            try:
                async for chunk in r.content.iter_any():
                    first = first or time.monotonic() - started
                    raw += chunk
            except aiohttp.ClientError as error:
                broken = error
            return Stream(r.status, found, raw, broken, first, time.monotonic() - started)
