"""Every probe on its real thing: it finds it well, taken away, and well again; and nothing fools its decoy."""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from cmg.health.looking import Probe, seen
from cmg.health.models import Level, Reading
from cmg.health.probes import cache as cache_probes
from cmg.health.probes import database as database_probes
from cmg.health.probes import disk, upstream
from cmg.health.probes.canary import canary
from cmg.health.probes.jobs import TRIAL, queue_probe, workers_probe
from cmg.health.probes.processes import gateway_probe, memory_probe, own_probe
from cmg.health.probes.timeseries import freshness_probe, remote_probe
from cmg.health.store import HealthStore
from cmg.jobs.queue import Jobs
from cmg.kit.clock import SystemClock
from cmg.storage.cache import Cache
from cmg.storage.database import Database
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock
from support.postgres import OwnPostgres
from support.redis_server import RedisServer
from support.service import eventually, free_port

DEADLINE_S = 5.0
H, D, U, C = Level.HEALTHY, Level.DEGRADED, Level.UNHEALTHY, Level.CRITICAL


async def look(probe: Probe) -> tuple[Level, dict[str, Reading]]:
    """The level, and readings by measurement, within the deadline."""
    started = time.monotonic()
    found = await seen(probe.look, DEADLINE_S)
    assert time.monotonic() - started < DEADLINE_S + 2
    return found.level, {one.measurement: one for one in found.readings}


async def honest(probe: Probe) -> None:
    """The canary finds that the probe tells the truth of its decoy."""
    assert probe.decoys
    for one in await canary([probe], Instruments()).look():
        assert one.level == H, one.output


@pytest.fixture
def own_postgres() -> OwnPostgres:
    server = OwnPostgres()
    yield server
    server.close()


def nowhere(instruments: Instruments) -> HealthStore:
    """A database that does not exist."""
    return HealthStore(Database("postgresql:///none?host=/nowhere", clock=SystemClock(), instruments=instruments))


async def test_a_database_that_stops_is_found_and_so_is_its_return(own_postgres, instruments) -> None:
    await migrate(own_postgres.dsn)
    database = Database(own_postgres.dsn, clock=SystemClock(), instruments=instruments)
    await database.open()
    probe = database_probes.probe(HealthStore(database), nowhere(instruments), "one", SystemClock(), needed=False)
    try:
        level, found = await look(probe)
        assert level == H
        assert found["writes"].value is True
        assert found["serverConnections"].value >= 1
        assert found["poolConnections"].value >= 0
        assert await database.fetchval("SELECT machine FROM health_beats") == "one"
        await honest(probe)
        own_postgres.stop()
        assert (await look(probe))[0] == U
        own_postgres.start()
        assert (await look(probe))[0] == H
    finally:
        await database.close()


async def test_a_database_that_answers_and_takes_no_writes_is_unhealthy(dsn: str, database, instruments) -> None:
    name = dsn.split("///")[1].partition("?")[0]
    await database.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    fresh = Database(dsn, clock=SystemClock(), instruments=instruments)
    await fresh.open()
    try:
        probe = database_probes.probe(HealthStore(fresh), nowhere(instruments), "one", SystemClock(), needed=False)
        level, found = await look(probe)
        assert level == U
        assert found["availability"].level == H
        assert "read-only" in found["writes"].output
    finally:
        await fresh.close()


async def test_a_pool_that_is_used_up_and_statements_that_wait_for_locks_degrade(dsn: str, instruments, monkeypatch):
    monkeypatch.setattr(database_probes, "_SLOW_STATEMENT_S", 0.3)
    database = Database(dsn, clock=SystemClock(), instruments=instruments, max_size=3)
    await database.open()
    probe = database_probes.probe(HealthStore(database), nowhere(instruments), "one", SystemClock(), needed=False)
    try:
        async with database.transaction() as holder:
            await holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
            waiter = asyncio.create_task(database.execute("SELECT count(*) FROM audit_entries"))
            await asyncio.sleep(0.6)
            level, found = await look(probe)
            assert (level, found["blockedStatements"].value, found["slowStatements"].value) == (D, 1, 1)
        await waiter
        assert (await look(probe))[0] == H
    finally:
        await database.close()


