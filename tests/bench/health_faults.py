"""Faults taken and seconds to detect: a service loses each thing it depends on, and gets it back.

    python tests/bench/health_faults.py [--interval 30]

A real service with two gateways on a PostgreSQL, a Redis and an upstream of its own. A fault begins at a random moment
of the interval; a request every 0.2 s looks for its level, and afterwards for the level being well again. The full
disk is an injected `statvfs` in a prober of this process. About ten minutes, nearly all of them waiting.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cmg.health.board import Board  # noqa: E402
from cmg.health.history import History  # noqa: E402
from cmg.health.prober import Pace, Prober  # noqa: E402
from cmg.health.probes import disk  # noqa: E402
from cmg.health.reading import Reader  # noqa: E402
from cmg.health.store import HealthStore  # noqa: E402
from cmg.kit.clock import SystemClock  # noqa: E402
from cmg.storage.database import Database  # noqa: E402
from cmg.telemetry import logs  # noqa: E402
from cmg.telemetry.instruments import Instruments  # noqa: E402
from support.api import Api  # noqa: E402
from support.faulty_upstream import FaultyUpstream  # noqa: E402
from support.postgres import OwnPostgres  # noqa: E402
from support.processes import kill  # noqa: E402
from support.redis_server import RedisServer  # noqa: E402
from support.service import Service, ServiceOptions, upstream_toml  # noqa: E402

DEADLINE_S = 5.0
LIMIT_S = 120.0
Look = Callable[[], Awaitable[dict[str, str]]]


@dataclass
class Fault:
    """What is taken away and given back, and how it should be told: levels by component."""

    name: str
    take: Callable[[], object]
    give: Callable[[], object]
    wanted: dict[str, str]


@dataclass
class Disk:
    """An injected disk."""

    f_bavail: int = 10**6
    f_frsize: int = 4096
    f_blocks: int = 2 * 10**6
    f_files: int = 1000
    f_favail: int = 900


async def until(look: Look, wanted: dict[str, str]) -> float:
    """Seconds until these levels are told."""
    started = time.monotonic()
    while time.monotonic() - started < LIMIT_S:
        found = await look()
        if all(found.get(name) == level for name, level in wanted.items()):
            return time.monotonic() - started
        await asyncio.sleep(0.2)
    raise SystemExit(f"not told within {LIMIT_S} s: {wanted}; found {await look()}")


async def done(act: Callable[[], object]) -> None:
    """Do it, in a thread or in the loop."""
    if asyncio.iscoroutinefunction(act):
        await act()
    else:
        await asyncio.to_thread(act)


async def measure(fault: Fault, look: Look, interval_s: float) -> None:
    """One line of the table."""
    well = dict.fromkeys(fault.wanted, "HEALTHY")
    await until(look, well)
    await asyncio.sleep(random.uniform(0, interval_s))
    await done(fault.take)
    detected_s = await until(look, fault.wanted)
    levels = ", ".join(f"{name} {level}" for name, level in fault.wanted.items() if name != "service")
    await done(fault.give)
    recovered_s = await until(look, well)
    whole = fault.wanted["service"]
    print(f"| {fault.name} | {levels} | {whole} | {detected_s:.1f} | {recovered_s:.1f} |", flush=True)


class LockedQueue:
    """The queue's table, locked: no worker gets a job."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None

    async def take(self) -> None:
        """Lock it."""
        self._connection = await asyncpg.connect(self._dsn)
        await self._connection.execute("BEGIN; LOCK TABLE pgqueuer IN ACCESS EXCLUSIVE MODE")

    async def give(self) -> None:
        """Let go."""
        assert self._connection is not None
        await self._connection.close()


