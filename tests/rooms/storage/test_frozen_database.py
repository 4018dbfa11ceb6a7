"""A server that stops answering in the middle of a statement: what its callers wait for, and what is left of it."""

import asyncio
import gc
import os
import signal
import time

import pytest

from cmg.storage.database import DatabaseAway


@pytest.fixture
async def frozen(database):
    """A function that freezes the server's side of a connection; all of them go on before the database is left."""
    assert await database.ping() < 2
    stopped: list[int] = []

    async def freeze(connection):
        stopped.append(await connection.fetchval("SELECT pg_backend_pid()"))
        os.kill(stopped[-1], signal.SIGSTOP)

    yield freeze
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


async def test_deadline_of_who_asks_a_frozen_server_is_not_doubled_by_giving_its_connection_back(database, frozen):

    async def ask():
        async with database.transaction(timeout_s=3) as connection:
            await frozen(connection)
            await connection.fetchval("SELECT 1")

    started = time.monotonic()
    with pytest.raises(DatabaseAway, match=r"did not answer within 3 s"):
        await ask()
    assert time.monotonic() - started < 5
    assert await database.fetchval("SELECT 1") == 1


async def test_caller_that_gives_up_while_a_connection_goes_back_leaves_no_error_to_nobody(database, frozen):
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

    async def ask():
        async with database.connection(timeout_s=0.4) as connection:
            await frozen(connection)
            await connection.fetchval("SELECT 1")

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.5)  # the deadline has passed, and the statement is being cancelled
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await asyncio.sleep(1.2)
    gc.collect()
    assert told == []
    assert database.pool_use() == (0, 20)
