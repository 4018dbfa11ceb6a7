"""Kill -9 of a writer, of the drain and of PostgreSQL: every acknowledged record is stored exactly once."""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pytest

from cmg.config import JournalSettings
from cmg.kit.clock import SystemClock
from cmg.ledger.drain import JournalDrain
from cmg.ledger.journal import Journal
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import SMALL, TableSink, folders, make_table, stored, until, usage_payload
from support.clusters import open_folder

CHANCE = random.Random(20261124)
TESTS = Path(__file__).parents[2]

# Appends records until it is killed; after each append it says so on its standard output.
WRITER = """
import os, sys
from pathlib import Path
from rooms.ledger.spools import SMALL
from cmg.ledger.journal import Journal
from cmg.telemetry.instruments import Instruments

journal = Journal(Path(sys.argv[1]), SMALL.__class__(segment_bytes=4096), Instruments())
number = 0
while True:
    pairs = [("usage", f"{sys.argv[2]}:{number}:{place}".ljust(number % 300, ".").encode()) for place in (0, 1)]
    journal.append(pairs)
    os.write(1, b"%d\\n" % number)
    number += 1
"""

# Drains, and dies by its own hand at a chosen moment of a chosen batch.
DRAINER = """
import asyncio, os, signal, sys
from pathlib import Path
from cmg.kit.clock import SystemClock
from cmg.ledger import drain as module
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import TableSink

spool, dsn, moment, last = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
module.MAX_RECORDS = 50
count = 0

def die(when):
    global count
    if when == moment:
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

class Sink(TableSink):
    async def write(self, conn, payloads):
        die("before insert")
        await super().write(conn, payloads)
        die("before commit")

class Drain(module.JournalDrain):
    async def _write(self, batch):
        await super()._write(batch)
        die("after commit")

async def main():
    database = Database(dsn, clock=SystemClock(), instruments=Instruments())
    await database.open()
    drain = Drain(database, spool, {"usage": Sink()}, SystemClock(), Instruments(), lambda: die("after progress"))
    await drain.drain_all()

asyncio.run(main())
"""


def _start(script: str, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True, env=environment
    )


def _killed_writer(spool: Path, name: str) -> int:
    """How many appends a writer acknowledged before it was killed at some point."""
    writer = _start(WRITER, str(spool), name)
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(CHANCE.uniform(0, 0.03))
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate()[0]
    return 1 + rest.count("\n")


async def test_a_killed_writers_acknowledged_records_are_all_stored_once(
    database: Database, tmp_path: Path, instruments: Instruments
) -> None:
    await make_table(database)
    writers = {f"w{n}": _killed_writer(tmp_path, f"w{n}") for n in range(8)}
    drain = JournalDrain(database, tmp_path, {"usage": TableSink()}, SystemClock(), instruments)
    await drain.drain_all()
    found = await stored(database)
    assert max(Counter(found).values()) == 1
    for name, acknowledged in writers.items():
        own = [
            tuple(map(int, payload.rstrip(".").split(":")[1:])) for payload in found if payload.startswith(f"{name}:")
        ]
        assert own[: 2 * acknowledged] == [(number, place) for number in range(acknowledged) for place in (0, 1)]
        assert len(own) in {2 * acknowledged, 2 * acknowledged + 2}  # the last append may not have been said
    assert folders(tmp_path) == []


@pytest.mark.parametrize("moment", ["before insert", "before commit", "after commit", "after progress"])
async def test_a_drain_killed_at_any_moment_stores_each_record_once(
    database: Database, dsn: str, tmp_path: Path, instruments: Instruments, moment: str
) -> None:
    await make_table(database)
    journal = Journal(tmp_path, SMALL, instruments)
    sent = [f"r{n}" for n in range(400)]
    for payload in sent:
        journal.append([("usage", payload.encode())])
    for batch in (1, 3):
        killed = _start(DRAINER, str(tmp_path), dsn, moment, str(batch))
        assert killed.wait(60) == -signal.SIGKILL
    drain = JournalDrain(database, tmp_path, {"usage": TableSink()}, SystemClock(), instruments)
    await drain.drain_all()
    journal.close()
    assert await stored(database) == sent


@pytest.fixture
async def server():
    """A PostgreSQL of this test's own, which is started again when it dies."""
    folder = open_folder(f"ledger-{uuid.uuid4().hex[:8]}")
    made = EmbeddedPostgres(folder, SystemClock())
    await migrate(await made.start())
    watch = asyncio.create_task(made.watch())
    yield made
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch
    await made.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def _calls(journal: Journal, stop: asyncio.Event) -> int:
    """Append usage records until told to stop; returns how many were taken."""
    count = 0
    while not stop.is_set():
        journal.append([("usage", usage_payload(cost_nano=1))])
        count += 1
        await asyncio.sleep(0.001)
    return count


async def test_a_killed_postgres_loses_and_doubles_nothing(
    server: EmbeddedPostgres, tmp_path: Path, instruments: Instruments
) -> None:
    database = Database(server.dsn, clock=SystemClock(), instruments=instruments)
    await database.open()
    sink = UsageSink()
    drain = JournalDrain(database, tmp_path, {"usage": sink}, SystemClock(), instruments, sink.committed)
    task, stop = asyncio.create_task(drain.run()), asyncio.Event()
    journals = [Journal(tmp_path, JournalSettings(), instruments) for _ in range(2)]
    calls = [asyncio.create_task(_calls(journal, stop)) for journal in journals]
    for _ in range(3):
        await asyncio.sleep(CHANCE.uniform(0.3, 0.8))
        pid = server.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            await until(lambda dead=pid: server.pid not in {dead, None})
    stop.set()
    counts = await asyncio.gather(*calls)
    await until(lambda: all(journal.undrained_bytes == 0 for journal in journals), 60)
    task.cancel()
    row = await database.fetchrow("SELECT count(*) AS calls, count(DISTINCT id) AS ids FROM usage_records")
    assert (row["calls"], row["ids"]) == (sum(counts), sum(counts))
    assert await database.fetchval("SELECT sum(spent_nano) FROM key_spending") == sum(counts)
    for journal in journals:
        journal.close()
    await database.close()
