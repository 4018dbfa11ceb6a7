"""A key's earlier spending comes from the ledger exactly once, also while records still wait in a journal."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cmg.identity.models import ApiKey
from cmg.kit.errors import BudgetExceeded, Unavailable
from cmg.ledger.quota.models import Demand
from cmg.ledger.quota.periods import Starts
from cmg.ledger.quota.seeding import LAST_LOOK_S
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

MakeDemand = Callable[..., Demand]
CENT = 10_000_000


class Ledger:
    """Records of one key as (time, nano-USD); may be slow or away."""

    def __init__(self) -> None:
        self.records: list[tuple[float, int]] = []
        self.asked = 0
        self.away = False
        self.gate: asyncio.Event | None = None

    async def before(self, key: ApiKey, starts: Starts, until: float) -> tuple[int, int, int, int]:
        """A `Seeder`."""
        del key
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise ConnectionError("no database")
        sums = [sum(nano for at, nano in self.records if start <= at < until) for start in (*starts[:3], 0)]
        return sums[0], sums[1], sums[2], sums[3]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def workers(path: Path, clock: ManualClock, ledger: Ledger) -> list[SharedMemoryQuota]:
    """Two workers that ask the same ledger."""
    return [SharedMemoryQuota(path, number, clock, Instruments(), seeder=ledger.before) for number in range(2)]


async def _settled(quota: SharedMemoryQuota, asked: Demand, nano: int = CENT) -> None:
    quota.settle(await quota.acquire(asked), 1, nano)


async def test_what_was_spent_before_counts(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    ledger.records = [(clock.time() - 60, CENT)]
    for worker in workers:
        with pytest.raises(BudgetExceeded):
            await worker.acquire(demand(make_key(usd=0.01)))
    assert ledger.asked == 1


async def test_a_key_with_limits_only_does_not_ask(workers, ledger: Ledger, make_key, demand: MakeDemand) -> None:
    await workers[0].acquire(demand(make_key(rpm=10)))
    assert ledger.asked == 0


async def test_many_calls_at_once_ask_once(workers, ledger: Ledger, make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(usd=1))
    await asyncio.gather(*(workers[0].acquire(asked) for _ in range(20)))
    assert ledger.asked == 1


async def test_a_budget_given_later_knows_what_was_spent_without_one(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    for _ in range(2):
        await _settled(workers[0], demand(make_key(rpm=100)))
        ledger.records.append((clock.time(), CENT))
        clock.advance(1)
    await _settled(workers[1], demand(make_key(usd=0.03)))
    with pytest.raises(BudgetExceeded):
        await workers[0].acquire(demand(make_key(usd=0.03)))


async def test_records_that_waited_in_a_journal_are_added_by_a_second_look(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.02))
    await _settled(workers[0], asked)
    late = (clock.time() - 5, CENT)
    ledger.records = [late, (clock.time() + 1, CENT)]  # one was still in a journal; the other is counted here already
    await clock.run(LAST_LOOK_S + 1)
    with pytest.raises(BudgetExceeded):
        await workers[1].acquire(asked)
    await workers[1].acquire(demand(make_key(usd=0.021)))


async def test_records_that_leave_a_journal_within_a_second_are_added_as_soon(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    """Else a key could spend for ten seconds what it had spent already."""
    asked, began = demand(make_key(usd=0.04)), clock.time()
    await _settled(workers[0], asked)
    for seconds in (0.2, 0.6):
        await clock.run(began + seconds - clock.time(), 0.05)
        ledger.records.append((began - 0.1, CENT))
    await workers[1].acquire(asked)
    await clock.run(began + 1.1 - clock.time(), 0.05)
    with pytest.raises(BudgetExceeded):
        await workers[1].acquire(asked)


async def test_a_ledger_that_is_away_refuses_and_the_next_call_asks_again(
    workers, ledger: Ledger, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=1))
    ledger.away = True
    with pytest.raises(Unavailable):
        await workers[0].acquire(asked)
    ledger.away = False
    await workers[1].acquire(asked)


async def test_a_second_look_is_repeated_until_the_ledger_is_back(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.02))
    await _settled(workers[0], asked)
    ledger.away = True
    await clock.run(5 * LAST_LOOK_S)
    ledger.away, ledger.records = False, [(clock.time() - 300, CENT)]
    await clock.run(2 * LAST_LOOK_S)
    with pytest.raises(BudgetExceeded):
        await workers[0].acquire(asked)


async def test_another_worker_waits_for_the_one_that_asks(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    ledger.gate, ledger.records = asyncio.Event(), [(clock.time() - 60, CENT)]
    asked = demand(make_key(usd=0.015))
    tasks = [asyncio.create_task(worker.acquire(asked)) for worker in workers]
    await clock.run(0.1, 0.01)
    assert ledger.asked == 1
    ledger.gate.set()
    await clock.run(0.1, 0.01)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, BudgetExceeded) for result in results) == 1, "0.5 cents are left for one call alone"


async def test_a_worker_killed_while_it_asked_is_replaced(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    ledger.gate = asyncio.Event()
    asked = demand(make_key(usd=0.015))
    killed = asyncio.create_task(workers[0].acquire(asked))
    await asyncio.sleep(0.01)
    killed.cancel()
    await workers[0].close()
    ledger.gate.set()
    waiting = asyncio.create_task(workers[1].acquire(asked))
    await clock.run(3.2, 0.1)
    await waiting
    assert ledger.asked == 2


async def test_a_workspace_that_moves_to_another_zone_is_counted_anew(
    workers, ledger: Ledger, clock: ManualClock, make_key, demand: MakeDemand
) -> None:
    key = make_key(usd=0.01)
    ledger.records = [(clock.time() - 12.5 * 3600, CENT)]  # 23:30 the day before in UTC, 00:30 today in Berlin
    await _settled(workers[0], demand(key), 0)
    with pytest.raises(BudgetExceeded):
        await workers[0].acquire(demand(key, timezone="Europe/Berlin"))
