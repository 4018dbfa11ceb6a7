"""Limits and budgets over two machines with a real Redis: exact while it is there, never open when it is not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis.asyncio

from cmg.identity.models import ApiKey
from cmg.kit.errors import BudgetExceeded, CmgError, RateLimited
from cmg.ledger.quota.cluster import upkeep
from cmg.ledger.quota.cluster.quota import RedisQuota
from cmg.ledger.quota.models import NOTHING, Demand, Grant
from cmg.ledger.quota.periods import Starts
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.telemetry.instruments import Instruments
from support.noon_clock import NoonClock
from support.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")
MakeDemand = Callable[..., Demand]
CENT = 10_000_000


class Ledger:
    """A `Seeder` over (time, nano-USD) records; `settle` tells both the quota and the ledger, as the gateway does."""

    def __init__(self) -> None:
        self.records: list[tuple[float, int]] = []
        self.away = False

    async def before(self, key: ApiKey, starts: Starts, until: float) -> tuple[int, int, int, int]:
        del key
        if self.away:
            raise ConnectionError("no database")
        sums = [sum(nano for at, nano in self.records if start <= at < until) for start in (*starts[:3], 0)]
        return sums[0], sums[1], sums[2], sums[3]

    def settle(self, quota: RedisQuota, grant: Grant, nano: int) -> None:
        self.records.append((NoonClock().time(), nano))
        quota.settle(grant, 1, nano)

    @property
    def spent(self) -> int:
        return sum(nano for _, nano in self.records)


def machine(folder: Path, url: str, ledger: Ledger | None = None, **options: int) -> RedisQuota:
    """A gateway process on a machine of its own."""
    seeder = ledger.before if ledger else None
    create_file(folder / "quota", slots=64, workers=2)
    local = SharedMemoryQuota(folder / "quota", 0, NoonClock(), Instruments(), seeder=seeder)
    return RedisQuota(url, local, NoonClock(), Instruments(), seeder=seeder, **options)


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110  # another process' state has no event
            await asyncio.sleep(0.02)


async def passed(quota: RedisQuota, demand: Demand) -> Grant | None:
    """A grant, or None when it was refused."""
    try:
        return await quota.acquire(demand)
    except CmgError:
        return None


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
async def pair(tmp_path: Path, redis_url: str, ledger: Ledger) -> AsyncIterator[list[RedisQuota]]:
    made = [machine(tmp_path / name, redis_url, ledger) for name in ("one", "other")]
    yield made
    for quota in made:
        await quota.close()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis to kill."""
    own = RedisServer()
    own.start()
    yield own
    own.close()


@pytest.fixture
async def mortal(tmp_path: Path, server: RedisServer, ledger: Ledger) -> AsyncIterator[list[RedisQuota]]:
    """Two machines on the Redis to kill, which know of each other."""
    made = [machine(tmp_path / name, server.url, ledger, machines=2) for name in ("one", "other")]
    yield made
    for quota in made:
        await quota.close()


async def _spread(pair: list[RedisQuota], demand: Demand, count: int) -> list[Grant | None]:
    return list(await asyncio.gather(*(passed(pair[number % 2], demand) for number in range(count))))


async def test_a_key_without_limits_asks_nobody(tmp_path: Path, make_key, demand: MakeDemand) -> None:
    quota = machine(tmp_path, "redis://127.0.0.1:1/0")
    assert await quota.acquire(demand(make_key())) is NOTHING
    assert quota._upkeep._tasks == []
    await quota.close()


async def test_requests_hold_over_two_machines(pair: list[RedisQuota], make_key, demand: MakeDemand) -> None:
    grants = await _spread(pair, demand(make_key(rpm=10)), 40)
    assert sum(grant is not None for grant in grants) == 10
    with pytest.raises(RateLimited) as refused:
        await pair[0].acquire(demand(make_key(rpm=10)))
    assert 1 <= int(refused.value.headers["Retry-After"]) <= 6
    assert refused.value.headers["x-ratelimit-remaining-requests"] == "0"


async def test_headers_tell_what_all_machines_left(pair: list[RedisQuota], make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(rpm=10, tpm=6000), tokens=1000)
    await pair[0].acquire(asked)
    headers = dict((await pair[1].acquire(asked)).headers)
    assert headers[b"x-ratelimit-limit-requests"] == b"10"
    assert headers[b"x-ratelimit-remaining-requests"] == b"8"
    assert 4000 <= int(headers[b"x-ratelimit-remaining-tokens"]) < 4100


async def test_concurrency_holds_and_comes_back(pair: list[RedisQuota], make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(concurrency=5))
    grants = [grant for grant in await _spread(pair, asked, 20) if grant is not None]
    assert len(grants) == 5
    for grant in grants:
        pair[0].settle(grant, 0, 0)
        pair[0].settle(grant, 0, 0)

    async def free() -> bool:
        return await passed(pair[1], asked) is not None

    await until(free)


