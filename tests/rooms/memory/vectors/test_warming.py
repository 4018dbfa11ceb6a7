"""What is read after a start of the database's server, before somebody asks for it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from cmg.memory.vectors import warming
from cmg.memory.vectors.warming import Warming
from rooms.memory.vectors.conftest import Desk

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
PEOPLE = ["ana", "bob", "cleo", "dan"]  # who wrote last is read first


@pytest.fixture
async def written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Four people with 20 turns each, on a server that counts as just started."""
    monkeypatch.setattr(warming, "_JUST", timedelta(days=365))
    for number, who in enumerate(PEOPLE):
        await desk.write(*[f"{who} says {turn}" for turn in range(20)], user=who, name=who)
        await desk.database.execute(
            "UPDATE memory_users SET updated_at = now() + make_interval(hours => $1) WHERE user_id = $2", number, who
        )
    await desk.work()
    await desk.database.execute("ANALYZE memory_turns, memory_vectors")
    return desk


async def pages(desk: Desk) -> dict[str, int]:
    """How many pages were asked for so far, by table."""
    async with desk.database.connection() as conn:
        await conn.execute("SELECT pg_stat_force_next_flush()")
        rows = await conn.fetch(
            "SELECT relname, heap_blks_read + heap_blks_hit FROM pg_statio_user_tables "
            "WHERE relname IN ('memory_turns', 'memory_vectors')"
        )
    return {row[0]: row[1] for row in rows}


async def test_all_turns_and_vectors_are_read(written: Desk):
    before = await pages(written)
    assert await Warming(written.store, written.clock).read() == len(PEOPLE)
    after = await pages(written)
    assert all(after[table] > before[table] for table in before)


async def test_a_server_that_runs_for_long_has_what_it_is_asked_for(written: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warming, "_JUST", timedelta(days=-36500))
    assert await Warming(written.store, written.clock).read() == 0


async def test_of_more_than_fits_those_who_spoke_last_are_read(written: Desk):
    (total, memory) = (
        await written.rows(
            "SELECT (pg_relation_size('memory_turns') + pg_relation_size('memory_vectors'))::float8, "
            "pg_size_bytes(current_setting('shared_buffers'))"
        )
    )[0]
    expected = await written.store.expected(LONG_AGO, total * 0.6 / memory)  # two of four
    names = dict(await written.rows("SELECT user_no, user_id FROM memory_users"))
    assert [(names[user.user_no], user.turns) for user in expected] == [("dan", 20), ("cleo", 20)]


async def test_steps_are_short(written: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warming, "_STEP_TURNS", 30)
    expected = await written.store.expected(LONG_AGO, 0.5)
    assert [len(step) for step in warming.steps(expected)] == [2, 2]
    assert [number for step in warming.steps(expected) for number in step] == [user.user_no for user in expected]


async def test_nothing_is_there_to_be_read(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(warming, "_JUST", timedelta(days=365))
    assert await Warming(desk.store, desk.clock).read() == 0


async def test_without_a_database_it_waits_and_its_process_goes_on(desk: Desk):
    await desk.database.close()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(Warming(desk.store, desk.clock).run(), 0.3)
