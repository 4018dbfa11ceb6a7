"""A town of people for each test."""

from collections.abc import AsyncIterator

import pytest

from cmg.config import Settings
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock
from support.people import Town, build_town


@pytest.fixture
async def town(database: Database, clock: ManualClock, instruments: Instruments) -> AsyncIterator[Town]:
    """The control plane with people in it."""
    made = await build_town(database, clock, instruments, Settings())
    yield made
    await made.people.close()
