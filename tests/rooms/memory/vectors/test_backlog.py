"""Every passage gets its vectors: once, newest first, also after an embedder, a process or the database was away."""

import asyncio
from datetime import timedelta

import pytest

from cmg.config import MemorySettings
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.retention import MemoryRetention
from cmg.memory.vectors import backlog as backlog_module
from cmg.memory.vectors.windows import Spoken, window
from rooms.memory.vectors.conftest import EMBEDDED
from support.policies import policies

LEASE = timedelta(seconds=60)


def spoken(content: str) -> Spoken:
    return Spoken("Ana", content)


async def test_each_passage_gets_a_vector_of_its_own_words_and_one_of_its_window(desk):
    await desk.write("I have a dog", "it is called Rex", "we walk by the river")
    await desk.work()
    found = await desk.vectors()
    engine = desk.embedder.engine
    for before, own, after in [
        (None, "I have a dog", "it is called Rex"),
        ("I have a dog", "it is called Rex", "we walk by the river"),
    ]:
        around = window(before and spoken(before), spoken(own), spoken(after))
        assert found[own][0] == pytest.approx(engine.embed(f"Ana: {own}").tolist(), abs=2e-3)
        assert found[own][1] == pytest.approx(engine.embed(around).tolist(), abs=2e-3)
    assert await desk.waiting() == 0


async def test_the_last_turns_window_is_made_again_when_the_next_turn_comes(desk):
    await desk.write("I have a dog")
    await desk.work()
    assert (await desk.vectors())["I have a dog"][1] is None
    await desk.write("it is called Rex")
    await desk.work()
    around = window(None, spoken("I have a dog"), spoken("it is called Rex"))
    expected = desk.embedder.engine.embed(around).tolist()
    assert (await desk.vectors())["I have a dog"][1] == pytest.approx(expected, abs=2e-3)


async def test_a_turn_that_comes_while_its_predecessor_is_embedded_is_not_missed_in_the_window(desk):
    """Two machines: one has read the thread before the turn came, and stores after the other looked for it."""
    await desk.write("I have a dog")
    await desk.backlog._described()
    until = desk.clock.now() + LEASE
    claimed = await desk.store.claim(desk.clock.now(), LEASE, 10)
    early = await desk.backlog._vectors(await desk.store.passages(claimed, desk.backlog._model_no))
    await desk.write("it is called Rex")
    await desk.work(desk.another(desk.embedder))
    await desk.store.keep(early, desk.backlog._model_no, 5000, until)
    await desk.work(desk.another(desk.embedder))
    assert (await desk.vectors())["I have a dog"][1] is not None
    assert await desk.waiting() == 0


async def test_windows_end_at_the_thread(desk):
    await desk.write("one", thread="a")
    await desk.write("two", thread="b")
    await desk.write("three", user="bob", thread="a")
    await desk.work()
    assert [around for _, around in (await desk.vectors()).values()] == [None, None, None]


async def test_the_newest_come_first(desk, monkeypatch):
    monkeypatch.setattr(backlog_module, "BATCH", 2)
    for number in range(6):
        await desk.write(f"turn {number}", thread=str(number))
    await desk.backlog.step()
    assert sorted(await desk.vectors()) == ["turn 4", "turn 5"]
    await desk.work()
    assert len(await desk.vectors()) == 6


async def test_an_embedder_that_is_away_loses_nothing_and_uses_no_attempt(desk):
    await desk.write("one", "two")
    await desk.work()
    await desk.write("three", "four")
    desk.embedder.away = True
    for _ in range(5):
        with pytest.raises(Exception, match="away"):
            await desk.backlog.step()
    desk.embedder.away = False
    await desk.work()
    assert len(await desk.vectors()) == 4
    assert await desk.rows("SELECT * FROM memory_unembeddable") == []


async def test_an_embedder_that_goes_away_within_a_batch_loses_nothing(desk):
    await desk.write("one", "two")
    await desk.backlog._described()
    described, desk.embedder.away = desk.embedder.describe, True
    desk.embedder.describe = lambda _: asyncio.sleep(0, desk.embedder.model)
    for _ in range(5):
        with pytest.raises(Exception, match="away"):
            await desk.backlog.step()
    assert await desk.rows("SELECT attempts FROM memory_unembedded") == [(0,), (0,)]
    desk.embedder.describe, desk.embedder.away = described, False
    await desk.work()
    assert len(await desk.vectors()) == 2