def faults(service: Service, redis: RedisServer, postgres: OwnPostgres, upstream: FaultyUpstream) -> list[Fault]:
    """Those of a whole service."""
    queue, stopped = LockedQueue(postgres.dsn), [0]

    def freeze(kind: str) -> Callable[[], None]:
        def act() -> None:
            stopped[0] = max(service.pids(kind))
            kill(stopped[0], signal.SIGSTOP)

        return act

    def thaw() -> None:
        kill(stopped[0], signal.SIGCONT)

    def answers(word: str) -> Callable[[], None]:
        return lambda: setattr(upstream, "silent", word == "never")

    return [
        Fault(
            "Redis killed", redis.kill, redis.start, {"cache": "UNHEALTHY", "redis": "UNHEALTHY", "service": "DEGRADED"}
        ),
        Fault("PostgreSQL stopped", postgres.stop, postgres.start, {"database": "UNHEALTHY", "service": "DEGRADED"}),
        Fault(
            "the only upstream accepts and never answers",
            answers("never"),
            answers("always"),
            {"upstream/faulty": "UNHEALTHY", "service": "UNHEALTHY"},
        ),
        Fault(
            "the job queue locked: no job is done",
            queue.take,
            queue.give,
            {"workers": "UNHEALTHY", "service": "DEGRADED"},
        ),
        Fault(
            "background process stopped (SIGSTOP)",
            freeze("backstage"),
            thaw,
            {"workers": "UNHEALTHY", "health": "UNHEALTHY", "service": "DEGRADED"},
        ),
        Fault(
            "process that makes notes stopped", freeze("notes"), thaw, {"memory": "UNHEALTHY", "service": "DEGRADED"}
        ),
    ]


@asynccontextmanager
async def injected_disk(interval_s: float) -> AsyncIterator[tuple[Disk, Look]]:
    """A prober of this process with a disk that can be filled."""
    figures, clock, pace = Disk(), SystemClock(), Pace(interval_s, DEADLINE_S)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        board = Board(folder / "health.report")
        instruments = Instruments()
        nowhere = HealthStore(Database("postgresql:///none?host=/nowhere", clock=clock, instruments=instruments))
        history = History(folder / "health.history", "bench", nowhere, clock, instruments)
        probe = disk.probe(folder, 512 * 2**20, folder, lambda _: figures)
        task = asyncio.create_task(Prober([probe], pace, board, history, clock, instruments).run())
        reader = Reader(board, pace, clock)

        async def look() -> dict[str, str]:
            standing = reader.standing()
            return {"service": standing.level.name, **{one.component.name: one.level.name for one in standing.states}}

        try:
            yield figures, look
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def main(interval_s: float) -> None:
    """Print the table."""
    redis, postgres = RedisServer(), OwnPostgres()
    redis.start()
    with FaultyUpstream() as upstream:
        toml = f"[health]\ninterval_s = {interval_s}\n" + upstream_toml("faulty", upstream.url)
        environ = {"CMG_DATABASE_URL": postgres.dsn, "CMG_REDIS_URL": redis.url}
        try:
            with Service(ServiceOptions(toml=toml, workers=2, environ=environ)) as service:
                async with Api(service.url, service.key) as api, injected_disk(interval_s) as (figures, disk_look):

                    async def look() -> dict[str, str]:
                        told = (await api.get("/health")).json
                        return {"service": told["level"], **told["levels"]}

                    print("| fault | level of the component | of the whole | s to detect | s to recover |")
                    print("| --- | --- | --- | --- | --- |")
                    full = Fault(
                        "disk full (injected)",
                        lambda: setattr(figures, "f_bavail", 0),
                        lambda: setattr(figures, "f_bavail", 10**6),
                        {"disk": "CRITICAL", "service": "CRITICAL"},
                    )
                    beside = asyncio.create_task(measure(full, disk_look, interval_s))
                    for fault in faults(service, redis, postgres, upstream):
                        await measure(fault, look, interval_s)
                    await beside
        finally:
            redis.close()
            postgres.close()


if __name__ == "__main__":
    logs.configure("critical", "bench")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interval", type=float, default=30.0)
    asyncio.run(main(parser.parse_args().interval))
