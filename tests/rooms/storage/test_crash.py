"""kill -9 of PostgreSQL under writers, and of the process that started it: no acknowledged row is lost."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from cmg.kit.clock import SystemClock
from cmg.storage.changes import announce
from cmg.storage.database import Database, DatabaseAway
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.migrate import migrate
from support.clusters import open_folder
from support.processes import alive, kill, wait_until
from support.service import eventually

PARENT = """
import asyncio, sys, time
from pathlib import Path
from cmg.kit.clock import SystemClock
from cmg.storage.embedded import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]), SystemClock())
asyncio.run(server.start())
print(server.pid, flush=True)
time.sleep(600)
"""


def start_parent(folder: Path) -> "subprocess.Popen[str]":
    """A process that starts the server of a data dir, prints its process id, and stays."""
    return subprocess.Popen([sys.executable, "-c", PARENT, str(folder)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
async def server(request: pytest.FixtureRequest) -> AsyncIterator[EmbeddedPostgres]:
    """A server with its real, safe settings in a data dir of its own; a test may lay others over them."""
    folder = open_folder(f"crash-{uuid.uuid4().hex[:8]}")
    one = EmbeddedPostgres(folder, SystemClock(), settings=getattr(request, "param", None))
    await one.start()
    yield one
    await one.stop()
    shutil.rmtree(folder)


@contextlib.asynccontextmanager
async def watched(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Run the server's watch during the block."""
    task = asyncio.create_task(server.watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def another_than(server: EmbeddedPostgres, killed: int | None) -> int:
    """The server's first process once it is another: what a killed one leaves behind still answers for a moment."""

    async def came() -> int | None:
        return server.pid if server.pid != killed else None

    return await eventually(came, 30, "the server is started again")


async def answering(database: Database) -> None:
    """Wait until the database answers again."""

    async def answers() -> bool:
        try:
            return await database.fetchval("SELECT 1") == 1
        except DatabaseAway:
            return False

    await eventually(answers, 20, "the database answers")


async def test_nothing_acknowledged_is_lost_when_the_server_is_killed_under_writers(server, instruments):
    database = Database(server.dsn, clock=SystemClock(), instruments=instruments)
    await database.open()
    await database.execute("CREATE TABLE rows (writer int, n int, PRIMARY KEY (writer, n))")
    acknowledged: set[tuple[int, int]] = set()
    away = 0
    stop = asyncio.Event()

    async def write(writer: int) -> None:
        nonlocal away
        n = 0
        while not stop.is_set():
            n += 1
            try:
                await database.execute("INSERT INTO rows VALUES ($1, $2)", writer, n, timeout_s=2)
            except DatabaseAway:
                away += 1
                await asyncio.sleep(0.02)
            else:
                acknowledged.add((writer, n))

    other = EmbeddedPostgres(server.data_dir, SystemClock())  # as another process would
    await other.start()
    async with watched(server), watched(other):
        writers, first = [asyncio.create_task(write(number)) for number in range(4)], server.pid
        for _ in range(3):
            before = len(acknowledged)

            async def more(count: int = before + 50) -> bool:
                return len(acknowledged) > count

            await eventually(more, 30, "writers go on")
            kill(first)
            first = await another_than(server, first)
        last = len(acknowledged)

        async def on() -> bool:
            return len(acknowledged) > last + 20

        await eventually(on, 30, "writers go on after the last kill")
        stop.set()
        await asyncio.gather(*writers)
    assert not await other.stop()
    stored = {(row["writer"], row["n"]) for row in await database.fetch("SELECT * FROM rows")}
    await database.close()
    assert away > 0
    assert acknowledged <= stored
    assert len(stored) - len(acknowledged) <= 4 * 3  # at most the one in flight of each writer at each kill


@pytest.mark.parametrize("server", [None, {"wal_level": "minimal"}], ids=["ours", "minimal"], indirect=True)
async def test_numbers_given_out_are_not_given_out_again_after_a_kill_at_the_first_start(server, instruments):
    """No checkpoint lies between the migrations and the kill. A change with an old number would reach nobody.

    A database of the operator's own may log as little as it can.
    """
    await migrate(server.dsn)
    database = Database(server.dsn, clock=SystemClock(), instruments=instruments)
    await database.open()

    async def change() -> int:
        async with database.transaction() as connection:
            await announce(connection, "keys", ["a"], SystemClock().now())
        return await database.fetchval("SELECT max(version) FROM changes")

    before = [await change() for _ in range(3)]
    async with watched(server):
        killed = server.pid
        kill(killed)
        await another_than(server, killed)
        await answering(database)
        assert await change() > max(before)
    await database.close()


async def test_killed_backend_takes_the_others_down_and_all_recover(server, instruments):
    database = Database(server.dsn, clock=SystemClock(), instruments=instruments)
    await database.open()
    kill(await database.fetchval("SELECT pg_backend_pid()"))
    await answering(database)
    await database.close()


async def test_server_of_a_killed_parent_is_taken_over_and_stopped_by_the_next():
    folder = open_folder(f"crash-{uuid.uuid4().hex[:8]}")
    parent = start_parent(folder)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    assert alive(pid)
    heir = EmbeddedPostgres(folder, SystemClock())
    dsn = await heir.start()
    assert heir.pid == pid
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
    assert await heir.stop()
    assert not alive(pid)
    shutil.rmtree(folder)


async def test_parent_and_server_killed_together_leave_a_data_dir_that_starts():
    folder = open_folder(f"crash-{uuid.uuid4().hex[:8]}")
    parent = start_parent(folder)
    pid = int(parent.stdout.readline())
    kill(parent.pid)
    kill(pid)
    parent.wait(10)
    parent.stdout.close()
    wait_until(lambda: not alive(pid), 10, "the server is dead")
    heir = EmbeddedPostgres(folder, SystemClock())
    await heir.start()
    assert heir.pid not in {None, pid}
    await heir.stop()
    shutil.rmtree(folder)


async def test_killed_first_start_leaves_a_data_dir_that_starts():
    folder = open_folder(f"crash-{uuid.uuid4().hex[:8]}")
    parent = start_parent(folder)
    wait_until(lambda: list(folder.glob("postgres.new-*")), 20, "initdb runs")
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    heir = EmbeddedPostgres(folder, SystemClock())
    await heir.start()
    assert await heir.stop()
    shutil.rmtree(folder)
