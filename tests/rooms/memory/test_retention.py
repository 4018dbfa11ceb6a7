"""What is too old goes, in bounded steps, and the counts follow."""

import asyncio
from datetime import timedelta

import pytest

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy
from cmg.memory.items.models import NewItem
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, Thread
from cmg.memory.retention import MemoryRetention
from cmg.memory.store import MemoryStore
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.policies import policies

DAY_S = 86_400


def _retention(memory: Memory, turn_days: int) -> MemoryRetention:
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    return MemoryRetention(memory.database, memory.clock, upkeep, policies(MemorySettings(retention_days=turn_days)), 7)


async def _counts(memory: Memory) -> list[tuple[str, int, int]]:
    rows = await memory.database.fetch("SELECT user_id, turns, length FROM memory_users ORDER BY user_id")
    return [tuple(row) for row in rows]


async def test_old_turns_and_their_empty_threads_go_and_new_ones_stay(memory: Memory, monkeypatch) -> None:
    monkeypatch.setattr("cmg.memory.store._PURGE_ROWS", 3)
    monkeypatch.setattr("cmg.memory.items.upkeep._BATCH", 3)
    await memory.keep(scope(thread="old"), said(*(f"old turn {number}" for number in range(10))))
    await memory.keep(scope(user="ben", thread="old"), said("old turn of ben"))
    memory.clock.advance(10 * DAY_S)
    await memory.keep(scope(thread="new"), said("new turn"))
    assert (await _retention(memory, turn_days=5).purge())[0] == 11
    assert await memory.contents() == ["new turn"]
    assert await _counts(memory) == [("ana", 1, 2)], "nor does anything say that ben was ever here"
    assert await memory.database.fetchval("SELECT count(*) FROM memory_threads") == 1


async def test_a_user_who_comes_back_while_what_was_kept_is_purged_is_there(memory: Memory) -> None:
    """The writer holds the row; the purge waits for it, and finds that somebody was here."""
    await memory.keep(scope(), said("old turn"))
    memory.clock.advance(10 * DAY_S)
    retention = _retention(memory, turn_days=5)
    user_no = await memory.database.fetchval("SELECT user_no FROM memory_users")
    await retention._upkeep.purge_turns("default", user_no, memory.clock.now() - timedelta(days=5))
    async with memory.database.transaction() as conn:
        await conn.execute("DELETE FROM memory_threads")
        await conn.execute("UPDATE memory_users SET updated_at = $1", memory.clock.now())
        purging = asyncio.create_task(retention.purge())
        await asyncio.sleep(0.2)
        assert not purging.done()
    await purging
    assert await _counts(memory) == [("ana", 0, 0)]


async def test_without_a_retention_turns_stay(memory: Memory) -> None:
    await memory.keep(scope(), said("old turn"))
    memory.clock.advance(5000 * DAY_S)
    await _retention(memory, turn_days=0).purge()
    assert await memory.contents() == ["old turn"]


@pytest.mark.parametrize(("days", "left"), [(6, 1), (8, 0)])
async def test_operations_are_kept_for_their_days(memory: Memory, days: int, left: int) -> None:
    from cmg.kit.ids import uuid7
    from cmg.memory.models import owner_of

    async with memory.database.transaction() as conn:
        state = ("done", "[]", memory.clock.now(), None)
        await MemoryStore().add_operation(conn, uuid7(), owner_of("default", "ana"), state)
    memory.clock.advance(days * DAY_S)
    await _retention(memory, turn_days=0).purge()
    assert await memory.database.fetchval("SELECT count(*) FROM memory_operations") == left


async def test_each_workspace_keeps_its_turns_as_long_as_it_says(memory: Memory) -> None:
    for workspace in ("default", "short", "kept"):
        await memory.keep(scope(workspace=workspace), said("old turn"))
    memory.clock.advance(4 * DAY_S)
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    own = {"short": MemoryPolicy(retention_days=3), "kept": MemoryPolicy(retention_days=0)}
    wanted = policies(MemorySettings(retention_days=5), **own)
    retention = MemoryRetention(memory.database, memory.clock, upkeep, wanted, 7)
    left = []
    for _ in range(2):
        await retention.purge()
        left.append([len(await memory.contents(workspace=one)) for one in ("default", "short", "kept")])
        memory.clock.advance(2 * DAY_S)
    assert left == [[1, 0, 1], [0, 0, 1]]


async def test_items_age_and_go_by_the_policy_of_their_workspace(memory: Memory) -> None:
    known = policies(PATIENT, quick=MemoryPolicy(half_life_days=1, item_days=30))
    writer, upkeep = ItemWriter(memory.clock, known), ItemUpkeep(memory.database, memory.clock, known)
    for workspace in ("default", "quick"):
        item = NewItem(thread=Thread(Owner(workspace, "ana"), "t"), kind="memory", content="Likes tea", origin="caller")
        async with memory.database.transaction() as conn:
            await writer.put(conn, [item])
    memory.clock.advance(20 * DAY_S)
    await upkeep.age()
    rows = await memory.database.fetch("SELECT workspace_id, salience FROM memory_turns ORDER BY workspace_id")
    aged = {row["workspace_id"]: round(row["salience"], 2) for row in rows}
    assert aged == {"default": 0.46, "quick": 0.25}
    memory.clock.advance(20 * DAY_S)
    assert await upkeep.purge() == 1
    assert [len(await memory.contents(workspace=one)) for one in ("default", "quick")] == [1, 0]