async def test_a_process_killed_with_passages_in_its_hands_gives_them_back(desk):
    await desk.write("one", "two")
    await desk.store.claim(desk.clock.now(), timedelta(seconds=60), 10)
    await desk.work(desk.another(desk.embedder))
    assert await desk.vectors() == {}
    desk.clock.advance(61)
    await desk.work(desk.another(desk.embedder))
    assert len(await desk.vectors()) == 2


async def test_a_text_that_is_refused_three_times_is_set_aside_and_holds_nobody_up(desk):
    desk.embedder.refused = "poison"
    await desk.write(*(f"turn {number}" for number in range(9)), "poison", thread="a")
    await desk.write("elsewhere", thread="b")
    await desk.backlog.step()
    assert "elsewhere" in await desk.vectors()
    for _ in range(5):
        desk.clock.advance(10)
        await desk.work()
    [(reason,)] = await desk.rows("SELECT reason FROM memory_unembeddable")
    assert reason == "it will not have this text"
    assert await desk.waiting() == 0
    assert len(await desk.vectors()) == 10  # the one before it too, without the window that holds it
    counted = desk.instruments.registry.get_sample_value("cmg_memory_passages_embedded_total", {"outcome": "set_aside"})
    assert counted >= 1


async def test_a_text_that_kills_the_embedder_is_found_and_set_aside(desk):
    desk.embedder.lost_at = "poison"
    for content in ("one", "poison", "two"):
        await desk.write(content, thread=content)
    for _ in range(12):
        desk.clock.advance(10)
        await desk.work()
    assert sorted(await desk.vectors()) == ["one", "two"]
    assert len(await desk.rows("SELECT * FROM memory_unembeddable")) == 1


async def test_a_user_is_searched_by_the_model_once_everything_is_embedded(desk):
    await desk.write("one", "two")
    state = "SELECT vector_model_no > 0, vectors_whole FROM memory_users"
    assert await desk.rows(state) == [(False, False)]
    await desk.work()
    assert await desk.rows(state) == [(True, True)]


async def test_turns_from_times_without_an_embedder_get_their_vectors_later(desk):
    await desk.write("before there was one", thread="a", embedded=False)
    assert await desk.waiting() == 0
    await desk.work()
    assert list(await desk.vectors()) == ["before there was one"]
    await desk.write("it was switched off for a while", thread="b", embedded=False)
    await desk.work(desk.another(desk.embedder))
    assert len(await desk.vectors()) == 2


async def test_erased_turns_leave_no_vector_and_get_none(desk):
    await desk.write("embedded")
    await desk.work()
    await desk.write("waiting", thread="b")
    until = desk.clock.now() + LEASE
    claimed = await desk.store.claim(desk.clock.now(), LEASE, 10)
    early = await desk.backlog._vectors(await desk.store.passages(claimed, desk.backlog._model_no))
    desk.clock.advance(3 * 86400)
    upkeep = ItemUpkeep(desk.database, desk.clock, policies(EMBEDDED))
    await MemoryRetention(desk.database, desk.clock, upkeep, policies(MemorySettings(retention_days=1)), 1).purge()
    await desk.store.keep(early, desk.backlog._model_no, 5000, until)
    for table in ("memory_turns", "memory_vectors", "memory_unembedded"):
        assert await desk.rows(f"SELECT * FROM {table}") == [], table


async def test_two_machines_share_the_queue_and_embed_everything_once(desk):
    for number in range(150):
        await desk.write(f"turn {number}", thread=str(number % 50))
    machines = [desk.another(desk.embedder) for _ in range(3)]
    await asyncio.gather(*(desk.work(one) for one in machines))
    assert len(await desk.vectors()) == 150
    assert await desk.waiting() == 0


async def test_figures_of_the_queue_are_set(desk):
    await desk.write("one", "two")
    desk.clock.advance(30)
    await desk.backlog._measure()
    value = desk.instruments.registry.get_sample_value
    assert value("cmg_memory_embedding_entries_waiting") == 2
    assert value("cmg_memory_embedding_age_seconds") == 30


async def test_the_background_work_survives_what_it_cannot_foresee(desk, database):
    await desk.write("one")
    await database.execute("ALTER TABLE memory_vectors RENAME TO hidden")
    running = asyncio.create_task(desk.backlog.run())
    await asyncio.sleep(0.5)
    assert not running.done()
    assert desk.backlog.trouble
    await database.execute("ALTER TABLE hidden RENAME TO memory_vectors")
    for _ in range(100):
        desk.clock.advance(61)
        await asyncio.sleep(0.05)
        if await desk.vectors():
            break
    running.cancel()
    assert list(await desk.vectors()) == ["one"]
