"""A `Transport` that answers `GET /models` from a list, one entry a request, the last one for ever."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.gateway.upstreams.transport import BadResponse, Timeouts, TransportError

Entry = tuple[int, Any] | TransportError


class Listing:
    """See `UpstreamResponse`; only whole bodies."""

    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.headers, self._body = status, {"content-type": "application/json"}, body
        self.closed = False

    async def read(self, limit: int) -> bytes:
        """The body, when it keeps to the limit."""
        if len(self._body) > limit:
            raise BadResponse(f"the body has more than {limit} bytes")
        return self._body

    def close(self) -> None:
        """Remember it."""
        self.closed = True


class ListingTransport:
    """Entries are (status, body as bytes or anything JSON can say), or an error to raise; `asked` are the requests."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = list(entries)
        self.asked: list[tuple[str, str, Mapping[str, str], Timeouts]] = []
        self.responses: list[Listing] = []

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, limits: Timeouts
    ) -> Listing:
        """The next entry."""
        assert not body
        self.asked.append((method, url, headers, limits))
        entry = self.entries.pop(0) if len(self.entries) > 1 else self.entries[0]
        if isinstance(entry, TransportError):
            raise entry
        status, value = entry
        self.responses.append(Listing(status, value if isinstance(value, bytes) else msgspec.json.encode(value)))
        return self.responses[-1]

    async def close(self) -> None:
        """Nothing is open."""
