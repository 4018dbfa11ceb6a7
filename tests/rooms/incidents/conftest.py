"""The parts of incidents on a real database, on a clock moved by hand."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cmg.audit.trail import AuditTrail
from cmg.identity.models import Actor
from cmg.incidents.closing.checks import Checks
from cmg.incidents.closing.closing import Closing
from cmg.incidents.communication.announcing import Announcer
from cmg.incidents.desk import Desk
from cmg.incidents.models import Incident
from cmg.incidents.operation import Operation
from cmg.incidents.ports import Delivery, Message, ProbeFailed
from cmg.incidents.review.actions import Actions
from cmg.incidents.review.plotting import Plots
from cmg.incidents.review.postmortem import Review
from cmg.incidents.status.board import Board
from cmg.incidents.status.models import Span
from cmg.incidents.status.published import PublishedFile
from cmg.incidents.timeline import Timelines
from cmg.kit.ids import uuid7_hex
from cmg.ledger.models import UsageRecord, encode_usage
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

ANA = Actor("key:ana", frozenset({"admin:all"}), "default", "127.0.0.1", "ana")


@dataclass
class Seen:
    """Components as the test says they are."""

    now: dict[str, str] = field(default_factory=dict)
    before: list[Span] = field(default_factory=list)
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    async def past(self, since: datetime, until: datetime) -> list[Span]:
        self.asked.append((since, until))
        return self.before

    async def states(self) -> dict[str, str]:
        return self.now


@dataclass
class Channels:
    """A messenger that keeps what it was given; `dead` channels fail."""

    sent: list[tuple[str, Message]] = field(default_factory=list)
    dead: tuple[str, ...] = ()

    async def send(self, message: Message, channels: Any) -> list[Delivery]:
        self.sent += [(channel, message) for channel in channels if channel not in self.dead]
        return [Delivery(one, "failed" if one in self.dead else "sent") for one in channels]


@dataclass
class Prober:
    """A service as the test says it is."""

    wrong: str | None = None
    health: str = "HEALTHY"

    async def chat(self) -> float:
        if self.wrong is not None:
            raise ProbeFailed(self.wrong)
        return 0.012

    async def level(self) -> str:
        return self.health


@dataclass
class Samples:
    """Prometheus' API with one series of some values."""

    values: list[list[Any]] = field(default_factory=lambda: [[1795521000, "1"], [1795521060, "2"]])
    status: int = 200
    asked: list[dict[str, list[str]]] = field(default_factory=list)

    async def answer(self, endpoint: str, form: Any) -> tuple[int, bytes]:
        assert endpoint == "query_range"
        self.asked.append(form)
        result = [{"metric": {"status": "ok"}, "values": self.values}] if self.values else []
        return self.status, msgspec.json.encode({"status": "success", "data": {"result": result}})


class World:
    """Everything of the room."""

    def __init__(self, database: Database, clock: ManualClock, folder: Path, instruments: Instruments) -> None:
        self.database, self.clock, self.folder = database, clock, folder
        self.audit = AuditTrail(database, clock)
        self.desk = Desk(database, self.audit, clock)
        self.timelines = Timelines(self.audit, clock)
        self.channels, self.seen = Channels(), Seen()
        self.announcer = Announcer(database, self.desk, self.channels, clock)
        self.prober = Prober()
        checks = Checks(database, self.prober, clock)
        self.samples = Samples()
        plots = Plots(database, self.samples, clock)
        self.review = Review(database, self.desk, Actions(database, self.desk, clock), plots, clock)
        self.closing = Closing(database, self.desk, self.timelines, checks, self.review)
        self.operation = Operation(database, self.audit, clock)
        self.file = PublishedFile(folder / "status.bin")
        self.instruments = instruments

    def board(self) -> Board:
        """A backstage that begins now."""
        named = ("Example", "https://status.example")
        return Board(self.database, self.seen, self.file, self.clock, self.instruments, named)

    async def declare(self, **fields: Any) -> Incident:
        """An incident by Ana."""
        return await self.desk.declare(ANA, {"title": "Calls fail", "severity": "SEV-2", **fields})

    async def calls(self, count: int, ago_s: float = 0, **values: Any) -> None:
        """Calls in the ledger, each by a user of its own unless one is named."""
        now = self.clock.time() - ago_s
        base = {"workspace_id": "default", "key_id": "k", "latency_ms": 100.0, "cost_nano": 1_000_000}
        records = [
            UsageRecord(id=uuid7_hex(), at=now, **{**base, "user_id": f"user-{place}", **values})
            for place in range(count)
        ]
        async with self.database.transaction() as conn:
            await UsageSink().write(conn, [encode_usage(record) for record in records])

    async def told(self, incident: Incident) -> list[tuple[str, str]]:
        """(kind, text) of every line of a timeline."""
        found = await self.timelines.of(self.database, await self.desk.get(incident.id))
        return [(entry.kind, entry.text) for entry in found]


@pytest.fixture
def world(database: Database, clock: ManualClock, tmp_path: Path, instruments: Instruments) -> World:
    return World(database, clock, tmp_path, instruments)
