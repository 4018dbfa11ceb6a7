"""What is too old goes, in bounded steps, and the counts follow."""

import pytest

from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.retention import KeptFor, MemoryRetention
from cmg.memory.store import MemoryStore
from rooms.memory.conftest import PATIENT, Memory, said, scope

DAY_S = 86_400


def _retention(memory: Memory, turn_days: int) -> MemoryRetention:
    upkeep = ItemUpkeep(memory.database, memory.clock, PATIENT)
    return MemoryRetention(memory.database, memory.clock, upkeep, KeptFor(turn_days=turn_days, operation_days=7))


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
    assert await _counts(memory) == [("ana", 1, 2), ("ben", 0, 0)]
    assert await memory.database.fetchval("SELECT count(*) FROM memory_threads") == 1


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