async def test_redis_that_is_killed_is_found_by_cache_and_server() -> None:
    server, clock = RedisServer(), SystemClock()
    server.start()
    away = f"redis://127.0.0.1:{free_port()}/0"
    cache, lost = Cache(server.url, clock=clock), Cache(away, clock=clock)
    probes = [cache_probes.probe(cache, lost, clock, shared=True), cache_probes.redis_probe(server.url, away)]
    try:
        assert [(await look(probe))[0] for probe in probes] == [H, H]
        for probe in probes:
            assert probe.component.kind == "datastore"
            await honest(probe)
        server.kill()
        assert [(await look(probe))[0] for probe in probes] == [U, U]
        server.start()
        assert [(await look(probe))[0] for probe in probes] == [H, H]
    finally:
        await cache.close()
        server.close()


async def test_a_redis_that_is_a_replica_or_full_is_no_good(redis_url: str) -> None:
    import redis

    probe = cache_probes.redis_probe(redis_url, f"redis://127.0.0.1:{free_port()}/0")
    with redis.Redis.from_url(redis_url) as client:
        try:
            client.replicaof("127.0.0.1", "1")
            assert (await look(probe))[0] == U
        finally:
            client.replicaof("NO", "ONE")
        try:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", client.info("memory")["used_memory"])
            assert (await look(probe))[0] == D
        finally:
            client.config_set("maxmemory", 0)
    assert (await look(probe))[0] == H


async def test_a_cache_of_this_process_is_looked_at_too(clock: ManualClock) -> None:
    probe = cache_probes.probe(Cache(None, clock=clock), Cache(None, clock=clock), clock, shared=False)
    assert (await look(probe))[0] == H
    assert probe.component.kind == "component"


@contextlib.asynccontextmanager
async def server(behaviour: list[str]) -> AsyncIterator[str]:
    """An upstream that does what the last word says: a status, `silent` (accepts, never answers)."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if behaviour[-1] == "silent":
                await reader.read()
            else:
                writer.write(f"HTTP/1.1 {behaviour[-1]} X\r\ncontent-length: 2\r\n\r\n{{}}".encode())
                await writer.drain()
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/models"


def upstream_probe(url: str, session: aiohttp.ClientSession, known: upstream.Known | None = None) -> Probe:
    """One of an upstream at that URL."""
    known = known or upstream.Known()
    address = upstream.Address("far", url, {"authorization": "Bearer sk-x"})
    return upstream.probe(address, f"http://127.0.0.1:{free_port()}/", session, lambda _: known, SystemClock())


async def test_an_upstream_is_found_silent_broken_refusing_and_well_again() -> None:
    behaviour = ["200"]
    async with server(behaviour) as url, aiohttp.ClientSession() as session:
        probe = upstream_probe(url, session)
        for word, level in (
            ("200", H), ("silent", U), ("404", H), ("503", U), ("401", U), ("403", D), ("429", H), ("200", H),
        ):  # fmt: skip
            behaviour.append(word)
            found, readings = await look(probe)
            assert found == level, (word, readings)
        await honest(probe)
        assert (await look(upstream_probe("http://127.0.0.1:1/v1", session)))[0] == U


async def test_one_failure_of_an_upstream_is_chance() -> None:
    answered: list[int] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answered.append(1)
        if len(answered) > 1:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(once, "127.0.0.1", 0) as listening, aiohttp.ClientSession() as session:
        port = listening.sockets[0].getsockname()[1]
        assert (await look(upstream_probe(f"http://127.0.0.1:{port}/", session)))[0] == H
    assert len(answered) == 2


@pytest.mark.parametrize(
    ("known", "level"),
    [
        (upstream.Known(), H),
        (upstream.Known(broken=2), D),
        (upstream.Known(listed_age_s=60, fault="GET /models was answered with status 404"), H),
        (upstream.Known(listed_age_s=4000, listed_too_old=True, fault="x"), D),
    ],
)
async def test_breakers_and_old_models_degrade_an_upstream(known: upstream.Known, level: Level) -> None:
    async with server(["200"]) as url, aiohttp.ClientSession() as session:
        assert (await look(upstream_probe(url, session, known)))[0] == level


@dataclass
class Disk:
    """An injected `statvfs`."""

    f_bavail: int
    f_frsize: int = 2**20
    f_blocks: int = 100_000
    f_files: int = 1000
    f_favail: int = 500


@pytest.mark.parametrize(
    ("figures", "level"),
    [
        (Disk(50_000), H),
        (Disk(2000), D),
        (Disk(200), U),
        (Disk(10), C),
        (Disk(0), C),
        (Disk(50_000, f_favail=5), D),
        (Disk(50_000, f_files=0, f_favail=0), H),
    ],
)
async def test_a_disk_that_fills_is_told_in_steps(tmp_path: Path, figures: Disk, level: Level) -> None:
    probe = disk.probe(tmp_path, 512 * 2**20, tmp_path, lambda _: figures)
    assert (await look(probe))[0] == level
    await honest(probe)


@pytest.mark.parametrize(("room", "level"), [(Disk(1), H), (Disk(0), D), (Disk(9, f_favail=5), D)])
async def test_a_folder_of_sockets_without_room_degrades(tmp_path: Path, room: Disk, level: Level) -> None:
    folder = tmp_path / "sockets"
    probe = disk.probe(tmp_path, 0, folder, lambda asked: room if asked == folder else Disk(50_000))
    found, readings = await look(probe)
    assert found == level
    assert ("make room there" in readings["socketsFree"].output) == (level != H)


async def test_the_real_disk_is_read_and_one_that_is_gone_is_unhealthy(tmp_path: Path) -> None:
    level, found = await look(disk.probe(tmp_path, 0, tmp_path))
    assert level < U
    assert found["free"].value > 0
    assert (await look(disk.probe(tmp_path / "gone", 0, tmp_path)))[0] == U


async def test_a_disk_that_was_made_read_only_is_told_with_all_its_room(tmp_path: Path, monkeypatch) -> None:
    """The level was that of a full journal alone, and the disk's HEALTHY."""

    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(disk.tempfile, "TemporaryFile", refuse)
    level, found = await look(disk.probe(tmp_path, 0, tmp_path, lambda _: Disk(50_000)))
    assert level == C
    assert found["free"].level == H
    assert found["writes"].output == f"nothing can be written in {tmp_path}: Read-only file system"


