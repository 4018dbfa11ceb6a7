"""Threads are read for facts in the background: once, by one process, and nothing is lost or doubled by a kill."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from cmg.config import MemorySettings
from cmg.memory.extraction.worker import ExtractionWorker, RuleExtractor, drawn_by_rules, how_many
from cmg.memory.items.models import Changes
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner
from cmg.memory.turn_sink import TurnSink
from cmg.telemetry.instruments import Instruments
from rooms.memory.conftest import PATIENT, Memory, said, scope
from support.policies import policies

FACTS = ["I live in Berlin", "My dog is called Bruno"]
TURN = "I live in Berlin. My dog is called Bruno."


class Failing:
    """An extractor that fails as often as it is told."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def extract(self, _claim, passages):
        self.times -= 1
        if self.times >= 0:
            raise ValueError("the model is confused")
        return drawn_by_rules(passages)


class Slow(RuleExtractor):
    """An extractor that waits until it may go on."""

    def __init__(self) -> None:
        self.begun, self.may_go_on = asyncio.Event(), asyncio.Event()

    async def extract(self, claim, passages):
        self.begun.set()
        await self.may_go_on.wait()
        return await super().extract(claim, passages)


def worker(memory: Memory, extractor=None) -> ExtractionWorker:
    writer = ItemWriter(memory.clock, policies(PATIENT))
    return ExtractionWorker(memory.database, memory.clock, Instruments(), extractor or RuleExtractor(), writer)


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


async def facts(memory: Memory) -> list[str]:
    rows = await memory.database.fetch(
        "SELECT t.content, f.mentions FROM memory_facts f JOIN memory_turns t ON t.id = f.item_id ORDER BY t.content"
    )
    assert all(row["mentions"] == 1 for row in rows)
    return [row["content"] for row in rows]


async def waiting(memory: Memory) -> int:
    return await memory.database.fetchval("SELECT count(*) FROM memory_extractions")


async def test_a_thread_is_read_a_moment_after_its_last_turn(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN, "Nice weather."))
    assert (await worker(memory).once(), await waiting(memory)) == (0, 1)
    memory.clock.advance(2)
    await memory.keep(scope(), said("I'm from Peru."))
    memory.clock.advance(2)
    assert await worker(memory).once() == 0
    memory.clock.advance(2)
    assert (await worker(memory).once(), await waiting(memory)) == (1, 0)
    assert await facts(memory) == [FACTS[0], "I'm from Peru", FACTS[1]]
    row = await memory.database.fetchrow("SELECT * FROM memory_facts WHERE relation = 'lives in'")
    source = await memory.database.fetchval("SELECT id FROM memory_turns WHERE content = $1", TURN)
    assert (row["subject"], row["value"], row["quote"], row["sources"]) == ("user", "Berlin", FACTS[0], [source])


async def test_a_conversation_without_a_pause_is_read_too(memory: Memory) -> None:
    for number in range(40):
        await memory.keep(scope(), said(f"Turn {number}. {TURN}"))
        memory.clock.advance(2)
    assert await worker(memory).once() == 1


