"""Measures the logbook: how search grows with the lines in the database, and what 2,000 lines a second cost.

python tests/bench/logbook_scale.py fill DIR [lines]     # a server in DIR with lines of a day (default: 2 million)
python tests/bench/logbook_scale.py search DIR           # p50 and p95 of searches, selective ones and others
python tests/bench/logbook_scale.py stream DIR           # CPU of the writing process and of the drain, 20 s
"""

import asyncio
import random
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cmg.kit.clock import SystemClock
from cmg.logbook.cold.file_store import FileStore
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.hot.drain import LogDrain
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line
from cmg.logbook.patterns.keeping import Patterns
from cmg.logbook.patterns.pattern_store import PatternStore
from cmg.logbook.searching import Search
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments

BATCH = 5000
RATE, SECONDS = 2000, 20
WORDS = [f"word{number}" for number in range(2000)]
LOGGERS = [f"cmg.part{number % 7}.module{number}" for number in range(40)]
KINDS = [
    "request",
    "upstream answered",
    "a recall took long",
    "the cache missed",
    "turns were stored",
    "a key was refused",
]

WRITER = """
import sys, time, resource
from pathlib import Path
from cmg.telemetry import logs
logs.configure("info", "bench", Path(sys.argv[1]))
log = logs.get_logger("cmg.bench.stream")
rate, seconds = int(sys.argv[2]), int(sys.argv[3])
began, sent = time.monotonic(), 0
before = resource.getrusage(resource.RUSAGE_SELF)
while (now := time.monotonic() - began) < seconds:
    while sent < now * rate:
        log.info("upstream answered", number=sent, model="m-1", **{"cmg.request_id": f"r{sent}", "event.duration": 9})
        sent += 1
    time.sleep(0.002)
after = resource.getrusage(resource.RUSAGE_SELF)
print(sent, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


def lines(begin: int, count: int, start: datetime) -> list[Line]:
    """Lines as a busy service has them: few kinds, many ids, words that are common and words that are rare."""
    dice = random.Random(begin)
    found = []
    for number in range(begin, begin + count):
        fields: dict[str, Any] = {"process.name": f"gateway-{number % 4}", "event.duration": dice.randrange(2**30)}
        fields["cmg.note"] = " ".join(dice.choices(WORDS, k=6))
        if number % 1000 == 0:
            fields["error.message"] = f"needle{number // 1000} in the hay"
        found.append(
            Line(
                at=start + timedelta(milliseconds=number * 40),
                severity=40 if number % 200 == 0 else 20,
                logger=dice.choice(LOGGERS),
                service="context-memory-gateway",
                message=f"{dice.choice(KINDS)} after {dice.randrange(1000)} ms",
                fields=fields,
                workspace_id=f"team{number % 20}",
                request_id=f"{number:032x}",
            )
        )
    return found


async def fill(database: Database, wanted: int) -> None:
    """Store lines of the last day."""
    clock = SystemClock()
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    store = LineStore(database, clock)
    await store.ensure_days()
    there = int(await database.fetchval("SELECT count(*) FROM log_lines", timeout_s=60))
    began = time.monotonic()
    for begin in range(there, wanted, BATCH):
        await store.write(lines(begin, BATCH, start))
    took = time.monotonic() - began
    print(f"{wanted - there} lines in {took:.0f} s, {(wanted - there) / max(took, 0.001):.0f} a second", flush=True)
    await database.execute("ANALYZE log_lines", timeout_s=120)
    size = await database.fetchval("SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits", timeout_s=60)
    print(f"{int(size) / wanted:.0f} bytes a line with indexes")


async def search(database: Database) -> None:
    """How long searches take."""
    clock = SystemClock()
    count = int(await database.fetchval("SELECT count(*) FROM log_lines", timeout_s=60))
    files = FileSearch(FileStore(database, clock), Shelves({}), clock)
    using = Search(LineStore(database, clock), files, clock, 366)
    dice = random.Random(1)
    asked: dict[str, Callable[[], dict[str, Any]]] = {
        "a rare word": lambda: {"q": f"needle{dice.randrange(count // 1000)}"},
        "two words": lambda: {"q": " ".join(dice.choices(WORDS, k=2))},
        "a common word": lambda: {"q": "upstream"},
        "a rare word of a team": lambda: {
            "q": dice.choice(WORDS),
            "workspace": "",
            "team": f"team{dice.randrange(20)}",
        },
        "a request": lambda: {"request_id": f"{dice.randrange(count):032x}"},
        "errors": lambda: {"level": "error"},
        "a component and a word": lambda: {"logger": dice.choice(LOGGERS), "q": dice.choice(WORDS)},
        "nothing there": lambda: {"q": "nosuchwordatall"},
    }
    for name, make in asked.items():
        took = []
        for _ in range(100):
            values = make()
            team = values.pop("team", None)
            began = time.perf_counter()
            await using.page({"tiers": "hot", "until": "2199-01-01", **values}, team)
            took.append(time.perf_counter() - began)
        took.sort()
        print(f"{count:>9} lines  {name:24} p50 {took[49] * 1000:7.1f} ms  p95 {took[94] * 1000:7.1f} ms", flush=True)


async def stream(database: Database, folder: Path) -> None:
    """CPU of 2,000 lines a second: of the process that writes them, of the drain, and of the database."""
    clock, instruments = SystemClock(), Instruments()
    patterns = Patterns(PatternStore(database), clock, instruments)
    drain = LogDrain(LineStore(database, clock, patterns.count), folder / "spool", clock, instruments, patterns)
    told = [sys.executable, "-c", WRITER, str(folder / "spool"), str(RATE), str(SECONDS)]
    await drain.drain_all()
    before = resource.getrusage(resource.RUSAGE_SELF)
    writer = await asyncio.create_subprocess_exec(*told, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    draining = asyncio.create_task(drain.run())
    assert writer.stdout is not None
    sent, cpu = (await writer.stdout.read()).split()
    await asyncio.sleep(2)
    draining.cancel()
    stored = instruments.registry.get_sample_value("cmg_log_lines_stored_total", {"source": "spool"}) or 0
    after = resource.getrusage(resource.RUSAGE_SELF)
    drained = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{int(sent)} lines in {SECONDS} s, stored {stored:.0f}")
    print(f"writer {float(cpu) / SECONDS:.1%} of a core, drain {drained / SECONDS:.1%} of a core")


async def main(what: str, folder: Path, more: list[str]) -> None:
    """Start the server of the folder and do one thing."""
    server = EmbeddedPostgres(folder, SystemClock())
    dsn = await server.start()
    await migrate(dsn, clock=SystemClock())
    database = Database(dsn, clock=SystemClock(), instruments=Instruments())
    await database.open()
    steps: dict[str, Callable[[], Awaitable[None]]] = {
        "fill": lambda: fill(database, int(more[0]) if more else 2_000_000),
        "search": lambda: search(database),
        "stream": lambda: stream(database, folder),
    }
    try:
        await steps[what]()
    finally:
        await database.close()
        await server.stop()


if __name__ == "__main__":
    place = Path(sys.argv[2])
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o755)
    asyncio.run(main(sys.argv[1], place, sys.argv[3:]))
