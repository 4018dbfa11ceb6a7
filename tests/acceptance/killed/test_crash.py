"""kill -9 of every process under load: what was acknowledged is in the tables exactly once, and calls go on again.

Each test prints its counts. Stated times: a killed gateway worker or backstage is replaced within 10 s, a killed
PostgreSQL within 20 s; a killed supervisor is started again by the operator (systemd, a container) and must then be
ready within 20 s on the same data.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from support.api import Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of, turns_of
from support.load import Load, Told
from support.processes import alive, descendants, kill
from support.service import Service, ServiceOptions, eventually, upstream_toml

SETTLED_S = 20.0


@pytest.fixture
async def load(crashing: Service, upstream: FaultyUpstream) -> AsyncIterator[Load]:
    """Running load on a model of this test alone, with answers that take a moment."""
    model = f"m-crash-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(delay_s=0.01, chunk_delay_s=0.003))
    running = Load(crashing, model)
    await running.start()
    yield running
    await running.stop()


async def _exactly_once(service: Service, model: str, told: Told) -> None:
    """Wait for the drain, then compare the tables with what the clients were told."""
    wanted = {request_id.replace("-", "") for request_id in told.acknowledged}

    async def drained() -> bool:
        rows = await rows_of(service, model_asked=model)
        return wanted <= {str(row["id"]).replace("-", "") for row in rows}

    try:
        await eventually(drained, SETTLED_S, "every acknowledged call has its row")
    finally:
        rows = await rows_of(service, model_asked=model)
        ids = [str(row["id"]).replace("-", "") for row in rows]
        print(f"{told}; {len(ids)} usage rows, {len(wanted - set(ids))} lost, {len(ids) - len(set(ids))} doubled")
    assert len(ids) == len(set(ids))
    await _turns_exactly_once(service, set(told.acknowledged.values()))


async def _turns_exactly_once(service: Service, threads: set[str]) -> None:
    async def all_there() -> bool:
        counts = await turns_of(service)
        return all(counts.get(thread, 0) >= 2 for thread in threads)

    try:
        await eventually(all_there, SETTLED_S, "every acknowledged call has its two turns")
    finally:
        counts = await turns_of(service)
        lost = sum(max(0, 2 - counts.get(thread, 0)) for thread in threads)
        doubled = {thread: count for thread, count in counts.items() if count > 2}
        print(f"{sum(counts.values())} turns, {lost} lost, {len(doubled)} doubled")
    assert not doubled


async def _damage(load: Load, what: Callable[[], Awaitable[None] | None], within_s: float) -> None:
    """Kill under load, wait for calls to go on, stop, and compare."""
    result = what()
    if result is not None:
        await result
    took = await load.more(40, within_s)
    told = await load.stop()
    print(f"40 further calls {took:.2f} s after the kill")
    await _exactly_once(load.service, load.model, told)


@pytest.mark.parametrize("rounds", [1, 3])
async def test_a_killed_gateway_worker_loses_and_doubles_nothing(crashing: Service, load: Load, rounds: int) -> None:
    for _ in range(rounds):
        victims = crashing.pids("gateway")
        assert len(victims) == 2, victims
        kill(victims[0])

        async def replaced(gone: int = victims[0]) -> bool:
            return len([pid for pid in crashing.pids("gateway") if pid != gone and alive(pid)]) == 2

        await eventually(replaced, 10, "a new worker takes its place")
    await _damage(load, lambda: None, 10)


async def test_killed_backstage_loses_and_doubles_nothing(crashing: Service, load: Load) -> None:
    (victim,) = crashing.pids("backstage")
    await _damage(load, lambda: kill(victim), 10)
    await eventually(lambda: _keys(crashing), 10, "the control plane answers again")
    assert crashing.pids("backstage") != [victim]


async def test_processes_that_are_stopped_are_replaced_and_nothing_is_lost(crashing: Service, load: Load) -> None:
    """One of each kind at once. A call that the stopped gateway held is cut when that is killed, and so has an end."""
    victims = {kind: crashing.pids(kind)[0] for kind in ("gateway", "backstage", "notes", "embedder")}
    for pid in victims.values():
        kill(pid, signal.SIGSTOP)

    async def replaced() -> bool:
        return all(victims[kind] not in crashing.pids(kind) and crashing.pids(kind) for kind in victims)

    await eventually(replaced, 40, "another process is at each post")
    await _damage(load, lambda: None, 20)
    await eventually(lambda: _keys(crashing), 20, "the control plane answers again")


async def _keys(service: Service) -> bool:
    return (await asyncio.to_thread(service.call, "GET", "/admin/v1/keys"))[0] == 200


async def test_a_killed_postgres_loses_and_doubles_nothing(crashing: Service, load: Load) -> None:
    victim = crashing.postmaster()
    kill(victim)
    killed = time.monotonic()
    await load.more(40, 20)

    async def back() -> bool:
        try:
            return crashing.postmaster() != victim and bool(await rows_of(crashing, model_asked=load.model))
        except (OSError, AssertionError, StopIteration, IndexError, asyncpg.PostgresError):
            return False

    await eventually(back, 20, "PostgreSQL is back")
    print(f"PostgreSQL back {time.monotonic() - killed:.2f} s after the kill")
    await load.more(20, 20)
    await _exactly_once(crashing, load.model, await load.stop())


async def _restart(service: Service, load: Load) -> None:
    told = await load.stop()
    started = time.monotonic()
    await asyncio.to_thread(service.start, 20)
    print(f"ready {time.monotonic() - started:.2f} s after the new start")
    await _exactly_once(service, load.model, told)
    async with Api(service.url, service.key) as api:
        assert (await api.chat(load.model)).status == 200


async def test_a_killed_supervisor_starts_again_on_the_same_data(crashing: Service, load: Load) -> None:
    assert crashing.process is not None
    orphans = descendants(crashing.process.pid)
    kill(crashing.process.pid)
    await asyncio.to_thread(crashing.process.wait, 10)
    await _restart(crashing, load)
    gateways = set(crashing.pids("gateway"))
    assert not [pid for pid in orphans if alive(pid) and pid in gateways]


async def test_everything_killed_at_once_loses_and_doubles_nothing(crashing: Service, load: Load) -> None:
    assert crashing.process is not None
    family = [crashing.process.pid, crashing.postmaster(), *descendants(crashing.process.pid)]
    for pid in family:
        kill(pid, signal.SIGKILL)
    await asyncio.to_thread(crashing.process.wait, 10)
    await _restart(crashing, load)


@pytest.mark.needs("redis-server")
async def test_a_killed_redis_makes_nothing_fail(upstream: FaultyUpstream, own_redis, model: str) -> None:
    environ = {"CMG_REDIS_URL": own_redis.url}
    options = ServiceOptions(toml=upstream_toml("faulty", upstream.url), workers=2, environ=environ)
    with Service(options) as service:
        running = Load(service, model)
        await running.start()
        own_redis.kill()
        await running.more(60, 10)
        own_redis.start()
        await running.more(60, 10)
        told = await running.stop()
        assert (told.refused, told.broken) == (0, 0), told
        key = service.new_key(limits={"rpm": 5})
        async with Api(service.url, key) as api:
            answers = await asyncio.gather(*(api.chat(model) for _ in range(20)))
        assert 1 <= sum(answer.status == 200 for answer in answers) <= 6
        await _exactly_once(service, model, told)
