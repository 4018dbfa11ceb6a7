"""What tests of the logbook begin with: a store of lines on a real PostgreSQL, and lines to put into it."""

from datetime import timedelta
from typing import Any

import pytest

from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line
from cmg.logbook.searching import Search
from cmg.storage.database import Database
from support.manual_clock import ManualClock


@pytest.fixture
async def store(database: Database, clock: ManualClock) -> LineStore:
    """A store with partitions for today."""
    lines = LineStore(database, clock)
    await lines.ensure_days()
    return lines


@pytest.fixture
def search(store: LineStore, clock: ManualClock) -> Search:
    """A search over it."""
    return Search(store, clock, 30)


@pytest.fixture
def line(clock: ManualClock) -> Any:
    """Makes lines: a message, seconds ago, and whatever else."""

    def make(message: str, ago_s: float = 0, **more: Any) -> Line:
        told = {"logger": "cmg.test", "service": "context-memory-gateway", **more}
        return Line(at=clock.now() - timedelta(seconds=ago_s), message=message, **told)

    return make
