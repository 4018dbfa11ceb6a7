"""The cache, in this process or in Redis: what is put in must come out; and the Redis server itself."""

from collections.abc import Sequence

from cmg.health.looking import Look, Probe
from cmg.health.models import Component, Level, Reading
from cmg.kit.clock import Clock
from cmg.storage.cache import Cache

_SLOW_S = 0.1
_DEADLINE_S = 2.0
_NEARLY_ALL = 0.95


class CacheFault(Exception):
    """The cache, or Redis, did not do what it is for."""


def probe(cache: Cache, nowhere: Cache, clock: Clock, *, shared: bool) -> Probe:
    """`nowhere` is a cache in a Redis that does not exist; `shared`: the real one is in Redis."""
    component = Component(name="cache", kind="datastore" if shared else "component")
    return Probe(component, _look(cache, clock), (_look(nowhere, clock),))


def _look(cache: Cache, clock: Clock) -> Look:
    async def look() -> Sequence[Reading]:
        """Raises `CacheFault` and whatever Redis says."""
        started = clock.monotonic()
        await cache.check(str(started).encode())
        trip_s = clock.monotonic() - started
        slow = trip_s > _SLOW_S
        told = f"a value took {trip_s:.2f} s to go in and out" if slow else ""
        level = Level.DEGRADED if slow else Level.HEALTHY
        value = round(trip_s * 1000, 2)
        return [
            Reading(measurement="availability", value=True),
            Reading(measurement="responseTime", level=level, value=value, unit="ms", output=told),
        ]

    return look


def redis_probe(url: str, nowhere: str) -> Probe:
    """The server behind limits and cache; `nowhere` is a URL at which nobody answers."""
    return Probe(Component(name="redis", kind="datastore"), _server(url), (_server(nowhere),))


def _server(url: str) -> Look:
    import redis.asyncio  # noqa: PLC0415  not loaded without a Redis

    async def look() -> Sequence[Reading]:
        """Raises `CacheFault`."""
        client = redis.asyncio.from_url(url, socket_connect_timeout=_DEADLINE_S, socket_timeout=_DEADLINE_S)
        try:
            info = await client.info()
        except (redis.RedisError, OSError, TimeoutError) as error:
            raise CacheFault(f"Redis does not answer: {error or type(error).__name__}") from error
        finally:
            await client.aclose()
        return [Reading(measurement="availability", value=True), _role(info), _memory(info)]

    return look


def _role(info: dict[str, object]) -> Reading:
    role = str(info.get("role", "?"))
    if role == "master":
        return Reading(measurement="role", value=role)
    return Reading(measurement="role", level=Level.UNHEALTHY, value=role, output="this Redis takes no writes")


def _memory(info: dict[str, object]) -> Reading:
    used, most = int(str(info.get("used_memory", 0))), int(str(info.get("maxmemory", 0)))
    evicts = info.get("maxmemory_policy", "noeviction") != "noeviction"
    full = most > 0 and used > _NEARLY_ALL * most and not evicts
    told = f"{used} of {most} bytes are used and it evicts nothing: writes are refused soon" if full else ""
    level = Level.DEGRADED if full else Level.HEALTHY
    return Reading(measurement="memory", level=level, value=used, unit="bytes", output=told)
