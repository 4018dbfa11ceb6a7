"""One cache, two stores: what is true of both, then the bounds of one and the absence of the other."""

import pytest

from cmg.kit.clock import SystemClock
from cmg.storage.cache import Cache
from support.redis_server import RedisServer


@pytest.fixture(params=["process", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
async def cache(request):
    """Each kind in turn."""
    one = Cache(request.getfixturevalue("redis_url") if request.param == "redis" else None)
    yield one
    await one.close()


async def test_value_is_found_until_it_is_deleted(cache):
    assert await cache.get("k") is None
    await cache.set("k", b"\x00value", 60)
    assert await cache.get("k") == b"\x00value"
    await cache.set("k", b"other", 60)
    assert await cache.get("k") == b"other"
    await cache.delete("k")
    await cache.delete("k")
    assert await cache.get("k") is None


async def test_value_too_large_is_not_kept(cache):
    await cache.set("k", bytes(9 * 2**20), 60)
    assert await cache.get("k") is None


async def test_value_ends_with_its_time(clock):
    cache = Cache(None, clock=clock)
    await cache.set("k", b"v", 10)
    clock.advance(9.9)
    assert await cache.get("k") == b"v"
    clock.advance(0.2)
    assert await cache.get("k") is None


async def test_memory_is_bounded_in_bytes_and_the_least_used_goes_first(clock):
    cache = Cache(None, clock=clock, max_bytes=100_000)
    for n in range(50):
        await cache.set(f"k{n}", bytes(10_000), 60)
        await cache.get("k0")
    kept = [n for n in range(50) if await cache.get(f"k{n}") is not None]
    assert kept == [0, *range(42, 50)]


@pytest.mark.needs("redis-server")
async def test_redis_away_means_misses_and_recovery_by_itself(clock, instruments):
    server = RedisServer()
    server.start()
    cache = Cache(server.url, clock=clock, instruments=instruments)
    await cache.set("k", b"v", 60)
    server.kill()
    assert await cache.get("k") is None
    await cache.set("k", b"v", 60)
    await cache.delete("k")
    assert instruments.series("cmg_cache_requests_total", "away")._value.get() >= 3
    server.start()
    clock.advance(1.1)
    await cache.set("k", b"new", 60)
    assert await cache.get("k") == b"new"
    await cache.close()
    server.close()


async def test_nobody_at_the_address_is_no_error():
    cache = Cache("redis://127.0.0.1:1/0", clock=SystemClock())
    await cache.set("k", b"v", 1)
    assert await cache.get("k") is None
    await cache.close()


async def test_memory_evictions_and_times_are_told(clock, instruments):
    cache = Cache(None, clock=clock, max_bytes=100_000, instruments=instruments)
    for n in range(12):
        await cache.set(f"k{n}", bytes(10_000), 60)
    await cache.get("k11")
    shown = instruments.registry.get_sample_value
    assert shown("cmg_cache_evictions_total") == 3
    assert 90_000 < shown("cmg_cache_memory_bytes") <= 100_000
    assert shown("cmg_cache_memory_limit_bytes") == 100_000
    assert shown("cmg_cache_operation_duration_seconds_count", {"operation": "set"}) == 12
    assert shown("cmg_cache_operation_duration_seconds_count", {"operation": "get"}) == 1


@pytest.mark.needs("redis-server")
async def test_what_redis_says_of_its_memory_is_told(redis_url, instruments):
    cache = Cache(redis_url, instruments=instruments)
    await cache.look()
    assert instruments.registry.get_sample_value("cmg_cache_memory_bytes") > 100_000
    assert instruments.registry.get_sample_value("cmg_cache_evictions_total") == 0
    await cache.close()
