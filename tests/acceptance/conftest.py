"""Fixtures of the acceptance tests: a faulty upstream, its backup, and one service with two workers for most tests."""

import uuid
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from playwright.sync_api import Browser

from support.api import Api
from support.browser import chromium
from support.faulty_upstream import FaultyUpstream, closed_port
from support.postgres import OwnPostgres
from support.redis_server import RedisServer
from support.service import Service, ServiceOptions, upstream_toml

TABLES = """
[[prices]]
model = "faulty/m-priced*"
completion_usd_per_mtok = 1000.0

[[routes]]
model = "smart"
candidates = ["refusing/m-smart", "backup/m-smart"]

[memory]
recall_deadline_ms = 5000  # a busy machine is not what is tested
"""
FAST = {
    "timeout_connect_s": 1,
    "timeout_first_token_s": 1.5,
    "timeout_idle_s": 1.5,
    "timeout_total_s": 60,
    "retries": 1,
}


def settings_toml(upstream: FaultyUpstream, backup: FaultyUpstream) -> str:
    """Four upstreams: `faulty` for plain names, `backup`, one that refuses, one whose key is not set."""
    names = '["m-*", "gpt-*", "embed-*", "text-embedding-*"]'
    return "\n".join(
        [
            upstream_toml("faulty", upstream.url, names, **FAST),
            upstream_toml("backup", backup.url, '["backup-only"]', **FAST),
            upstream_toml("refusing", f"http://127.0.0.1:{closed_port()}/v1", '["refused-only"]', **FAST),
            upstream_toml("unset", upstream.url, '["unset-*"]', api_key="env:TESTS_KEY_NOBODY_SETS"),
            TABLES,
        ]
    )


@pytest.fixture(scope="session")
def upstream() -> Iterator[FaultyUpstream]:
    """The upstream that tests script."""
    with FaultyUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def backup() -> Iterator[FaultyUpstream]:
    """A second upstream to fail over to."""
    with FaultyUpstream() as server:
        yield server


@pytest.fixture(scope="session")
def service(upstream: FaultyUpstream, backup: FaultyUpstream) -> Iterator[Service]:
    """One service with two gateway workers, embedded PostgreSQL, no Redis; shared by most tests."""
    with Service(ServiceOptions(toml=settings_toml(upstream, backup), workers=2)) as running:
        yield running


@pytest.fixture
async def api(service: Service) -> AsyncIterator[Api]:
    """A plain client with the bootstrap key."""
    async with Api(service.url, service.key) as client:
        yield client


@pytest.fixture
def model() -> str:
    """A model name of this test alone, served by `faulty` (breakers and scripts are per model)."""
    return f"m-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def user() -> str:
    """A user of this test alone."""
    return f"user-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def client(service: Service) -> Iterator[openai.OpenAI]:
    """The official SDK, without retries of its own."""
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
async def async_client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    """The official SDK, asynchronous."""
    async with openai.AsyncOpenAI(base_url=f"{service.url}/v1", api_key=service.key, max_retries=0) as sdk:
        yield sdk


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis to kill."""
    server = RedisServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A PostgreSQL to stop."""
    server = OwnPostgres()
    yield server
    server.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with chromium() as one:
        yield one
