"""Tries the service from outside, as a client would: a key of its own, a call through the gateway, its health."""

from datetime import timedelta
from typing import Any

import aiohttp

from cmg.config import Settings
from cmg.identity.keys import Keys
from cmg.identity.models import SYSTEM
from cmg.incidents.ports import ProbeFailed
from cmg.kit.clock import Clock, rfc3339
from cmg.kit.errors import CmgError
from cmg.kit.ids import public_id

_TOTAL_S = 15.0
_LIFE = timedelta(minutes=5)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104  what it listens on, not a listening


class HttpProber:
    """Asks `status.url`, else the port of this machine. Each call makes a key, uses it, and revokes it."""

    def __init__(self, settings: Settings, keys: Keys, clock: Clock) -> None:
        self._keys, self._clock = keys, clock
        own = f"http://{_ANYWHERE.get(settings.host, settings.host)}:{settings.port}"
        self._base = (settings.status.url or own).rstrip("/")

    async def chat(self) -> float:
        """Seconds that a call of `sim/echo` took. Raises `ProbeFailed`."""
        try:
            made = await self._keys.create(SYSTEM, self._key())
        except CmgError as error:
            raise ProbeFailed(f"no key could be made for it: {error.message}") from error
        try:
            return await self._chat(made.presented)
        finally:
            await self._keys.revoke(SYSTEM, made.key.id)

    async def level(self) -> str:
        """The level that `/health` tells. Raises `ProbeFailed`."""
        _, body = await self._ask("GET", "/health")
        level = body.get("level")
        if not isinstance(level, str):
            raise ProbeFailed("the answer holds no level")
        return level

    def _key(self) -> dict[str, Any]:
        ends = rfc3339(self._clock.time() + _LIFE.total_seconds())
        return {"name": "incident check", "scopes": ["chat"], "memory": "off", "expires_at": ends}

    async def _chat(self, key: str) -> float:
        word = public_id()
        began = self._clock.monotonic()
        body = {"model": "sim/echo", "messages": [{"role": "user", "content": word}]}
        status, answer = await self._ask("POST", "/v1/chat/completions", key, body)
        if status != 200:
            raise ProbeFailed(f"the answer is {status}: {str(answer)[:200]}")
        try:
            told = answer["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError) as error:
            raise ProbeFailed("the answer is no chat completion") from error
        if told != word:
            raise ProbeFailed("the answer is not what was said")
        return self._clock.monotonic() - began

    async def _ask(self, method: str, path: str, key: str = "", body: Any = None) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = aiohttp.ClientTimeout(total=_TOTAL_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.request(method, self._base + path, json=body, headers=headers, allow_redirects=False) as answer,
            ):
                return answer.status, await answer.json(content_type=None)
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise ProbeFailed(f"{self._base} did not answer: {error or type(error).__name__}") from error
