"""A migrated database of each test's own, and records to put into it."""

from collections.abc import AsyncIterator

import pytest

from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.postgres import TestServer


@pytest.fixture
async def database(postgres: TestServer) -> AsyncIterator[Database]:
    """An open pool on a migrated database."""
    dsn = await postgres.create()
    one = Database(dsn, clock=SystemClock(), instruments=Instruments())
    await one.open()
    yield one
    await one.close()
    await postgres.drop(dsn)
