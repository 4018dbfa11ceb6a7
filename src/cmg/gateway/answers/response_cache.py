"""The exact response cache: the same key, path and body within a time get the same answer, at no cost."""

from hashlib import sha256

import msgspec

from cmg.gateway.answers.stored import Stored
from cmg.storage.cache import Cache

_BODY_BYTES_MAX = 2**20
_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Stored)


class ResponseCache:
    """For keys that ask for it (`response_cache_s`); what it forgets is only asked for again."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache

    async def get(self, key_id: str, path: str, body: bytes) -> Stored | None:
        """The answer that this API key got to the same bytes. Never raises."""
        value = await self._cache.get(_name(key_id, path, body))
        if value is None:
            return None
        try:
            return _decoder.decode(value)
        except (msgspec.DecodeError, msgspec.ValidationError):
            return None  # of another release, or nothing of ours

    async def put(self, key_id: str, path: str, body: bytes, stored: Stored, ttl_s: float) -> None:
        """Keep an answer of at most 1 MB for `ttl_s` seconds. Never raises."""
        if ttl_s > 0 and len(stored.body) <= _BODY_BYTES_MAX:
            await self._cache.set(_name(key_id, path, body), _encode(stored), ttl_s)


def _name(key_id: str, path: str, body: bytes) -> str:
    # Neither an id nor a path of ours holds a zero byte, so no two calls make one name.
    return "response:" + sha256(b"\0".join((key_id.encode(), path.encode(), body))).hexdigest()
