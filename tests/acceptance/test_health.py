"""Health from outside: each dependency is taken away for real, and found on every endpoint, and found well again."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.postgres import OwnPostgres
from support.processes import kill
from support.redis_server import RedisServer
from support.service import Service, ServiceOptions, eventually, upstream_toml

INTERVAL_S, DEADLINE_S = 2.0, 5.0
DETECTED_S = INTERVAL_S + DEADLINE_S
STALE_S = 15.0  # a background process that is not heard of for so long is gone
VIEWS = ("", "/detailed", "/dependencies", "/cache", "/database", "/history")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def postgres_server() -> Iterator[OwnPostgres]:
    server = OwnPostgres()
    yield server
    server.close()


@pytest.fixture(scope="module")
def only() -> Iterator[FaultyUpstream]:
    with FaultyUpstream() as server:
        yield server


@pytest.fixture(scope="module")
def service(redis: RedisServer, postgres_server: OwnPostgres, only: FaultyUpstream) -> Iterator[Service]:
    """A service whose database, Redis and upstream can be taken away."""
    environ = {"CMG_DATABASE_URL": postgres_server.dsn, "CMG_REDIS_URL": redis.url}
    toml = f"[health]\ninterval_s = {INTERVAL_S}\n" + upstream_toml("faulty", only.url, timeout_connect_s=1)
    with Service(ServiceOptions(toml=toml, workers=2, environ=environ)) as running:
        yield running


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    async with Api(service.url, service.key) as client:
        await eventually(lambda: _levels(client, service="HEALTHY"), 60, "everything is well at first")
        yield client


async def _seen(api: Api) -> dict[str, str]:
    told = (await api.get("/health")).json
    return {"service": told["level"], **told["levels"]}


async def _levels(api: Api, **wanted: str) -> bool:
    found = await _seen(api)
    return all(found.get(name.replace("_", "/")) == level for name, level in wanted.items())


async def _soon(api: Api, limit_s: float, **wanted: str) -> float:
    """Wait for these levels; the seconds it took, at most `limit_s` and what a busy machine needs."""
    started = time.monotonic()
    try:
        await eventually(lambda: _levels(api, **wanted), limit_s + 3, str(wanted))
    except AssertionError as error:
        raise AssertionError(f"{error}; found {await _seen(api)}") from error
    return time.monotonic() - started


async def _answers(api: Api) -> dict[str, tuple[int, str]]:
    """Every endpoint's status and level; each answers at once."""
    found = {}
    for view in VIEWS:
        took = []
        for _ in range(5):
            answer = await api.get(f"/health{view}")
            took.append(answer.took_s)
        assert min(took) <= 0.05, (view, took)
        assert max(took) <= 0.5, (view, took)
        assert answer.headers["content-type"] == "application/health+json"
        found[view] = (answer.status, answer.json["level"])
    return found


COMPONENTS = {
    "process", "database", "cache", "redis", "disk", "timeseries", "gateway", "memory", "upstream/faulty", "jobs",
    "workers", "health",
}  # fmt: skip


async def _all_told(api: Api) -> bool:
    return (await _seen(api)).keys() - {"service"} == COMPONENTS


async def test_everything_is_well_at_first_and_told_on_every_endpoint(api: Api) -> None:
    await eventually(lambda: _all_told(api), 20, "every component was looked at, also the looking")
    found = await _answers(api)
    assert found == dict.fromkeys(VIEWS, (200, "HEALTHY"))
    families = {key.partition(":")[0] for key in (await api.get("/health/dependencies")).json["checks"]}
    assert families == {"database", "cache", "redis", "upstream"}


@pytest.mark.parametrize("view", VIEWS)
async def test_strangers_see_the_level_only(api: Api, service: Service, view: str) -> None:
    answer = await api.get(f"/health{view}", key="")
    assert (answer.status, answer.json) == (
        200, {"status": "pass", "level": "HEALTHY", "serviceId": "context-memory-gateway"},
    )  # fmt: skip
    plain = service.new_key(scopes=["chat"])
    assert (await api.get(f"/health{view}", key=plain)).status == (403 if view else 200)
    assert (await api.get(f"/health{view}", key="cmg_no_0123456789abcdef")).status == (401 if view else 200)
    assert "levels" not in (await api.get("/health", key=plain)).json


async def test_redis_killed_degrades_and_its_return_heals(api: Api, redis: RedisServer) -> None:
    redis.kill()
    try:
        await _soon(api, DETECTED_S, cache="UNHEALTHY", redis="UNHEALTHY", service="DEGRADED")
        found = await _answers(api)
        assert found["/cache"] == (503, "UNHEALTHY")
        assert found["/database"] == (200, "HEALTHY")
        assert {found[view] for view in ("", "/detailed", "/dependencies")} == {(200, "DEGRADED")}
        assert (await api.get("/readyz")).status == 200
    finally:
        redis.start()
    await _soon(api, DETECTED_S, cache="HEALTHY", redis="HEALTHY", service="HEALTHY")


