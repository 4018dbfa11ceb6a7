"""Fixtures of the acceptance tests: a faulty upstream, its backup, clients of the service of a folder or a file."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator

import pytest

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.late import openai
from support.postgres import OwnPostgres
from support.redis_server import RedisServer
from support.service import Service


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
