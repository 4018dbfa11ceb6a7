"""Calls to the simulator at a steady pace, with a key that is made for the drill and revoked after it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp

from cmg.config import Settings
from cmg.identity.keys import Keys
from cmg.identity.models import SYSTEM
from cmg.kit.clock import Clock, rfc3339

PER_SECOND = 10.0
KEY = "cmg drill"
_LIFE_S = 3 * 3600.0
_CALL = aiohttp.ClientTimeout(total=15)
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}  # noqa: S104  what it listens on, not a listening


def base_url(settings: Settings) -> str:
    """Where this machine answers."""
    scheme = "https" if settings.tls_certificate else "http"
    return f"{scheme}://{_ANYWHERE.get(settings.host, settings.host)}:{settings.port}"


class Load:
    """`model` is the one that is called from now on; None: nothing is."""

    def __init__(self, settings: Settings, keys: Keys, clock: Clock) -> None:
        self._url, self._keys, self._clock = f"{base_url(settings)}/v1/chat/completions", keys, clock
        self.model: str | None = None
        self.statuses: dict[int, int] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Call until this ends."""
        life = rfc3339(self._clock.time() + _LIFE_S)
        fields = {"name": KEY, "scopes": ["chat"], "memory": "off", "expires_at": life}
        made = await self._keys.create(SYSTEM, fields)
        headers = {"authorization": f"Bearer {made.presented}"}
        connector = aiohttp.TCPConnector(ssl=False)  # our own machine, by its address
        async with aiohttp.ClientSession(headers=headers, timeout=_CALL, connector=connector) as session:
            calling = asyncio.create_task(self._call_on(session))
            try:
                yield self
            finally:
                calling.cancel()
                await asyncio.gather(calling, return_exceptions=True)
                await self._keys.revoke(SYSTEM, made.key.id)

    async def _call_on(self, session: aiohttp.ClientSession) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                if self.model is not None:
                    tasks.create_task(self._call(session, self.model))
                await self._clock.sleep(1 / PER_SECOND)

    async def _call(self, session: aiohttp.ClientSession, model: str) -> None:
        body = {"model": model, "messages": [{"role": "user", "content": "drill"}]}
        status = 0  # nobody answered
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with session.post(self._url, json=body, allow_redirects=False) as answer:
                status = answer.status
        self.statuses[status] = self.statuses.get(status, 0) + 1
