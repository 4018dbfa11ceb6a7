"""Jobs on the real queue: run, retried, held, put back at shutdown; ticks once over several workers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import asyncpg
import pytest
import structlog
from pgqueuer.core.listeners import (
    PGNoticeEventListener,
    default_event_router,
    initialize_notice_event_listener,
)

from cmg.jobs import queue
from cmg.jobs.queue import Jobs
from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from support.service import eventually


@contextlib.asynccontextmanager
async def running(*jobs: Jobs, deadline_s: float = 2) -> AsyncIterator[None]:
    """Run one or more workers until the block ends."""
    tasks = [asyncio.create_task(one.run()) for one in jobs]
    try:
        yield
    finally:
        await asyncio.gather(*(one.stop(deadline_s) for one in jobs))
        await asyncio.gather(*tasks)


@pytest.fixture
def make_jobs(database: Database, instruments) -> Callable[[], Jobs]:
    """Makes workers on the test's database."""
    return lambda: Jobs(database, SystemClock(), instruments)


async def enqueue(database: Database, jobs: Jobs, name: str, payload: object = None, **options: object):
    """Enqueue in a transaction of its own."""
    async with database.transaction() as connection:
        return await jobs.enqueue(connection, name, payload, **options)


async def test_lines_of_a_job_name_it(database, make_jobs):
    jobs, seen = make_jobs(), []

    async def handler(_payload):
        seen.append(structlog.contextvars.get_contextvars())

    jobs.register("told", handler)
    async with running(jobs):
        number = await enqueue(database, jobs, "told")
        await eventually(lambda: asyncio.sleep(0, seen), 10)
    assert seen[0] == {"cmg.job": "told", "cmg.job_id": number}


async def test_enqueued_job_runs_with_its_payload(database, make_jobs):
    jobs, seen = make_jobs(), []

    async def handler(payload):
        seen.append(payload)

    jobs.register("greet", handler)
    async with running(jobs):
        await enqueue(database, jobs, "greet", {"who": "ada", "n": 3})
        await eventually(lambda: _is(lambda: seen == [{"who": "ada", "n": 3}]))
        await eventually(lambda: _no_rows(database, "pgqueuer"))
    assert await database.fetchval("SELECT count(*) FROM job_starts") == 0


async def test_what_waits_and_how_busy_a_worker_is_are_told(database, make_jobs, instruments, monkeypatch):
    monkeypatch.setattr(queue, "_DEPTH_S", 0.05)
    jobs, go_on = make_jobs(), asyncio.Event()

    async def handler(_payload):
        await go_on.wait()

    def told(name: str, **labels: str) -> float:
        return instruments.registry.get_sample_value(name, labels) or 0.0

    async def shown(**wanted: float) -> bool:
        found = {"busy": round(told("cmg_jobs_busy_ratio") * queue._CONCURRENT)}
        found |= {status: told("cmg_jobs_waiting", status=status) for status in ("queued", "picked")}
        return all(found[name] == count for name, count in wanted.items())

    jobs.register("waits", handler)
    for _ in range(3):
        await enqueue(database, jobs, "waits")
    looking = asyncio.create_task(jobs._show_depths())
    await eventually(lambda: shown(queued=3, busy=0), 10, "all wait")
    await asyncio.sleep(0.3)
    assert 0.2 < told("cmg_jobs_oldest_age_seconds") < 30
    looking.cancel()
    async with running(jobs):
        await eventually(lambda: shown(queued=0, picked=3, busy=3), 20, "all run")
        assert told("cmg_jobs_oldest_age_seconds") == 0
        go_on.set()
        await eventually(lambda: shown(queued=0, picked=0, busy=0), 20, "all are done")
    assert told("cmg_jobs_total", job="waits", outcome="done") == 3
    assert told("cmg_job_duration_seconds_count", job="waits") == 3


