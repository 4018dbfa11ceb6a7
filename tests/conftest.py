"""Fixtures for every test: a real PostgreSQL, a real Redis, a clock moved by hand, instruments."""

import gc
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Generator, Iterator

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.file_order import place, unit
from support.manual_clock import ManualClock
from support.postgres import TestServer
from support.redis_server import RedisServer

# Other tests may hold the machine: how long an example takes, or is made, says nothing.
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first; a file's own tests stay together and in their order."""
    items.sort(key=lambda item: place(item.path))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays to the end: looking for garbage in it, meanwhile and later, would find none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class UnitScheduling(LoadFileScheduling):
    """Gives a process the tests of a whole unit, which is a file or a folder."""

    def _split_scope(self, nodeid: str) -> str:
        return unit(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> UnitScheduling:
    """Instead of the one for files."""
    return UnitScheduling(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, by name, what needs a program that is missing; with `CMG_TEST_REQUIRE=all` that is a failure."""
    for marker in item.iter_markers("needs"):
        require(*marker.args)


def require(*programs: str) -> None:
    """Skip the running test, or fail it, when one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CMG_TEST_REQUIRE") == "all":
        pytest.fail(f"needs {', '.join(missing)}, and CMG_TEST_REQUIRE=all forbids skipping", pytrace=False)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[TestServer]:
    """The run's embedded PostgreSQL, one for all worker processes."""
    workers = getattr(request.config, "workerinput", {})
    server = TestServer(str(workers.get("testrunuid", uuid.uuid4().hex))[:16])
    yield server
    server.close()


@pytest.fixture
async def dsn(postgres: TestServer) -> AsyncIterator[str]:
    """A database of this test alone, with the present schema and nothing in it."""
    fresh = await postgres.create()
    yield fresh
    await postgres.drop(fresh)


@pytest.fixture
async def empty_dsn(postgres: TestServer) -> AsyncIterator[str]:
    """A database of this test alone without any schema."""
    fresh = await postgres.create(migrated=False)
    yield fresh
    await postgres.drop(fresh)


@pytest.fixture
async def database(dsn: str, instruments: Instruments) -> AsyncIterator[Database]:
    """An open pool on `dsn`, on the machine's clock."""
    pool = Database(dsn, clock=SystemClock(), instruments=instruments)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture(scope="session")
def _redis() -> Iterator[RedisServer]:
    require("redis-server")
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def redis_url(_redis: RedisServer) -> Iterator[str]:
    """A real Redis, emptied after the test."""
    import redis

    yield _redis.url
    with redis.Redis.from_url(_redis.url) as client:
        client.flushall()


@pytest.fixture
def clock() -> ManualClock:
    """Time that stands still until the test moves it."""
    return ManualClock()


@pytest.fixture
def instruments() -> Instruments:
    """Fresh metrics."""
    return Instruments()
