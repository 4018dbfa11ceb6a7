"""Salience, judgements, uses, ageing, expiry and retention of items."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cmg.config import MemorySettings
from cmg.identity.models import MemoryPolicy
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.memory.items.feedback import Feedback
from cmg.memory.items.models import Changes, NewItem
from cmg.memory.items.salience import Salience, Weights, salience
from cmg.memory.items.store import ItemStore
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, Thread
from cmg.memory.retention import MemoryRetention
from rooms.memory.conftest import PATIENT, START, Memory, said, scope
from support.policies import policies

ANA = Owner("default", "ana")
NOW = datetime.fromtimestamp(START, UTC)
PLAIN = Weights(importance=0.5, mentions=1, uses=0, feedback=0, touched_at=NOW)


async def put(memory: Memory, content: str = "The code is 1234.", **changes) -> UUID:
    item = NewItem(**{"thread": Thread(ANA, "t"), "kind": "memory", "content": content, "origin": "caller", **changes})
    async with memory.database.transaction() as conn:
        (kept,) = await ItemWriter(memory.clock, policies(PATIENT)).put(conn, [item])
    assert kept.item_id is not None, kept
    return kept.item_id


async def judge(memory: Memory, item_id: UUID, kind: str, value: float | None = None, owner: Owner = ANA) -> Salience:
    async with memory.database.transaction() as conn:
        return await Feedback(memory.clock, policies(PATIENT)).judge(conn, owner, item_id, (kind, value, "why"))


async def stored(memory: Memory, item_id: UUID) -> float:
    return await memory.database.fetchval("SELECT salience FROM memory_turns WHERE id = $1", item_id)


@pytest.mark.parametrize(
    ("changes", "days", "expected"),
    [
        ({}, 0, 0.5),
        ({"mentions": 4}, 0, 0.7),
        ({"uses": 7}, 0, 0.65),
        ({"feedback": -10.0}, 0, 0.0),
        ({"importance": 1.0, "feedback": 10.0, "mentions": 64}, 0, 1.0),
        ({}, 90, 0.375),
        ({}, 36_500, 0.25),
    ],
)
def test_salience_is_the_sum_of_its_parts_within_bounds(changes, days: int, expected: float) -> None:
    weights = Weights(**{name: getattr(PLAIN, name) for name in Weights.__struct_fields__} | changes)
    assert salience(weights, NOW + timedelta(days=days), 90).salience == pytest.approx(expected, abs=1e-3)


def test_a_half_life_of_nothing_is_no_ageing() -> None:
    assert salience(PLAIN, NOW + timedelta(days=9999), 0).salience == 0.5


async def test_judgements_move_the_salience_within_bounds_and_are_explained(memory: Memory) -> None:
    item_id = await put(memory)
    assert (await judge(memory, item_id, "helpful")).salience == pytest.approx(0.55)
    assert (await judge(memory, item_id, "not_helpful", 0.5)).salience == pytest.approx(0.525)
    for _ in range(25):
        lowest = await judge(memory, item_id, "not_helpful")
    assert (lowest.salience, lowest.feedback) == (0.0, -0.5)
    assert await stored(memory, item_id) == pytest.approx(lowest.salience)
    explained, judgements = await Feedback(memory.clock, policies(PATIENT)).explained(memory.database, ANA, item_id)
    assert (explained, len(judgements), judgements[0].comment) == (lowest, 20, "why")


async def test_an_outdated_turn_is_not_true_any_more(memory: Memory) -> None:
    await memory.keep(scope(), said("The office is in Rome."))
    item_id = await memory.database.fetchval("SELECT id FROM memory_turns")
    assert (await judge(memory, item_id, "outdated")).salience == pytest.approx(0.35)
    (version,) = await ItemStore().versions(memory.database, ANA, item_id)
    assert (version.valid_to, version.origin, version.retired_at) == (NOW, "said", None)


async def test_strangers_and_strange_values_are_refused(memory: Memory) -> None:
    item_id = await put(memory)
    for owner in (Owner("default", "ben"), Owner("other", "ana")):
        with pytest.raises(NotFound):
            await judge(memory, item_id, "helpful", owner=owner)
    with pytest.raises(InvalidRequest):
        await judge(memory, item_id, "helpful", 2.0)


async def test_uses_are_counted_in_their_workspace(memory: Memory) -> None:
    item_id = await put(memory)
    async with memory.database.transaction() as conn:
        await ItemStore().count_uses(conn, {("default", item_id): 1, ("default", UUID(int=1)): 2}, NOW)
        await ItemStore().count_uses(conn, {("other", item_id): 1}, NOW)
    (version,) = await ItemStore().versions(memory.database, ANA, item_id)
    assert (version.uses, version.used_at) == (1, NOW)


async def test_ageing_is_written_in_batches(memory: Memory, monkeypatch) -> None:
    monkeypatch.setattr("cmg.memory.items.upkeep._BATCH", 2)
    ids = [await put(memory, f"Number {number}") for number in range(5)]
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    assert await upkeep.age() == 0
    memory.clock.advance(90 * 86_400)
    assert (await upkeep.age(), await upkeep.age()) == (5, 0)
    assert {round(await stored(memory, item_id), 3) for item_id in ids} == {0.375}


async def test_what_expires_goes_with_its_versions(memory: Memory) -> None:
    item_id, other = await put(memory, expires_at=NOW + timedelta(days=1)), await put(memory, "Another thing.")
    async with memory.database.transaction() as conn:
        await ItemWriter(memory.clock, policies(PATIENT)).edit(conn, ANA, item_id, Changes(content="The code is 9876."))
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    assert await upkeep.purge() == 0
    memory.clock.advance(86_400)
    assert await upkeep.purge() == 2
    assert await memory.contents() == ["Another thing."]
    memory.clock.advance(10 * 86_400)
    async with memory.database.transaction() as conn:
        await ItemStore().count_uses(conn, {("default", other): 1}, memory.clock.now())
    forgetful = ItemUpkeep(memory.database, memory.clock, policies(PATIENT, default=MemoryPolicy(item_days=5)))
    assert await forgetful.purge() == 0
    memory.clock.advance(6 * 86_400)
    assert await forgetful.purge() == 1


@pytest.mark.parametrize("later", [None, NOW + timedelta(days=9)], ids=["for good", "for longer"])
async def test_what_was_to_expire_and_is_kept_longer_outlives_the_time_of_its_earlier_version(
    memory: Memory, later: datetime | None
) -> None:
    item_id = await put(memory, "The code is 1234.", expires_at=NOW + timedelta(days=1))
    async with memory.database.transaction() as conn:
        await ItemWriter(memory.clock, policies(PATIENT)).edit(conn, ANA, item_id, Changes(expires_at=later))
    memory.clock.advance(2 * 86_400)
    assert await ItemUpkeep(memory.database, memory.clock, policies(PATIENT)).purge() == 0
    assert set(await memory.contents()) == {"The code is 1234."}


async def test_facts_go_with_the_retention_of_their_last_source_and_memories_stay(memory: Memory) -> None:
    await memory.keep(scope(), said("I live in Berlin."))
    source = await memory.database.fetchval("SELECT id FROM memory_turns")
    drawn = {"kind": "profile", "origin": "rules", "quote": "I live in Berlin", "sources": (source,)}
    await put(memory, "I live in Berlin", **drawn)
    await put(memory)
    memory.clock.advance(10 * 86_400)
    upkeep = ItemUpkeep(memory.database, memory.clock, policies(PATIENT))
    retention = MemoryRetention(memory.database, memory.clock, upkeep, policies(MemorySettings(retention_days=5)), 7)
    assert (await retention.purge())[0] == 2
    assert set(await memory.contents()) == {"The code is 1234."}
