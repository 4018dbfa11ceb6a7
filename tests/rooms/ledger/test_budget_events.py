"""Each threshold of a budget is told once a period, and a used-up budget suspends once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.ledger import budget_events
from cmg.ledger.budget_events import BudgetEvents, BudgetWatch
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import usage_payload
from support.manual_clock import ManualClock

DOLLAR = 1_000_000_000
KEY = ApiKey(
    id="k1",
    workspace_id="default",
    name="k",
    owner="ann@example.com",
    budget=Budget(period="day", usd_nano=10 * DOLLAR, auto_suspend=True),
)


class House:
    """Keys, their spending, and what was suspended."""

    def __init__(self, database: Database, clock: ManualClock, instruments: Instruments) -> None:
        self.database, self.clock, self.instruments = database, clock, instruments
        self.snapshot = Snapshot({"k1": KEY}, {"default": Workspace(id="default", name="d")})
        self.suspended: list[str] = []
        self.failing = False

    def watch(self) -> BudgetWatch:
        return BudgetWatch(self.database, lambda: self.snapshot, self.suspend, self.clock, self.instruments)

    async def suspend(self, workspace_id: str, key_id: str, reason: str, conn: Any) -> bool:
        assert (workspace_id, conn.is_in_transaction()) == ("default", True)
        if self.failing:
            raise LookupError("away")
        if self.snapshot.keys[key_id].status != "active":
            return False
        self.suspended.append(reason)
        return True

    def change(self, **fields: Any) -> None:
        self.snapshot.keys["k1"] = msgspec.structs.replace(self.snapshot.keys["k1"], **fields)

    async def spend(self, usd: float) -> None:
        payload = usage_payload(at=self.clock.time(), cost_nano=int(usd * DOLLAR))
        async with self.database.transaction() as conn:
            await UsageSink().write(conn, [payload])

    async def shares(self) -> list[tuple[str, float]]:
        events, _ = await BudgetEvents(self.database).page("default", None, None, 100)
        return sorted((event.kind, event.threshold) for event in events)


@pytest.fixture
def house(database: Database, clock: ManualClock, instruments: Instruments) -> House:
    return House(database, clock, instruments)


async def test_each_threshold_is_told_once(house: House) -> None:
    watch = house.watch()
    for usd in (4, 1, 1, 2, 0.5):
        await house.spend(usd)
        await watch.look({"k1"})
        await house.watch().look()  # another process, or this one after a crash
    assert await house.shares() == [("threshold", 0.5), ("threshold", 0.8)]
    assert house.instruments.series("cmg_budget_events_total", "threshold")._value.get() == 2


async def test_one_leap_tells_all_thresholds_and_suspends(house: House) -> None:
    await house.spend(11)
    assert await house.watch().look() == 4
    assert await house.watch().look() == 0
    assert await house.shares() == [("suspended", 1.0), ("threshold", 0.5), ("threshold", 0.8), ("threshold", 1.0)]
    assert house.suspended == ["its budget of 10 USD (day) is used up"]


async def test_a_resumed_key_is_not_suspended_again_for_the_same_budget(house: House) -> None:
    await house.spend(11)
    await house.watch().look()
    await house.spend(1)
    await house.watch().look()
    assert len(house.suspended) == 1
    house.change(budget=Budget(period="day", usd_nano=12 * DOLLAR, auto_suspend=True))
    await house.watch().look()
    assert len(house.suspended) == 2


async def test_the_next_period_begins_anew(house: House) -> None:
    await house.spend(6)
    await house.watch().look()
    house.clock.advance(86400)
    assert await house.watch().look() == 0
    await house.spend(6)
    assert await house.watch().look() == 1


async def test_a_suspension_that_fails_is_tried_again_with_its_event(house: House) -> None:
    await house.spend(10)
    house.failing = True
    with pytest.raises(LookupError, match="away"):
        await house.watch().look()
    assert ("suspended", 1.0) not in await house.shares()
    house.failing = False
    await house.watch().look()
    assert ("suspended", 1.0) in await house.shares()


async def test_a_key_that_is_suspended_already_is_not_told_as_suspended_for_its_budget(house: House) -> None:
    house.change(status="suspended")
    await house.spend(10)
    await house.watch().look()
    assert house.suspended == []
    assert len(await house.shares()) == 3


async def test_a_lowered_budget_is_noticed_without_a_call(house: House) -> None:
    await house.spend(4)
    watch = house.watch()
    assert await watch.look() == 0
    house.change(budget=Budget(period="day", usd_nano=5 * DOLLAR))
    assert await watch.look() == 2


async def test_a_running_watch_looks_after_a_commit(house: House) -> None:
    watch = house.watch()
    task = asyncio.create_task(watch.run())
    await house.clock.run(1)
    await house.spend(6)
    watch.spent({"k1", "unknown"})
    for _ in range(500):
        if await house.shares():
            break
        house.clock.advance(1)
        await asyncio.sleep(0.01)
    task.cancel()
    assert await house.shares() == [("threshold", 0.5)]


@asynccontextmanager
async def running(watch: BudgetWatch) -> AsyncIterator[None]:
    task = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        task.cancel()


async def told_within(house: House, seconds: int) -> list[tuple[str, float]]:
    """What a running watch has told after at most so many seconds of its clock."""
    for _ in range(seconds * 20):
        if found := await house.shares():
            return found
        house.clock.advance(0.05)
        await asyncio.sleep(0.02)
    return []


@pytest.mark.parametrize("swept", [False, True])
async def test_a_key_that_spends_before_the_snapshot_knows_it_is_looked_at_soon(house: House, *, swept: bool) -> None:
    house.snapshot.keys.pop("k1")
    watch = house.watch()
    async with running(watch):
        if not swept:  # else its spending comes with the look at all keys
            assert await told_within(house, 2) == []
        await house.spend(6)
        watch.spent({"k1"})
        assert await told_within(house, 2) == []
        house.snapshot.keys["k1"] = KEY
        assert await told_within(house, 3) == [("threshold", 0.5)]


async def test_ids_that_stay_unknown_are_kept_for_a_while_and_in_bounds(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget_events, "_UNKNOWN_MAX", 3)
    watch = house.watch()
    watch.spent({"u1", "u2", "u3", "u4", "u5"})
    async with running(watch):
        await told_within(house, 1)
        assert len(watch._unknown) == 3
        house.clock.advance(budget_events.UNKNOWN_S)
        await told_within(house, 1)
        assert watch._unknown == {}


async def test_events_come_in_pages_newest_first(house: House) -> None:
    await house.spend(11)
    await house.watch().look()
    events = BudgetEvents(house.database)
    first, cursor = await events.page(None, "k1", None, 3)
    second, end = await events.page(None, "k1", cursor, 3)
    assert [len(first), len(second), end] == [3, 1, None]
    assert len({event.id for event in first + second}) == 4
    assert await events.page("other", None, None, 10) == ([], None)


async def test_how_all_keys_stand_is_told_in_numbers(house: House) -> None:
    house.snapshot.keys["k2"] = msgspec.structs.replace(KEY, id="k2", budget=None, status="suspended")
    await house.spend(8)
    await house.watch().look()
    shown = house.instruments.registry.get_sample_value
    assert shown("cmg_budget_keys", {"used": "under_100"}) == 1
    assert shown("cmg_budget_keys", {"used": "under_50"}) == 0
    assert shown("cmg_keys", {"status": "active"}) == 1
    assert shown("cmg_keys", {"status": "suspended"}) == 1
    await house.spend(3)
    await house.watch().look({"k1"})
    assert shown("cmg_budget_keys", {"used": "used_up"}) == 0, "only a look at all keys counts them"
    await house.watch().look()
    assert shown("cmg_budget_keys", {"used": "used_up"}) == 1
