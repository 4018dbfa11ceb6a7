"""A memory on the real database: what is remembered goes through the sink as the drain would carry it."""

from pathlib import Path

import pytest

from cmg.config import MemorySettings
from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7_hex
from cmg.kit.turns import Recollection, Scope, Turn
from cmg.ledger.spool.progress import Progress
from cmg.memory.condensing.condenser import Condenser
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.ranking.finder import Finder
from cmg.memory.recent import RecentWriters
from cmg.memory.service import MemoryService
from cmg.memory.turn_sink import TurnSink
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import START, ManualClock
from support.policies import policies

WORKSPACE = "default"
PATIENT = MemorySettings(recall_deadline_ms=5000, embedder="none")


def scope(user: str = "ana", thread: str = "monday", workspace: str = WORKSPACE, *, implicit: bool = False) -> Scope:
    return Scope(workspace, user, thread, implicit=implicit)


def said(*contents: str, role: str = "user", at: float = START, name: str | None = None) -> list[Turn]:
    return [Turn(role, content, at + place, name) for place, content in enumerate(contents)]


class Journal:
    """A worker's place in the spool; its records reach the database when the test says so."""

    def __init__(self, spool: Path) -> None:
        self.folder = spool / uuid7_hex()
        self.folder.mkdir()
        self.position = 0
        self.progress = Progress(self.folder)


def service_on(
    database: Database, journal: Journal, settings: MemorySettings, clock: Clock, instruments: Instruments
) -> MemoryService:
    """A service whose notes are made in this process."""
    finder = Finder(database, None, clock, settings.recall_deadline_ms / 2000)
    condenser = Condenser(database, settings.summary_tokens)
    maker = NoteMaker(finder, RecentWriters(journal.folder), condenser, clock)
    return MemoryService(finder, maker, journal, policies(settings), clock, instruments)


class Memory:
    """The service with its journal and sink."""

    def __init__(self, database: Database, clock: ManualClock, instruments: Instruments, spool: Path) -> None:
        self.database, self.clock, self.spool = database, clock, spool
        self.journal = Journal(spool)
        self.service = service_on(database, self.journal, PATIENT, clock, instruments)
        self.sink = TurnSink(clock, policies(PATIENT))
        self.payloads: list[bytes] = []

    def remember(self, where: Scope, turns: list[Turn]) -> list[bytes]:
        """Journal what the service wants kept; returns the payloads, which wait for `drain`."""
        records = self.service.remember(where, turns)
        self.journal.position += len(records)
        self.service.journalled(where, self.journal.position)
        payloads = [payload for _, payload in records]
        self.payloads += payloads
        return payloads

    async def drain(self) -> None:
        """Write everything that waits, in one transaction."""
        async with self.database.transaction() as conn:
            await self.sink.write(conn, self.payloads)
        self.payloads, self.journal.progress.drained = [], self.journal.position

    async def keep(self, where: Scope, turns: list[Turn]) -> None:
        """Remember and store."""
        self.remember(where, turns)
        await self.drain()

    async def recall(self, where: Scope, query: str, **options) -> Recollection:
        return await self.service.recall(where, query, **options)

    async def contents(self, user: str = "ana", workspace: str = WORKSPACE) -> list[str]:
        """Everything stored for a user, in the order it was stored."""
        rows = await self.database.fetch(
            "SELECT t.content FROM memory_turns t JOIN memory_users u USING (user_no) "
            "WHERE u.user_id = $1 AND u.workspace_id = $2 ORDER BY seq",
            user,
            workspace,
        )
        return [row["content"] for row in rows]


@pytest.fixture
async def memory(database: Database, clock: ManualClock, instruments: Instruments, tmp_path: Path) -> Memory:
    return Memory(database, clock, instruments, tmp_path)
