"""Prometheus' HTTP API passed on to a real Prometheus, or whatever speaks as one."""

import asyncio

import aiohttp

from cmg.timeseries.api.answers import failure
from cmg.timeseries.api.parameters import Form

_TOTAL_S = 130.0  # Prometheus itself gives up after 120
_CONNECT_S = 5.0
_MOST_BYTES = 64 * 2**20
_AT_ONCE = 8  # answers in memory


class RemotePrometheus:
    """One client session. Build it inside the loop."""

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/")
        timeout = aiohttp.ClientTimeout(total=_TOTAL_S, sock_connect=_CONNECT_S)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._session = aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call; `endpoint` is the path after `/api/v1/`."""
        pairs = [(name, value) for name, values in form.items() for value in values]
        posted = endpoint in {"query", "query_range", "series", "labels", "format_query"}
        url = f"{self._base}/api/v1/{endpoint}"
        try:
            if posted:
                asked = self._session.post(url, data=aiohttp.FormData(pairs), allow_redirects=False)
            else:
                asked = self._session.get(url, params=pairs, allow_redirects=False)
            async with self._turns, asked as answer:
                return await _read(answer)
        except TimeoutError:
            return 503, failure("timeout", "the Prometheus of the settings did not answer in time")
        except aiohttp.ClientError as error:
            return 503, failure("unavailable", f"the Prometheus of the settings cannot be reached: {error}")

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()


async def _read(answer: aiohttp.ClientResponse) -> tuple[int, bytes]:
    """Its JSON as it is; anything else is told as an error."""
    if "json" not in answer.headers.get("content-type", ""):
        return 502, failure("bad_response", f"the Prometheus of the settings answered {answer.status} without JSON")
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > _MOST_BYTES:
            return 502, failure("bad_response", "the answer of the Prometheus of the settings is too large")
    return answer.status, bytes(body)