async def test_a_budget_holds_over_two_machines(
    pair: list[RedisQuota], ledger: Ledger, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.05), usd=0.01)
    for _ in range(4):
        for grant in await _spread(pair, asked, 50):
            if grant is not None:
                ledger.settle(pair[0], grant, CENT)
        await asyncio.sleep(0.05)
    assert ledger.spent == 5 * CENT
    with pytest.raises(BudgetExceeded) as refused:
        await pair[1].acquire(asked)
    assert "$0.05 of its budget of $0.05" in refused.value.message


async def test_one_call_may_go_alone_while_anything_is_left(
    pair: list[RedisQuota], make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.01), usd=100)
    assert sum(grant is not None for grant in await _spread(pair, asked, 10)) == 1


async def test_tokens_are_corrected_when_a_call_is_settled(
    pair: list[RedisQuota], make_key, demand: MakeDemand
) -> None:
    key = make_key(tpm=600)
    pair[0].settle(await pair[0].acquire(demand(key, tokens=600)), 100, 0)

    async def refunded() -> bool:
        return await passed(pair[1], demand(key, tokens=490)) is not None

    await until(refunded)
    assert await passed(pair[1], demand(key, tokens=100)) is None


async def test_a_refused_call_consumes_nothing(pair: list[RedisQuota], make_key, demand: MakeDemand) -> None:
    both, rate_only = make_key(usd=0, rpm=2), make_key(rpm=2)
    assert await _spread(pair, demand(both), 10) == [None] * 10
    assert None not in await _spread(pair, demand(rate_only), 2)


async def test_what_the_ledger_knows_is_counted_once(
    pair: list[RedisQuota], ledger: Ledger, make_key, demand: MakeDemand
) -> None:
    ledger.records = [(NoonClock().time() - 1, 3 * CENT)]
    grants = await _spread(pair, demand(make_key(usd=0.05), usd=0.01), 20)
    assert sum(grant is not None for grant in grants) == 2


