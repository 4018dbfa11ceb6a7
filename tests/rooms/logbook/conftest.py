"""What tests of the logbook begin with: stores on a real PostgreSQL, a folder for files, and lines to put into them."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cmg.logbook.cold.file_store import FileStore
from cmg.logbook.cold.moving import Kept, Mover
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.models import Line
from cmg.logbook.searching import Search
from cmg.storage.database import Database
from support.manual_clock import ManualClock


class Notes:
    """A trail that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, str]] = []

    async def record(self, _conn: Any, by: str, action: str, target: str, _details: Mapping[str, Any]) -> None:
        """Remember."""
        self.told.append((by, action, target))


@pytest.fixture
def trail() -> Notes:
    """A trail."""
    return Notes()


@pytest.fixture
async def store(database: Database, clock: ManualClock) -> LineStore:
    """A store with partitions for today."""
    lines = LineStore(database, clock)
    await lines.ensure_days()
    return lines


@pytest.fixture
def files(database: Database, clock: ManualClock) -> FileStore:
    """What is known of files."""
    return FileStore(database, clock)


@pytest.fixture(params=["folder"])
def shelves(request: pytest.FixtureRequest, tmp_path: Path) -> Shelves:
    """Places for files: folders, or an object store in memory."""
    url = None if request.param == "folder" else "memory:///lines"
    return Shelves({"cold": (url, tmp_path / "files"), "archive": (url, tmp_path / "archive")})


@pytest.fixture
def mover(files: FileStore, shelves: Shelves, clock: ManualClock, instruments) -> Mover:
    """The jobs, with the usual times."""
    return Mover(files, shelves, Kept(30, 365, 2557), clock, instruments)


@pytest.fixture
def search(store: LineStore, files: FileStore, shelves: Shelves, clock: ManualClock) -> Search:
    """A search over everything."""
    return Search(store, FileSearch(files, shelves, clock), clock, 366)


@pytest.fixture
def line(clock: ManualClock) -> Any:
    """Makes lines: a message, seconds ago, and whatever else."""

    def make(message: str, ago_s: float = 0, **more: Any) -> Line:
        told = {"logger": "cmg.test", "service": "context-memory-gateway", **more}
        return Line(at=clock.now() - timedelta(seconds=ago_s), message=message, **told)

    return make
