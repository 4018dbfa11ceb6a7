"""A cache of bytes: in this process, bounded in bytes, or in Redis. A cache that is away only misses."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from cmg.kit.clock import Clock, SystemClock
from cmg.kit.ids import uuid7_hex
from cmg.telemetry.faults import Faults
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.totals import Totals
from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.trace import current

_DEADLINE_S = 0.25
_PAUSE_S = 1.0  # after a failure Redis is left alone for so long, so that not every call waits for the deadline
_CONNECTIONS = 32
_CHECK_S = 10.0
_WATCH_S = 15.0
_PREFIX = "cmg:cache:"
_ENTRY_BYTES = 200  # what an entry takes beside its key and value, about


class CacheLies(Exception):
    """What came out is not what was put in."""


class _Store(Protocol):
    away: tuple[type[Exception], ...]  # what it raises when it cannot be reached

    async def get(self, key: str) -> bytes | None: ...
    async def set(self, key: str, value: bytes, ttl_s: float) -> None: ...
    async def delete(self, key: str) -> None: ...
    async def close(self) -> None: ...


class Cache:
    """What may be lost at any moment, so nothing but what can be computed again; several processes share it by a URL.

    No method raises: a get that fails is a miss, a set or delete that fails is nothing. So what must vanish at once
    (a revoked key) does not belong here; a value lives at most `ttl_s` seconds. A value larger than an eighth of
    `max_bytes` is not kept. Counted in `cmg_cache_requests_total` by outcome: hit, miss, away, refused.
    """

    def __init__(
        self,
        url: str | None,
        *,
        clock: Clock | None = None,
        instruments: Instruments | None = None,
        max_bytes: int = 64 * 2**20,
        faults: Faults | None = None,
    ) -> None:
        self._faults = faults
        self._clock = clock or SystemClock()
        self._store: _Store = _InRedis(url) if url else _InProcess(self._clock, max_bytes, instruments)
        self._value_bytes_max = max_bytes // 8
        self._instruments = instruments
        self._evictions = Totals(instruments or Instruments())
        self._away_until_s = 0.0

    async def get(self, key: str) -> bytes | None:
        """The value, or None when there is none, it is too old, or the cache is away."""
        value, started = None, self._clock.monotonic()
        async with self._reaching("get") as reached:
            if reached:
                value = await self._store.get(key)
                self._count("miss" if value is None else "hit")
        self._mark(started, "get", "hit" if value is not None else "miss")
        return value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        """Keep a value for `ttl_s` seconds at most."""
        if len(value) > self._value_bytes_max:
            self._count("refused")
            return
        started = self._clock.monotonic()
        async with self._reaching("set") as reached:
            if reached:
                await self._store.set(key, value, ttl_s)
        self._mark(started, "set", "kept")

    async def delete(self, key: str) -> None:
        """Forget a value."""
        async with self._reaching("delete") as reached:
            if reached:
                await self._store.delete(key)

    async def watch(self) -> None:
        """Read the memory and the evictions of Redis for ever; a cache in this process tells of them as they change."""
        while True:
            with contextlib.suppress(*self._store.away):
                async with asyncio.timeout(_DEADLINE_S):
                    await self.look()
            await self._clock.sleep(_WATCH_S)

    async def look(self) -> None:
        """Read them once. Raises what Redis does."""
        if isinstance(self._store, _InRedis) and self._instruments is not None:
            told = await self._store.told()
            self._instruments.series("cmg_cache_memory_bytes").set(told["used_memory"])
            if told["maxmemory"]:
                self._instruments.series("cmg_cache_memory_limit_bytes").set(told["maxmemory"])
            self._evictions.reached(told["evicted_keys"], "cmg_cache_evictions_total")

    async def check(self, value: bytes) -> None:
        """Put a value in and take it out again; raises whatever kept it from that, and `CacheLies`."""
        key = f"check:{uuid7_hex()}"
        if self._down():
            raise ConnectionError("the cache is down: this is a drill")
        async with asyncio.timeout(_DEADLINE_S):
            await self._store.set(key, value, _CHECK_S)
            found = await self._store.get(key)
            await self._store.delete(key)
        if found != value:
            raise CacheLies("the cache gave another value than it was given")

    async def close(self) -> None:
        """Let connections go."""
        with contextlib.suppress(*self._store.away):
            async with asyncio.timeout(_DEADLINE_S):
                await self._store.close()

    @contextlib.asynccontextmanager
    async def _reaching(self, operation: str) -> AsyncIterator[bool]:
        """Yield whether the store is to be asked; swallow and count its failures."""
        started = self._clock.monotonic()
        if started < self._away_until_s or self._down():
            self._count("away")
            yield False
            return
        try:
            async with asyncio.timeout(_DEADLINE_S):
                yield True
            self._took(operation, self._clock.monotonic() - started)
        except self._store.away:
            self._away_until_s = self._clock.monotonic() + _PAUSE_S
            self._count("away")

    def _down(self) -> bool:
        return self._faults is not None and self._faults.on("cache_down")

    def _mark(self, started: float, operation: str, outcome: str) -> None:
        trace = current()
        if trace is not None:
            trace.add("cache", started, self._clock.monotonic(), {names.CACHE: operation, names.OUTCOME: outcome})

    def _count(self, outcome: str) -> None:
        if self._instruments is not None:
            self._instruments.series("cmg_cache_requests_total", outcome).inc()

    def _took(self, operation: str, seconds: float) -> None:
        if self._instruments is not None:
            self._instruments.series("cmg_cache_operation_duration_seconds", operation).observe(seconds)


class _InProcess:
    """The values least recently used go first when the bytes are used up."""

    away: tuple[type[Exception], ...] = (OSError, TimeoutError)

    def __init__(self, clock: Clock, max_bytes: int, instruments: Instruments | None) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._bytes = 0
        self._instruments = instruments
        if instruments is not None:
            instruments.series("cmg_cache_memory_limit_bytes").set(max_bytes)
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock.monotonic():
            await self.delete(key)
            return None
        self._entries.move_to_end(key)
        return entry[0]

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self.delete(key)
        self._entries[key] = (value, self._clock.monotonic() + ttl_s)
        self._bytes += len(key) + len(value) + _ENTRY_BYTES
        while self._bytes > self._max_bytes:
            await self.delete(next(iter(self._entries)))
            if self._instruments is not None:
                self._instruments.series("cmg_cache_evictions_total").inc()

    async def delete(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key) + len(entry[0]) + _ENTRY_BYTES
        if self._instruments is not None:
            self._instruments.series("cmg_cache_memory_bytes").set(self._bytes)

    async def close(self) -> None:
        self._entries.clear()
        self._bytes = 0


class _InRedis:
    """The server's own limits (`maxmemory`) bound it; every value has a time to live."""

    def __init__(self, url: str) -> None:
        import redis.asyncio  # noqa: PLC0415  10 MB, and a sixth of a second at the start of each process without one

        self.away: tuple[type[Exception], ...] = (redis.RedisError, OSError, TimeoutError)
        pool = redis.asyncio.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_DEADLINE_S,
            socket_timeout=None,  # else each send is a `wait_for`, which in Python 3.11 may swallow a cancellation
            socket_connect_timeout=_DEADLINE_S,
        )
        self._redis = redis.asyncio.Redis(connection_pool=pool)

    async def get(self, key: str) -> bytes | None:
        value = await self._redis.get(_PREFIX + key)
        return value if isinstance(value, bytes) else None

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        await self._redis.set(_PREFIX + key, value, px=max(int(ttl_s * 1000), 1))

    async def delete(self, key: str) -> None:
        await self._redis.delete(_PREFIX + key)

    async def told(self) -> Mapping[str, int]:
        """What the server says of its memory."""
        memory, stats = await self._redis.info("memory"), await self._redis.info("stats")
        return {**memory, **stats}

    async def close(self) -> None:
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()
