"""Who reads threads and who writes them lock their rows in one order."""

import asyncio
from datetime import UTC, datetime

import pytest

from cmg.memory.extraction.models import Claim
from cmg.memory.extraction.store import ExtractionStore
from cmg.memory.models import Owner, Thread
from cmg.memory.store import MemoryStore
from support.service import eventually

AT = datetime(2026, 1, 1, tzinfo=UTC)
THREADS = [Thread(Owner("default", "u"), name, implicit=False) for name in ("a", "b")]
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


@pytest.fixture
async def claims(database):
    """The claims of two threads that wait to be read, in the other order than they are written in."""
    extractions = ExtractionStore()
    async with database.transaction() as conn:
        held = await MemoryStore().hold(conn, THREADS, AT, lambda _: True)
        await extractions.queue(conn, [(held[one][1], "default") for one in THREADS], AT, 0)
    return [
        Claim(thread_no=held[one][1], thread=one, extracted_seq=0, wanted=1, attempts=1) for one in reversed(THREADS)
    ]


async def _write(database):
    async with database.transaction(15) as conn:
        held = await MemoryStore().hold(conn, THREADS, AT, lambda _: True)
        await ExtractionStore().queue(conn, [(held[one][1], "default") for one in THREADS], AT, 0)


async def _end(database, claims):
    async with database.transaction(15) as conn:
        await ExtractionStore().ended(conn, claims, [5, 5], AT)


async def _waiting(database, many):
    async def all_wait():
        return await database.fetchval(WAITING) == many

    await eventually(all_wait, 10, f"{many} wait for a lock")


@pytest.mark.parametrize("table", ["memory_threads", "memory_extractions"])
async def test_reading_and_writing_the_same_threads_at_once_ends_in_no_deadlock(database, claims, table):
    async with database.transaction(20) as first:
        await first.execute(f"SELECT FROM {table} WHERE thread_no = $1 FOR UPDATE", claims[1].thread_no)
        writing = asyncio.create_task(_write(database))
        await _waiting(database, 1)
        ending = asyncio.create_task(_end(database, claims))
        await _waiting(database, 2)
    await asyncio.gather(writing, ending)