async def test_a_database_that_stops_degrades_and_is_told_of_afterwards(api: Api, postgres_server: OwnPostgres) -> None:
    await asyncio.to_thread(postgres_server.stop)
    try:
        await _soon(api, DETECTED_S, database="UNHEALTHY", service="DEGRADED")
        found = await _answers(api)
        assert found["/database"] == (503, "UNHEALTHY")
        assert {found[view] for view in ("", "/detailed", "/dependencies")} == {(200, "DEGRADED")}
        assert (await api.get("/readyz")).status == 200
        assert (await api.chat("sim/echo")).status == 200
        moved = await _moved(api, "database")
        assert moved[0] == ("HEALTHY", "UNHEALTHY"), "the history is told without the database"
    finally:
        await asyncio.to_thread(postgres_server.start)
    await _soon(api, DETECTED_S + 30, database="HEALTHY", workers="HEALTHY", service="HEALTHY")
    import asyncpg

    async def stored() -> bool:
        connection = await asyncpg.connect(postgres_server.dsn)
        try:
            rows = await connection.fetch(
                "SELECT level_after FROM health_transitions WHERE component = 'database' ORDER BY at DESC LIMIT 2"
            )
        finally:
            await connection.close()
        return [row["level_after"] for row in rows] == ["HEALTHY", "UNHEALTHY"]

    await eventually(stored, 15, "the outage is in the database")


async def _moved(api: Api, component: str) -> list[tuple[str, str]]:
    """Changes of a component's level, newest first."""

    async def told() -> list[tuple[str, str]]:
        answer = await api.get(f"/health/history?component={component}")
        return [(one["before"], one["after"]) for one in answer.json["transitions"]]

    await eventually(told, 5, "the history knows it")
    await asyncio.sleep(2.5)  # the file is written within 2 s
    return await told()


async def test_an_upstream_that_accepts_and_never_answers_is_found(api: Api, only: FaultyUpstream) -> None:
    """The only one there is: without it no model but the simulator's answers."""
    only.silent = True
    try:
        await _soon(api, DETECTED_S, upstream_faulty="UNHEALTHY", service="UNHEALTHY")
        found = await _answers(api)
        assert {found[view] for view in ("", "/detailed", "/dependencies")} == {(503, "UNHEALTHY")}
        assert found["/database"] == (200, "HEALTHY")
        assert (await api.get("/readyz")).status == 200, "the memory and the simulator are served"
    finally:
        only.silent = False
    await _soon(api, DETECTED_S, upstream_faulty="HEALTHY", service="HEALTHY")


async def test_a_background_process_that_stands_still_is_found_by_the_gateways(api: Api, service: Service) -> None:
    (pid,) = service.pids("backstage")
    kill(pid, signal.SIGSTOP)
    try:
        await _soon(api, STALE_S, workers="UNHEALTHY", health="UNHEALTHY", service="DEGRADED")
        found = await _answers(api)
        assert {found[view][1] for view in ("", "/detailed")} == {"DEGRADED"}
        assert (await api.get("/readyz")).status == 200
    finally:
        kill(pid, signal.SIGCONT)
    await _soon(api, DETECTED_S + 5, workers="HEALTHY", health="HEALTHY", service="HEALTHY")


async def test_a_gateway_that_stands_still_is_found(api: Api, service: Service) -> None:
    pid = max(service.pids("gateway"))
    kill(pid, signal.SIGSTOP)
    try:

        async def degraded() -> bool:
            levels = await asyncio.to_thread(_report_of, service)
            return levels.get("gateway") == 1

        await eventually(degraded, DETECTED_S + 8, "the gateway is found")
    finally:
        kill(pid, signal.SIGCONT)
    await _soon(api, DETECTED_S + 8, gateway="HEALTHY", service="HEALTHY")


def _report_of(service: Service) -> dict[str, int]:
    """The prober's own report: a request might land at the gateway that stands still."""
    from cmg.health.board import Board
    from cmg.kit.paths import HEALTH_REPORT, runtime_dir

    report = Board(runtime_dir(service.data_dir) / HEALTH_REPORT).read()
    assert report is not None
    return {state.component.name: int(state.level) for state in report.states}


async def test_levels_are_scraped(api: Api) -> None:
    text = (await api.get("/metrics")).body.decode()
    assert 'cmg_health_level{component="service"} 0.0' in text
    assert 'cmg_health_level{component="upstream/faulty"} 0.0' in text
    assert json.loads((await api.get("/health/history?limit=1")).body)["more"] is True
    wrong = await api.get("/health/history?limit=none")
    assert (wrong.status, wrong.error["param"]) == (400, "limit")