async def test_a_job_must_be_done_within_the_look(database: Database, instruments, monkeypatch) -> None:
    from cmg.health.probes import jobs as module

    monkeypatch.setattr(module, "_PATIENCE_S", 1.5)
    jobs = Jobs(database, SystemClock(), instruments)
    jobs.register(TRIAL, _nothing, attempts=1)
    probe, queue = workers_probe(jobs), queue_probe(jobs)
    level, found = await look(probe)
    assert (level, found["availability"].output) == (U, "a job was not done within 1.5 s")
    assert (await look(probe))[1]["availability"].output == "a job of the look before is still not done"
    task = asyncio.create_task(jobs.run())
    try:
        await eventually(lambda: _level(probe, H), 10, "a worker does the job")
        assert (await look(queue))[0] == H
        await honest(probe)
        await honest(queue)
    finally:
        await jobs.stop(1)
        await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: _level(probe, U), 5, "the worker has gone")


async def test_workers_that_are_all_stuck_are_found(database: Database, instruments, monkeypatch) -> None:
    from cmg.health.probes import jobs as module

    monkeypatch.setattr(module, "_PATIENCE_S", 1.5)
    jobs, go = Jobs(database, SystemClock(), instruments), asyncio.Event()
    jobs.register(TRIAL, _nothing, attempts=1)
    jobs.register("stuck", lambda _: go.wait())
    probe = workers_probe(jobs)
    task = asyncio.create_task(jobs.run())
    try:
        await eventually(lambda: _level(probe, H), 10, "a worker does the job")
        async with database.transaction() as connection:
            for _ in range(40):
                await jobs.enqueue(connection, "stuck")
        await eventually(lambda: _level(probe, U), 10, "every place is taken by a job that does not end")
        go.set()
        await eventually(lambda: _level(probe, H), 15, "they end")
    finally:
        go.set()
        await jobs.stop(1)
        await asyncio.gather(task, return_exceptions=True)


