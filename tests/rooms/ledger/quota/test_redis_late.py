"""Limits and budgets of two machines hold when Redis is late, frozen or emptied, and when a loop is held up."""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from cmg.kit.errors import CmgError
from cmg.ledger.quota.cluster import link
from cmg.ledger.quota.cluster.link import RedisAway
from cmg.ledger.quota.cluster.quota import RedisQuota
from cmg.ledger.quota.models import Demand, Grant
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, create_file
from cmg.telemetry.instruments import Instruments
from support.late_proxy import LateProxy
from support.noon_clock import NoonClock
from support.redis_server import RedisServer

pytestmark = pytest.mark.needs("redis-server")
MakeDemand = Callable[..., Demand]
CENT = 10_000_000


class Machine:
    """A gateway process on a machine of its own, behind its own way to Redis."""

    def __init__(self, folder: Path, way: LateProxy, ledger: list[tuple[float, int]]) -> None:
        self.way, self._ledger, self.instruments = way, ledger, Instruments()
        create_file(folder / "quota", slots=64, workers=2)
        local = SharedMemoryQuota(folder / "quota", 0, NoonClock(), self.instruments, seeder=self._before)
        self.quota = RedisQuota(
            f"redis://127.0.0.1:{way.port}/0", local, NoonClock(), self.instruments, seeder=self._before, machines=2
        )

    async def _before(self, key, starts, until: float) -> tuple[int, int, int, int]:
        del key, starts
        spent = sum(nano for at, nano in self._ledger if at < until)
        return spent, spent, spent, spent

    async def ask(self, demand: Demand, calls: int) -> list[Grant]:
        """The grants of so many calls at once."""

        async def one() -> Grant | None:
            try:
                return await self.quota.acquire(demand)
            except CmgError:
                return None

        return [grant for grant in await asyncio.gather(*(one() for _ in range(calls))) if grant is not None]

    def settle(self, grants: list[Grant], nano: int = CENT) -> None:
        for grant in grants:
            self._ledger.append((NoonClock().time(), nano))
            self.quota.settle(grant, grant.tokens, nano)

    @property
    def fallbacks(self) -> float:
        return self.instruments.registry.get_sample_value("cmg_quota_fallback_calls_total") or 0.0


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A Redis to freeze and kill."""
    own = RedisServer()
    own.start()
    yield own
    own.close()


@pytest.fixture
async def pair(tmp_path: Path, server: RedisServer) -> AsyncIterator[list[Machine]]:
    ledger: list[tuple[float, int]] = []
    made = []
    for name in ("one", "other"):
        way = LateProxy(server.port)
        await way.start()
        made.append(Machine(tmp_path / name, way, ledger))
    yield made
    for machine in made:
        await machine.quota.close()
        await machine.way.close()


async def back(pair: list[Machine]) -> None:
    """Wait until Redis can be asked again and has everything that it was owed."""
    async with asyncio.timeout(20):
        while any(one.quota._link.away or one.quota._upkeep._queue for one in pair):  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.05)


async def spend_the_rest(pair: list[Machine], demand: Demand) -> int:
    """Call on both machines until nothing goes any more; the number of calls that went."""
    went, dry = 0, 0
    async with asyncio.timeout(60):
        while dry < 3:
            before = went
            for machine in pair:
                grants = await machine.ask(demand, 5)
                machine.settle(grants)
                went += len(grants)
            away = any(machine.quota._link.away for machine in pair)
            dry = dry + 1 if went == before and not away else 0
            await asyncio.sleep(0.3)
    return went


async def test_a_loop_that_was_held_up_does_not_blame_redis(pair: list[Machine], make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(rpm=10, usd=0.05), usd=0.01)
    await asyncio.gather(*(machine.ask(demand(make_key("warm", rpm=99)), 9) for machine in pair))
    granted: list[Grant] = []
    for _ in range(3):
        calls = [asyncio.create_task(machine.ask(asked, 10)) for machine in pair]
        for _ in range(3):
            await asyncio.sleep(0.001)
            time.sleep(2 * link.TIMEOUT_S)  # noqa: ASYNC251  # this is what the test is about
        granted += [grant for call in calls for grant in await call]
    assert [machine.fallbacks for machine in pair] == [0, 0]
    assert len(granted) == 5


async def test_a_redis_that_is_late_passes_no_budget(pair: list[Machine], make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(usd=0.40), usd=0.01)
    went = 0
    for delay_s in (0.0, 0.35, 0.0, 0.35):
        for machine in pair:
            machine.way.delay_s = delay_s
        for machine in (*pair, *pair):
            grants = await machine.ask(asked, 4)
            went += len(grants)
            machine.settle(grants)
        await asyncio.sleep(0.2)
    assert all(machine.fallbacks for machine in pair)
    for machine in pair:
        machine.way.delay_s = 0.0
    await back(pair)
    assert went + await spend_the_rest(pair, asked) == 40, "all of it can be used, and nothing twice"


async def test_calls_in_flight_when_redis_freezes_stay_promised(
    pair: list[Machine], server: RedisServer, make_key, demand: MakeDemand, redis_may_take
) -> None:
    asked = demand(make_key(usd=0.20), usd=0.01)
    usual_s = link.TIMEOUT_S
    redis_may_take(10)
    flying = [(machine, await machine.ask(asked, 6)) for machine in pair]
    assert server.process is not None
    redis_may_take(usual_s)
    server.process.send_signal(signal.SIGSTOP)
    for _ in range(3):
        flying += [(machine, await machine.ask(asked, 4)) for machine in pair]
    went = sum(len(grants) for _, grants in flying)
    assert 12 < went <= 20
    redis_may_take(10)
    server.process.send_signal(signal.SIGCONT)
    for machine, grants in flying:
        machine.settle(grants)
    await back(pair)
    assert went + await spend_the_rest(pair, asked) == 20


async def test_one_machine_cut_off_passes_no_budget(pair: list[Machine], make_key, demand: MakeDemand) -> None:
    asked = demand(make_key(usd=0.20), usd=0.01)
    first = [await machine.ask(asked, 2) for machine in pair]
    pair[0].way.delay_s = 30
    theirs = await pair[1].ask(asked, 30)
    # How much is left to it depends on what was set aside for it before the way broke; that it may be nothing is right.
    mine = [grant for _ in range(3) for grant in await pair[0].ask(asked, 10)]
    assert pair[0].fallbacks
    assert theirs
    assert len([*first[0], *first[1], *theirs, *mine]) <= 20


async def test_what_a_share_let_go_counts_when_redis_is_back(
    pair: list[Machine], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(rpm=10, rph=100, concurrency=40))
    went = len(await pair[0].ask(asked, 2))
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    went += len(await pair[0].ask(asked, 10))
    assert went == 6, "half of the 8 that are left"
    server.process.send_signal(signal.SIGCONT)
    await asyncio.sleep(link.RETRY_AFTER_S)
    await back(pair)
    went += len(await pair[1].ask(asked, 10))
    assert 10 <= went <= 11


async def test_calls_that_redis_granted_count_in_the_share(
    pair: list[Machine], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(concurrency=4))
    assert len(await pair[0].ask(asked, 4)) == 4
    server.kill()
    assert await pair[0].ask(asked, 4) == []


async def test_calls_in_flight_are_promised_again_by_a_redis_without_its_data(
    pair: list[Machine], server: RedisServer, make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.05, concurrency=50), usd=0.01)
    flying = await pair[0].ask(asked, 5)
    assert len(flying) == 5
    server.kill()
    alone = await pair[1].ask(asked, 1)
    server.start()
    await asyncio.sleep(2 * link.RETRY_AFTER_S)
    await back(pair)
    assert await pair[1].ask(asked, 5) == []
    pair[0].settle(flying, CENT // 5)
    await back(pair)
    assert await spend_the_rest(pair, asked) == 4 - len(alone), "what the other let go alone still flies"


async def test_the_part_of_a_machine_that_died_comes_back(
    pair: list[Machine], make_key, demand: MakeDemand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.quota.cluster.quota.HOLD_S", 3.0)
    asked = demand(make_key(usd=0.20), usd=0.01)
    first = await pair[0].ask(asked, 2)
    pair[0].settle(first)
    await back(pair)
    pair[0].way.delay_s = 30
    went = await pair[1].ask(asked, 20)
    assert len(went) < 18
    await asyncio.sleep(3.1)
    assert len(went) + len(await pair[1].ask(asked, 20)) == 18


async def test_a_part_is_given_back_when_another_machine_needs_it(
    pair: list[Machine], make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.20), usd=0.01)
    await pair[0].ask(asked, 2)
    went = 0
    for _ in range(20):
        went += len(await pair[1].ask(asked, 1))
    assert went == 18, "it takes a moment, and nobody is refused"


async def test_a_call_that_is_cancelled_ends_whatever_it_waits_for(
    pair: list[Machine], make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(rpm=100_000))
    for steps in range(200):
        call = asyncio.create_task(pair[0].quota.acquire(asked))
        for _ in range(steps % 40):
            await asyncio.sleep(0)
        if call.cancel():
            await asyncio.wait({call})
            assert call.cancelled(), f"{steps % 40} steps after it began"


def lose_answers(quota: RedisQuota, dice: random.Random) -> None:
    """From now on a third of what is asked is not heard of, done or not."""
    run_all = quota._link.run_all

    async def sometimes(commands):
        fate = dice.random()
        if fate < 0.15:
            raise RedisAway("never sent on")
        answers = await run_all(commands)
        if fate < 0.3:
            raise RedisAway("the answer was lost")
        return answers

    quota._link.run_all = sometimes  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_answers_are_lost_no_budget_is_passed(
    pair: list[Machine], make_key, demand: MakeDemand, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("cmg.ledger.quota.cluster.quota._PAUSES_S", (0.01, 0.01))
    dice = random.Random(seed)
    key = make_key(usd=1.0)
    for machine in pair:
        lose_answers(machine.quota, dice)
    promised, flying = 0, []
    for _ in range(250):
        machine = dice.choice(pair)
        asked = demand(key, usd=dice.randrange(1, 8) / 100)
        for grant in await machine.ask(asked, 1):
            promised += asked.cost_nano
            # A call that nobody flies beside may go while anything is left, see `admission`.
            assert promised <= 100 * CENT or not flying
            flying.append((machine, grant, asked.cost_nano))
        if flying and dice.random() < 0.4:
            owner, grant, nano = flying.pop(dice.randrange(len(flying)))
            owner.settle([grant], nano // 2)
            promised -= nano - nano // 2
    assert all(machine.fallbacks for machine in pair)
    assert promised > 20 * CENT  # that much was granted all the same; how much more depends on which answers are lost


async def test_what_flies_on_a_part_of_the_machines_own_is_promised_when_redis_hears_of_it(
    pair: list[Machine], make_key, demand: MakeDemand
) -> None:
    asked = demand(make_key(usd=0.20), usd=0.01)
    pair[0].way.delay_s = 30
    mine = [grant for _ in range(3) for grant in await pair[0].ask(asked, 10)]
    assert len(mine) == 5, "a quarter: it never heard of Redis, and there are two machines"
    pair[0].way.delay_s = 0
    await asyncio.sleep(link.RETRY_AFTER_S)
    await back(pair)
    theirs = [grant for _ in range(3) for grant in await pair[1].ask(asked, 10)]
    assert len(theirs) == 15
    pair[0].settle(mine, CENT // 5)
    await back(pair)
    assert await spend_the_rest(pair, asked) == 4
