"""The script in Redis and the arithmetic on a row decide alike."""

import random
from pathlib import Path

import pytest

from cmg.identity.models import ApiKey, Budget, Limits
from cmg.kit.errors import BudgetExceeded, RateLimited
from cmg.ledger.quota.cluster import scripts
from cmg.ledger.quota.cluster.quota import RedisQuota
from cmg.ledger.quota.cluster.upkeep import names_of
from cmg.ledger.quota.models import Demand, Grant
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.ledger.quota.terms import digest_of
from cmg.telemetry.instruments import Instruments
from support.noon_clock import NoonClock

pytestmark = pytest.mark.needs("redis-server")


def _file(folder: Path, name: str) -> SharedMemoryQuota:
    create_file(folder / name, slots=64, workers=1)
    return SharedMemoryQuota(folder / name, 0, NoonClock(), Instruments())


async def _ask(quota: RedisQuota | SharedMemoryQuota, demand: Demand) -> Grant | str:
    try:
        return await quota.acquire(demand)
    except (RateLimited, BudgetExceeded) as error:
        # Rates flow in real time here: what they say of the wait may differ by the moment between the two.
        return f"{error.code} {error.message.split(';')[0]}"


@pytest.mark.parametrize("seed", range(8))
async def test_redis_and_the_machine_decide_alike(tmp_path: Path, redis_url: str, seed: int) -> None:
    dice = random.Random(seed)
    limits = Limits(rph=dice.choice([None, 25]), concurrency=dice.choice([None, 4]), tpm=dice.choice([None, 1]))
    budget = Budget(period=dice.choice(["day", "lifetime"]), usd_nano=300)
    key = ApiKey(id=f"k{seed}", workspace_id="w", name="n", limits=limits, budget=budget)
    one, cluster = _file(tmp_path, "one"), RedisQuota(redis_url, _file(tmp_path, "two"), NoonClock(), Instruments())
    flights: list[tuple[Grant, Grant]] = []
    for _ in range(80):
        if flights and dice.random() < 0.4:
            mine, theirs = flights.pop(dice.randrange(len(flights)))
            cost = dice.randrange(20)
            one.settle(mine, 0, cost)
            cluster.settle(theirs, 0, cost)
            while cluster._upkeep._queue:
                await NoonClock().sleep(0.001)
            continue
        demand = Demand(key, "UTC", 0, dice.randrange(60))
        here, there = await _ask(one, demand), await _ask(cluster, demand)
        assert isinstance(here, Grant) == isinstance(there, Grant), (here, there)
        if isinstance(here, Grant) and isinstance(there, Grant):
            flights.append((here, there))
        else:
            assert here == there
    await cluster.close()
    await one.close()


async def test_a_repeated_settlement_counts_once(tmp_path: Path, redis_url: str) -> None:
    """An answer that was lost makes the process send a settlement again."""
    quota = RedisQuota(redis_url, _file(tmp_path, "file"), NoonClock(), Instruments())
    key = ApiKey(id="k", workspace_id="w", name="n", budget=Budget(period="day", usd_nano=100))
    grant = await quota.acquire(Demand(key, "UTC", 0, 50))
    names = names_of(digest_of("k"))
    now = int(NoonClock().time() * 1_000_000)
    args = [str(grant.id), 30, 50, 0, now, 0, 0, 0, grant.given, "m", 0, 0, 0]
    answers = [await quota._link.run(scripts.SETTLE, (*names, f"{names[0]}:settled:x"), args) for _ in range(3)]
    assert answers == [1, 0, 0]
    # A call that no lease covers (Redis lost it) is told apart by its marker.
    lost = ["nobody:9", 30, 9, 0, now, 0, 0, 0, 0, "m", 0, 0, 0]
    answers = [await quota._link.run(scripts.SETTLE, (*names, f"{names[0]}:settled:y"), lost) for _ in range(3)]
    assert answers == [1, 0, 0]
    with pytest.raises(BudgetExceeded, match=r"\$0 of|has spent"):
        await quota.acquire(
            Demand(ApiKey(id="k", workspace_id="w", name="n", budget=Budget(period="day", usd_nano=60)), "UTC", 0, 1)
        )
    await quota.close()
