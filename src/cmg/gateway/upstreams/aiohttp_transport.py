"""A `Transport` on aiohttp's client."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import MappingProxyType

import aiohttp

from cmg.gateway.upstreams.transport import (
    BadResponse,
    ConnectFailed,
    ConnectTimeout,
    FirstByteTimeout,
    Reset,
    Stalled,
    Timeouts,
    TotalTimeout,
    TransportError,
    Truncated,
)


class AiohttpTransport:
    """One client session: `connections` open at most, idle ones kept for `keepalive_s`. Build it inside the loop."""

    def __init__(self, *, connections: int = 4096, keepalive_s: float = 60) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=keepalive_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limits: Timeouts
    ) -> "AiohttpResponse":
        """See `Transport.request`. The first-byte limit starts with the connect limit here: their sum bounds both."""
        start = asyncio.get_running_loop().time()
        first_byte_at = start + limits.connect_s + limits.first_byte_s
        try:
            async with asyncio.timeout_at(min(first_byte_at, start + limits.total_s)):
                raw = await self._session.request(
                    method,
                    url,
                    headers={**headers, "accept-encoding": "identity"},
                    data=body or None,
                    allow_redirects=False,
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _named(error, limits, start) from error
        response = AiohttpResponse(raw, limits, start, first_byte_at)
        if response.headers.get("content-encoding", "identity") != "identity":
            raw.close()
            raise BadResponse("the upstream compressed its answer although identity was asked for")
        return response

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


class AiohttpResponse:
    """An answer whose head has come; see `UpstreamResponse`."""

    def __init__(self, raw: aiohttp.ClientResponse, limits: Timeouts, start: float, first_byte_at: float) -> None:
        self.status = raw.status
        joined: dict[str, str] = {}
        for name, value in raw.headers.items():
            low = name.lower()
            joined[low] = f"{joined[low]}, {value}" if low in joined else value
        self.headers: Mapping[str, str] = MappingProxyType(joined)
        self._raw, self._limits, self._start, self._first_byte_at = raw, limits, start, first_byte_at

    async def read(self, limit: int) -> bytes:
        """The whole body."""
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self._raw.close()
                raise BadResponse(f"the answer is larger than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come."""
        loop, total_at = asyncio.get_running_loop(), self._start + self._limits.total_s
        until, late = self._first_byte_at, FirstByteTimeout
        try:
            while True:
                async with asyncio.timeout_at(min(until, total_at)):
                    chunk = await self._raw.content.readany()
                if not chunk:
                    return
                yield chunk
                until, late = loop.time() + self._limits.idle_s, Stalled  # type: ignore[assignment]
        except TimeoutError as error:
            raise (TotalTimeout if loop.time() >= total_at else late)("nothing came in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Truncated(f"the answer ended early: {error}") from error
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back when the answer was read to its end, else close it."""
        if self._raw.content.at_eof():
            self._raw.release()
        else:
            self._raw.close()


def _named(error: Exception, limits: Timeouts, start: float) -> TransportError:
    """Our error for one of aiohttp's, raised before the head was there."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ConnectTimeout(f"no connection within {limits.connect_s} s")
    if isinstance(error, TimeoutError):
        over = asyncio.get_running_loop().time() - start >= limits.total_s
        return (TotalTimeout if over else FirstByteTimeout)("no answer in time")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL):
        return ConnectFailed(str(error))
    if isinstance(error, aiohttp.ClientResponseError | aiohttp.ClientPayloadError | ValueError):
        return BadResponse(f"not an HTTP answer: {error}")
    return Reset(f"closed before the answer: {error}")
