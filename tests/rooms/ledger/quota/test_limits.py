"""Limits of one key on one machine: what passes, what is refused, and what the answer says."""

from collections.abc import Callable

import pytest

from cmg.kit.errors import BudgetExceeded, RateLimited
from cmg.ledger.quota.models import NOTHING, Demand
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from support.manual_clock import ManualClock

MakeDemand = Callable[..., Demand]


def _row(quota: SharedMemoryQuota) -> list[int]:
    """All numbers of the only row."""
    begin = quota._table.offset(0)
    return quota._table.words[begin : quota._table.offset(1)].tolist()


async def test_a_key_without_limits_touches_nothing(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    grant = await quota.acquire(demand(make_key()))
    assert grant is NOTHING
    assert grant.headers == []
    quota.settle(grant, 100, 100)
    assert quota._table.used == 0


async def test_requests_refill_evenly(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(rpm=10))
    for _ in range(10):
        quota.settle(await quota.acquire(asked), 0, 0)
    with pytest.raises(RateLimited) as refused:
        await quota.acquire(asked)
    assert refused.value.headers["Retry-After"] == "6"
    assert "10 requests per minute" in refused.value.message
    clock.advance(5.9)
    with pytest.raises(RateLimited):
        await quota.acquire(asked)
    clock.advance(0.1)
    await quota.acquire(asked)


async def test_burst_bounds_what_comes_at_once(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(rpm=60, burst=3))
    for _ in range(3):
        await quota.acquire(asked)
    with pytest.raises(RateLimited):
        await quota.acquire(asked)
    clock.advance(1)
    await quota.acquire(asked)


async def test_the_hour_holds_when_the_minute_would_not(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(rpm=10, rph=12))
    passed = 0
    for _ in range(30):
        try:
            await quota.acquire(asked)
            passed += 1
        except RateLimited as error:
            refused = error
        clock.advance(10)
    assert passed == 12
    assert "12 requests per hour" in refused.message


@pytest.mark.parametrize("name", ["rpm", "rph", "tpm", "concurrency"])
async def test_a_limit_of_zero_lets_nothing_through(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand, name: str
) -> None:
    with pytest.raises(RateLimited):
        await quota.acquire(demand(make_key(**{name: 0})))


async def test_concurrency_counts_calls_in_flight(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(concurrency=2))
    first, _ = await quota.acquire(asked), await quota.acquire(asked)
    with pytest.raises(RateLimited) as refused:
        await quota.acquire(asked)
    assert refused.value.code == "concurrency_limit_exceeded"
    quota.settle(first, 0, 0)
    quota.settle(first, 0, 0)  # a second time changes nothing
    await quota.acquire(asked)
    with pytest.raises(RateLimited):
        await quota.acquire(asked)


async def test_tokens_are_charged_as_estimated_and_corrected(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    key = make_key(tpm=600)
    quota.settle(await quota.acquire(demand(key, tokens=500)), 100, 0)  # 400 come back
    quota.settle(await quota.acquire(demand(key, tokens=500)), 700, 0)  # 200 more than the bucket had
    with pytest.raises(RateLimited) as refused:
        await quota.acquire(demand(key, tokens=10))
    assert refused.value.headers["Retry-After"] == "21"
    clock.advance(21)
    await quota.acquire(demand(key, tokens=10))


async def test_a_call_larger_than_the_bucket_goes_when_it_is_full(
    quota: SharedMemoryQuota, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    key = make_key(tpm=600)
    quota.settle(await quota.acquire(demand(key, tokens=100_000)), 1200, 0)
    with pytest.raises(RateLimited):
        await quota.acquire(demand(key, tokens=1))
    clock.advance(60.2)
    await quota.acquire(demand(key, tokens=1))


async def test_answers_tell_what_is_left(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    grant = await quota.acquire(demand(make_key(rpm=10, tpm=600), tokens=100))
    assert dict(grant.headers) == {
        b"x-ratelimit-limit-requests": b"10",
        b"x-ratelimit-remaining-requests": b"9",
        b"x-ratelimit-reset-requests": b"6s",
        b"x-ratelimit-limit-tokens": b"600",
        b"x-ratelimit-remaining-tokens": b"500",
        b"x-ratelimit-reset-tokens": b"10s",
    }


async def test_headers_of_a_refusal_say_that_nothing_is_left(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand, counted
) -> None:
    asked = demand(make_key(rpm=1))
    await quota.acquire(asked)
    with pytest.raises(RateLimited) as refused:
        await quota.acquire(asked)
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.value.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert counted("cmg_limit_refusals_total", reason="requests") == 1


async def test_the_tighter_of_two_request_limits_is_told(
    quota: SharedMemoryQuota, make_key, demand: MakeDemand
) -> None:
    headers = dict((await quota.acquire(demand(make_key(rpm=100, rph=5)))).headers)
    assert headers[b"x-ratelimit-limit-requests"] == b"5"
    assert headers[b"x-ratelimit-remaining-requests"] == b"4"


async def test_a_refused_call_consumes_nothing(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    key = make_key(usd=0.01, rpm=10, tpm=1000, concurrency=5)
    quota.settle(await quota.acquire(demand(key, tokens=100)), 100, 10_000_000)
    before = _row(quota)
    for _ in range(5):
        with pytest.raises(BudgetExceeded):
            await quota.acquire(demand(key, tokens=100))
    assert _row(quota) == before


async def test_a_changed_key_keeps_what_it_has_used(quota: SharedMemoryQuota, make_key, demand: MakeDemand) -> None:
    small, large = make_key(usd=0.01), make_key(usd=0.03, period="month")
    quota.settle(await quota.acquire(demand(small)), 1, 10_000_000)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(demand(small))
    quota.settle(await quota.acquire(demand(large, usd=0.02)), 1, 20_000_000)
    with pytest.raises(BudgetExceeded):
        await quota.acquire(demand(large))