async def test_a_queue_that_grows_old_or_runs_over_is_told(database: Database, instruments) -> None:
    clock = SystemClock()
    jobs = Jobs(database, clock, instruments)
    jobs.register("slow", _nothing, timeout_s=10)
    probe = queue_probe(jobs)
    job = await jobs.put("slow")
    assert (await look(probe))[0] == H
    for age, level in ((61, D), (1000, U)):
        sql = f"UPDATE pgqueuer SET execute_after = execute_after - interval '{age} s' WHERE id = $1"
        await database.execute(sql, job)
        assert (await look(probe))[0] == level
    await database.execute("UPDATE pgqueuer SET status = 'picked' WHERE id = $1", job)
    begun = "INSERT INTO job_starts VALUES ($1, 0, 1, $2)"
    await database.execute(begun, job, clock.now() - (clock.now() - clock.now().replace(year=2020)))
    level, found = await look(probe)
    assert (level, found["overdue"].output) == (D, "run for longer than they may: slow")
    await database.execute("UPDATE pgqueuer SET status = 'failed' WHERE id = $1", job)
    level, found = await look(probe)
    assert (level, found["held"].value) == (H, 1), "somebody should look at it, but everything works"


async def test_gateways_that_do_not_answer_and_journals_that_fill_are_told(clock: ManualClock) -> None:
    answering, waiting = {"gateway-0": True, "gateway-1": True}, [(0, 0.0)]
    probe = gateway_probe(lambda: answering, list(answering), lambda: waiting[-1], 1000, clock)
    assert (await look(probe))[0] == H
    answering["gateway-1"] = False
    assert (await look(probe))[0] == D
    answering["gateway-0"] = False
    assert (await look(probe))[0] == C
    answering.update({"gateway-0": True, "gateway-1": True})
    for figures, level in (((10, 11.0), D), ((1000, 0.0), U), ((0, 0.0), H)):
        waiting.append(figures)
        assert (await look(probe))[0] == level
    await honest(probe)


async def test_a_gateway_that_was_never_heard_of_is_waited_for_at_the_start_only(clock: ManualClock) -> None:
    probe = gateway_probe(dict, ["gateway-0"], lambda: (0, 0.0), 1000, clock)
    assert (await look(probe))[0] == H
    clock.advance(21)
    assert (await look(probe))[0] == C


async def test_what_memory_needs_is_looked_at(clock: ManualClock) -> None:
    answering, broken = {"notes-0": True}, [False]

    async def embedder() -> None:
        if broken[0]:
            raise ConnectionError("no socket")

    probe = memory_probe(lambda: answering, ["notes-0"], embedder, clock)
    assert (await look(probe))[0] == H
    broken[0] = True
    assert (await look(probe))[0] == D
    answering["notes-0"] = False
    assert (await look(probe))[0] == U
    await honest(probe)


async def test_old_samples_and_a_prometheus_that_is_away_are_told(clock: ManualClock) -> None:
    newest: list[float | None] = [None]
    probe = freshness_probe(lambda: newest[0], 15, clock)
    assert (await look(probe))[0] == H, "the first scrape is still to come"
    clock.advance(46)
    assert (await look(probe))[0] == U, "it never came"
    newest[0] = clock.time()
    clock.advance(30)
    assert (await look(probe))[0] == H
    clock.advance(1)
    assert (await look(probe))[0] == U
    await honest(probe)
    for status, level in ((200, H), (503, U)):

        async def ask(status: int = status) -> tuple[int, bytes]:
            return status, b"{}"

        assert (await look(remote_probe(ask)))[0] == level


async def test_this_process_tells_of_itself(clock: ManualClock) -> None:
    probe = own_probe(clock)
    clock.advance(7)
    level, found = await look(probe)
    assert (level, found["uptime"].value) == (H, 7)
    assert found["memoryPeak"].value > 10**6
    assert replace(probe, decoys=()) == probe


async def _nothing(_payload: object) -> None:
    return None


async def _level(probe: Probe, level: Level) -> bool:
    return (await look(probe))[0] == level
