"""The transport under test, on both event loops: uvloop in production, asyncio's own where uvloop is not."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import uvloop

from cmg.gateway.upstreams.http_transport import HttpTransport


def pytest_asyncio_loop_factories() -> dict:
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@pytest.fixture
async def transport() -> AsyncIterator[HttpTransport]:
    made = HttpTransport()
    yield made
    await made.close()