async def test_leases_of_a_machine_that_died_expire(
    pair: list[RedisQuota], make_key, demand: MakeDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.quota.cluster.quota.LEASE_S", 0.3)
    asked = demand(make_key(usd=0.02, concurrency=2), usd=0.01)
    lost = [await pair[0].acquire(asked) for _ in range(2)]
    assert await passed(pair[1], asked) is None
    await asyncio.sleep(0.4)
    assert await passed(pair[1], asked) is not None
    pair[0].settle(lost[0], 1, CENT)  # it was not dead, only slow: what it cost still counts
    pair[0].settle(lost[1], 1, CENT)

    async def used_up() -> bool:
        try:
            pair[1].settle(await pair[1].acquire(asked), 0, 0)
        except BudgetExceeded as error:
            return "$0.02 of" in error.message
        return False

    await until(used_up)


async def test_leases_of_long_calls_are_renewed(
    pair: list[RedisQuota], make_key, demand: MakeDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.quota.cluster.quota.LEASE_S", 0.8)
    monkeypatch.setattr(upkeep, "LEASE_S", 0.8)
    monkeypatch.setattr(upkeep, "RENEW_EVERY_S", 0.1)
    asked = demand(make_key(concurrency=1))
    await pair[0].acquire(asked)
    await asyncio.sleep(2)
    assert await passed(pair[1], asked) is None


async def test_an_emptied_redis_is_seeded_from_the_ledger(
    pair: list[RedisQuota], ledger: Ledger, redis_url: str, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.05), usd=0.01)
    for _ in range(3):
        ledger.settle(pair[0], await pair[0].acquire(asked), CENT)
    flying = await pair[1].acquire(asked)
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        await client.flushall()
        await client.script_flush()
    assert await passed(pair[1], asked) is not None
    ledger.settle(pair[1], flying, CENT)  # its lease is lost, its cost is not

    async def counted() -> bool:
        try:
            pair[0].settle(await pair[0].acquire(demand(make_key(usd=0.04), usd=0.01)), 0, 0)
        except BudgetExceeded as error:
            return "$0.04 of" in error.message
        return False

    await until(counted)


async def test_without_redis_each_machine_keeps_to_its_share(
    mortal: list[RedisQuota], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    server.kill()
    assert sum(grant is not None for grant in await _spread(mortal, demand(make_key("a", rpm=10)), 40)) == 10
    assert sum(grant is not None for grant in await _spread(mortal, demand(make_key("b", concurrency=4)), 40)) == 4
    grants = await _spread(mortal, demand(make_key("c", usd=0.08), usd=0.01), 40)
    assert sum(grant is not None for grant in grants) == 4, "a quarter of what the ledger says is left, each"


async def test_a_budget_holds_while_redis_goes_and_comes_back(
    mortal: list[RedisQuota], server: RedisServer, ledger: Ledger, make_key, demand: MakeDemand, redis_may_take
) -> None:
    redis_may_take(10)
    asked = demand(make_key(usd=0.20), usd=0.01)

    async def spend(quota: RedisQuota, calls: int) -> None:
        grants = await asyncio.gather(*(passed(quota, asked) for _ in range(calls)))
        for grant in grants:
            if grant is not None:
                ledger.settle(quota, grant, CENT)

    await spend(mortal[0], 5)
    await spend(mortal[1], 5)
    await asyncio.sleep(0.05)
    server.kill()
    await spend(mortal[0], 3)
    await spend(mortal[1], 3)
    assert 12 * CENT <= ledger.spent <= 15 * CENT, "half of the 10 cents that are left is set aside for the two"
    server.start()
    await until(lambda: _back(mortal), 20)

    async def all_of_it() -> bool:
        await asyncio.gather(*(spend(quota, 10) for quota in mortal))
        return ledger.spent >= 20 * CENT

    await until(all_of_it, 20)
    await asyncio.gather(*(spend(quota, 10) for quota in mortal))
    assert ledger.spent == 20 * CENT


async def test_without_redis_a_machine_spends_what_was_set_aside_for_it(
    mortal: list[RedisQuota], server: RedisServer, ledger: Ledger, make_key, demand: MakeDemand, redis_may_take
) -> None:
    redis_may_take(10)
    asked = demand(make_key(usd=0.20), usd=0.01)
    for quota in (*mortal, *mortal):
        ledger.settle(quota, await quota.acquire(asked), CENT)
        await asyncio.sleep(0.05)
    server.kill()
    for _ in range(10):
        for quota in mortal:
            grant = await passed(quota, asked)
            if grant is not None:
                ledger.settle(quota, grant, CENT // 2)  # what a call did not need can be used again
    # Each has a quarter of the 16 or 17 cents that were left.
    assert ledger.spent == 4 * CENT + 2 * 7 * CENT // 2


async def _back(quotas: list[RedisQuota]) -> bool:
    return not any(quota._link.away or quota._upkeep.stale for quota in quotas)


async def test_settlements_wait_while_redis_is_away(
    mortal: list[RedisQuota], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(concurrency=3))
    grants = [await mortal[0].acquire(asked) for _ in range(3)]
    server.process.send_signal(19)  # SIGSTOP: it does not answer, and keeps its data
    for grant in grants:
        mortal[0].settle(grant, 1, 0)
    await asyncio.sleep(0.6)
    server.process.send_signal(18)

    async def free() -> bool:
        grants = [grant for grant in await _spread(mortal, asked, 6) if grant is not None]
        for grant in grants:
            mortal[0].settle(grant, 0, 0)
        return sum(grant.remote for grant in grants) == 3

    await until(free, 6)


async def test_a_call_granted_without_an_answer_is_given_back(
    mortal: list[RedisQuota], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(concurrency=2))
    mortal[0].settle(await mortal[0].acquire(asked), 0, 0)
    server.process.send_signal(19)
    unheard = await mortal[0].acquire(asked)  # timed out in Redis, granted by the machine's share
    assert not unheard.remote
    server.process.send_signal(18)
    mortal[0].settle(unheard, 0, 0)

    async def free() -> bool:
        grants = await _spread(mortal, asked, 2)
        for grant in grants:
            if grant is not None:
                mortal[0].settle(grant, 0, 0)
        return all(grant is not None and grant.remote for grant in grants)

    await until(free, 6)


async def test_with_neither_redis_nor_ledger_the_last_known_spending_counts(
    mortal: list[RedisQuota], server: RedisServer, ledger: Ledger, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.02), usd=0.01)
    for _ in range(2):
        ledger.settle(mortal[0], await mortal[0].acquire(asked), CENT)
    await asyncio.sleep(0.1)
    assert await passed(mortal[0], asked) is None  # this is when the machine hears of the second
    server.kill()
    ledger.away = True
    with pytest.raises(BudgetExceeded):
        await mortal[0].acquire(asked)


async def test_a_full_queue_of_settlements_is_made_good_from_the_ledger(
    pair: list[RedisQuota], ledger: Ledger, make_key, demand: MakeDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = demand(make_key(usd=0.03), usd=0.01)
    grants = [await pair[0].acquire(asked) for _ in range(3)]
    monkeypatch.setattr(upkeep, "MAX_SETTLES", 0)
    for grant in grants:
        ledger.settle(pair[0], grant, CENT)
    assert pair[0]._upkeep.stale
    monkeypatch.undo()

    async def used_up() -> bool:
        try:
            pair[1].settle(await pair[1].acquire(asked), 0, 0)
        except BudgetExceeded as error:
            return "$0.03 of" in error.message
        return False

    await until(used_up)