async def test_only_what_is_new_is_read(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    memory.clock.advance(5)
    await worker(memory).once()
    await memory.keep(scope(), said(TURN))
    assert await waiting(memory) == 0
    await memory.keep(scope(), said("I'm from Peru."))
    memory.clock.advance(5)
    await worker(memory).once()
    assert len(await facts(memory)) == 3


@pytest.mark.parametrize(
    ("first", "then", "now"),
    [
        ("The kickoff is on Monday.", "Kickoff was moved to Friday.", "Kickoff was moved to Friday (Friday, 27 "),
        ("I'm vegetarian.", "I'm no longer vegetarian.", "I'm no longer vegetarian"),
        ("I moved to Porto.", "I moved from Porto to Braga.", "I moved from Porto to Braga"),
        ("The deadline is 3 May.", "The deadline was moved to 19 May.", "The deadline was moved to 19 May."),
        ("I like olives.", "I don't like olives any more.", "I don't like olives any more"),
        ("I need to pay the rent by Friday.", "I've paid the rent.", "I've paid the rent."),
    ],
)
async def test_a_later_word_supersedes_an_earlier_one(memory: Memory, first: str, then: str, now: str) -> None:
    """Also where a day that was planned is moved to an earlier one."""
    for text in (first, then):
        await memory.keep(scope(), said(text))
        memory.clock.advance(60)
        await worker(memory).once()
    rows = await memory.database.fetch(
        "SELECT t.content, t.retired_at FROM memory_facts f JOIN memory_turns t ON t.id = f.item_id"
    )
    assert len(rows) == 2
    (current,) = [row["content"] for row in rows if row["retired_at"] is None]
    assert current.startswith(now)


async def test_a_long_thread_is_read_in_steps(memory: Memory, monkeypatch) -> None:
    monkeypatch.setattr("cmg.memory.extraction.worker._PASSAGES", 3)
    await memory.keep(scope(), said(*(f"I need to call number {number}." for number in range(10))))
    memory.clock.advance(5)
    rounds = 0
    while await worker(memory).once():
        rounds += 1
    assert (rounds, len(await facts(memory)), await waiting(memory)) == (4, 10, 0)


@pytest.mark.parametrize(("done", "took_s", "next_time"), [(16, 0.02, 64), (64, 0.1, 64), (64, 2.0, 16), (3, 0.01, 16)])
def test_more_threads_are_read_together_while_it_is_quick(done: int, took_s: float, next_time: int) -> None:
    assert how_many(done, took_s) == next_time


async def test_a_thread_is_read_by_one_process_at_a_time(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    memory.clock.advance(5)
    slow = Slow()
    first = asyncio.create_task(worker(memory, slow).once())
    await slow.begun.wait()
    assert await worker(memory).once() == 0
    await memory.keep(scope(), said("I'm from Peru."))
    slow.may_go_on.set()
    assert await first == 1
    assert (await facts(memory), await waiting(memory)) == (FACTS, 1)
    memory.clock.advance(5)
    await worker(memory).once()
    assert (len(await facts(memory)), await waiting(memory)) == (3, 0)


async def test_what_fails_is_tried_again_and_given_up_at_last(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    failing = worker(memory, Failing(7))
    for _ in range(5):
        memory.clock.advance(60)
        assert await failing.once() == 1
    memory.clock.advance(3600)
    assert await failing.once() == 0
    row = await memory.database.fetchrow("SELECT * FROM memory_extractions")
    assert (row["attempts"], row["error"], row["failed_at"] is None) == (5, "ValueError: the model is confused", False)
    await memory.keep(scope(), said("I'm from Peru."))
    for _ in range(3):
        memory.clock.advance(60)
        await failing.once()
    assert (len(await facts(memory)), await waiting(memory)) == (3, 0)


async def test_switched_off_nothing_waits(memory: Memory) -> None:
    memory.sink = TurnSink(memory.clock, policies(MemorySettings(extraction="off")))
    await memory.keep(scope(), said(TURN))
    assert await waiting(memory) == 0


async def test_an_edited_turn_is_read_again(memory: Memory) -> None:
    await memory.keep(scope(), said(TURN))
    memory.clock.advance(5)
    await worker(memory).once()
    turn = await memory.database.fetchval("SELECT id FROM memory_turns WHERE content = $1", TURN)
    async with memory.database.transaction() as conn:
        changes = Changes(content="I live in Bern. My dog is called Bruno.")
        await ItemWriter(memory.clock, policies(PATIENT)).edit(conn, Owner("default", "ana"), turn, changes)
    assert await worker(memory).once() == 1
    drawn = await memory.database.fetch("SELECT value FROM memory_facts WHERE origin = 'rules' ORDER BY value")
    assert [row["value"] for row in drawn] == ["Bern", "yes"]


async def test_threads_without_facts_are_ended_together_and_with_new_turns_go_on(memory: Memory) -> None:
    for number in range(20):
        await memory.keep(scope(user=f"user{number}", thread="t"), said("Nice weather." if number else TURN))
    memory.clock.advance(5)
    slow = Slow()
    first = asyncio.create_task(worker(memory, slow).once())
    await slow.begun.wait()
    await memory.keep(scope(user="user1", thread="t"), said("I'm from Peru."))
    slow.may_go_on.set()
    assert await first == 16
    assert (await facts(memory), await waiting(memory)) == (FACTS, 5)  # four unread, one with a new turn
    unread = await memory.database.fetchval("SELECT count(*) FROM memory_threads WHERE extracted_seq = 0")
    assert unread == 4
    memory.clock.advance(5)
    assert await worker(memory).once() == 5
    assert (sorted(await facts(memory)), await waiting(memory)) == (sorted([*FACTS, "I'm from Peru"]), 0)


async def test_what_was_begun_and_not_ended_is_read_apart_from_the_rest(memory: Memory) -> None:
    for number in range(12):
        await memory.keep(scope(user=f"user{number}", thread="t"), said("Nice weather."))
    memory.clock.advance(5)
    await memory.database.execute("UPDATE memory_extractions SET attempts = 1 WHERE thread_no % 2 = 0")
    assert await worker(memory).once() == 6 + 4
    assert await waiting(memory) == 2


async def test_what_cannot_be_begun_in_time_is_left_to_its_lease(memory: Memory, monkeypatch) -> None:
    monkeypatch.setattr("cmg.memory.extraction.worker._BEGIN_S", -1.0)
    await memory.keep(scope(), said(TURN))
    memory.clock.advance(5)
    assert (await worker(memory).once(), await facts(memory), await waiting(memory)) == (1, [], 1)
    monkeypatch.undo()
    memory.clock.advance(90)
    assert (await worker(memory).once(), await facts(memory), await waiting(memory)) == (1, FACTS, 0)


@pytest.mark.parametrize("moment", ["before", "inside"])
async def test_a_killed_process_loses_and_doubles_nothing(memory: Memory, moment: str) -> None:
    for thread in ("a", "b", "c"):
        await memory.keep(scope(user=thread, thread=thread), said(TURN))
    memory.clock.advance(5)
    script = Path(__file__).with_name("killed_extraction.py")
    arguments = [sys.executable, str(script), memory.database.dsn, str(memory.clock.time()), moment]
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE, env=_environ())
    assert process.stdout is not None
    async with asyncio.timeout(30):
        assert await process.stdout.readline() == b"reading\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert await worker(memory).once() == 0
    assert (await facts(memory), await waiting(memory)) == ([], 3)
    memory.clock.advance(90)
    assert await worker(memory).once() == 3
    assert (sorted(await facts(memory)), await waiting(memory)) == (sorted(FACTS * 3), 0)
    assert await worker(memory).once() == 0