async def test_job_of_a_rolled_back_transaction_never_runs(database, make_jobs):
    jobs, seen = make_jobs(), []

    async def handler(payload):
        seen.append(payload)

    jobs.register("note", handler)

    async def change_of_mind():
        async with database.transaction() as connection:
            await jobs.enqueue(connection, "note", 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_of_mind()
    async with running(jobs):
        await enqueue(database, jobs, "note", 2)
        await eventually(lambda: _is(lambda: seen == [2]))


async def test_failing_job_is_tried_again_and_then_held(database, make_jobs):
    jobs, tries = make_jobs(), []

    async def handler(_payload):
        tries.append(1)
        raise RuntimeError("no luck")

    jobs.register("unlucky", handler, attempts=2)
    async with running(jobs):
        await enqueue(database, jobs, "unlucky")
        held = await eventually(jobs.held, 10)
    assert len(tries) == 2
    assert held[0]["entrypoint"] == "unlucky"


async def test_unique_job_is_not_added_twice(database, make_jobs):
    jobs = make_jobs()
    first = await enqueue(database, jobs, "sync", unique="sync:1")
    async with database.transaction() as connection:
        assert await jobs.enqueue(connection, "sync", unique="sync:1") is None
        # The caller's transaction goes on after the refusal.
        assert await jobs.enqueue(connection, "sync", unique="sync:2") is not None
    assert first is not None
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 2


async def test_tick_is_enqueued_once_over_several_workers(database, make_jobs):
    seen: list[float] = []

    async def handler(_payload):
        seen.append(SystemClock().time())

    workers = [make_jobs() for _ in range(3)]
    for jobs in workers:
        jobs.register("tick", handler, every="* * * * * *")
    async with running(*workers):
        await eventually(lambda: _is(lambda: len(seen) >= 3), 15)
    logged = await database.fetchval(
        "SELECT count(*) FROM pgqueuer_log WHERE entrypoint = 'tick' AND status = 'queued' AND created > $1",
        SystemClock().now().replace(year=2000),
    )
    seconds = await database.fetchval(
        "SELECT count(DISTINCT date_trunc('second', created)) FROM pgqueuer_log WHERE status = 'queued'"
    )
    assert logged <= seconds + 1


async def test_changed_cron_line_replaces_the_earlier_one(database, make_jobs):
    async def handler(_payload):
        pass

    for every in ("0 3 * * *", "0 4 * * *"):
        jobs = make_jobs()
        jobs.register("nightly", handler, every=every)
        async with running(jobs):
            await eventually(lambda line=every: _schedule_is(database, "nightly", [line]))


async def test_running_job_goes_back_into_the_queue_at_shutdown(database, make_jobs):
    jobs, begun = make_jobs(), asyncio.Event()

    async def handler(_payload):
        begun.set()
        await asyncio.sleep(60)

    jobs.register("long", handler)
    async with running(jobs, deadline_s=0.1):
        await enqueue(database, jobs, "long")
        await asyncio.wait_for(begun.wait(), 10)
    assert await database.fetchval("SELECT status::text FROM pgqueuer WHERE entrypoint = 'long'") == "queued"
    assert await database.fetchval("SELECT count(*) FROM job_starts") == 0


async def test_job_that_never_ended_three_times_is_held_without_another_start(database, make_jobs):
    jobs, tries = make_jobs(), []

    async def handler(_payload):
        tries.append(1)

    jobs.register("killer", handler, attempts=1)
    job_id = await enqueue(database, jobs, "killer")
    await database.execute("INSERT INTO job_starts VALUES ($1, 0, 3, $2)", job_id, SystemClock().now())
    async with running(jobs):
        held = await eventually(jobs.held, 10)
    assert held[0]["id"] == job_id
    assert tries == []


async def test_job_of_a_killed_worker_is_picked_again(database, make_jobs):
    jobs, seen = make_jobs(), []

    async def handler(payload):
        seen.append(payload)

    jobs.register("orphan", handler)
    await enqueue(database, jobs, "orphan", 1)
    await database.execute(
        "UPDATE pgqueuer SET status = 'picked', queue_manager_id = gen_random_uuid(), "
        "heartbeat = heartbeat - interval '1 minute'"
    )
    async with running(jobs):
        await eventually(lambda: _is(lambda: seen == [1]), 10)


async def test_worker_goes_on_after_its_connections_were_cut(database, make_jobs):
    jobs, seen = make_jobs(), []

    async def handler(payload):
        seen.append(payload)

    jobs.register("note", handler)
    async with running(jobs):
        await enqueue(database, jobs, "note", 1)
        await eventually(lambda: _is(lambda: seen == [1]), 10)
        await database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await enqueue(database, jobs, "note", 2)
        await eventually(lambda: _is(lambda: seen == [1, 2]), 20)


async def test_purge_removes_old_lines_and_keeps_new_ones(database, make_jobs):
    jobs = make_jobs()
    await enqueue(database, jobs, "note")
    await database.execute("UPDATE pgqueuer_log SET created = created - interval '8 days'")
    await enqueue(database, jobs, "note")
    await jobs.purge()
    assert await database.fetchval("SELECT count(*) FROM pgqueuer_log") == 1


def test_wrong_cron_line_is_refused_when_it_is_registered(make_jobs):
    async def handler(_payload):
        pass

    with pytest.raises(ValueError, match="not a cron line"):
        make_jobs().register("x", handler, every="every tuesday")


async def _is(condition: Callable[[], bool]) -> bool:
    return condition()


async def _no_rows(database: Database, table: str) -> bool:
    return await database.fetchval(f"SELECT count(*) FROM {table}") == 0


async def _schedule_is(database: Database, name: str, lines: list[str]) -> bool:
    rows = await database.fetch("SELECT expression FROM pgqueuer_schedules WHERE entrypoint = $1", name)
    return [row["expression"] for row in rows] == lines


async def test_a_first_probe_before_the_queue_listens_does_not_end_it(database, make_jobs):
    async with asyncpg.create_pool(database.dsn, min_size=2, max_size=4) as pool:
        manager = make_jobs()._build(pool).qm
        early = asyncio.create_task(manager.listener_healthy(timeout=timedelta(seconds=2)))
        await asyncio.sleep(0.3)
        async with manager.queries.driver:
            router = default_event_router(
                notice_event_queue=PGNoticeEventListener(),
                canceled={},
                pending_health_check=manager.pending_health_check,
            )
            await initialize_notice_event_listener(manager.queries.driver, manager.channel, router)
            await early
