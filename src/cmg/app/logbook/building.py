"""Builds the logbook on a database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request

from cmg.app.logbook.people import shelves_of
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity.key_rules import workspace_to_list
from cmg.identity.models import actor_of
from cmg.jobs.queue import JobHandler, Jobs
from cmg.kit.clock import Clock
from cmg.logbook import routes
from cmg.logbook.cold.file_store import FileStore
from cmg.logbook.cold.holding import Holds
from cmg.logbook.cold.moving import Kept, Mover
from cmg.logbook.cold.reading import FileSearch
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.hot.line_store import LineStore
from cmg.logbook.intake import routes as intake_routes
from cmg.logbook.intake.taking import Intake
from cmg.logbook.levels.setting import LogLevels
from cmg.logbook.patterns.keeping import Patterns
from cmg.logbook.patterns.pattern_store import PatternStore
from cmg.logbook.searching import Search
from cmg.logbook.tailing import Tail
from cmg.storage.database import Database
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments

LEVELS_FILE = "logs/levels.json"
_MOVE_S = 6 * 3600.0


@dataclass(frozen=True)
class Logbook:
    """The use cases of the logbook in one process."""

    settings: Settings
    lines: LineStore
    patterns: Patterns
    files: FileStore
    shelves: Shelves
    uses: routes.LogUses
    intake: Intake
    clock: Clock

    def router(self) -> APIRouter:
        """The routes."""
        return routes.router(self.uses, HttpCallers())

    def intake_router(self) -> APIRouter:
        """OTLP's path, for the machines that collectors reach."""
        return intake_routes.router(self.intake, self.settings.limits.body_bytes)

    def register(self, jobs: Jobs, instruments: Instruments, aged: Callable[[JobHandler], JobHandler]) -> None:
        """The jobs of the tiers: what gets older moves on, and goes; `aged` guards what goes by the clock."""
        days = self.settings.logs
        kept = Kept(days.hot_days, days.cold_days, days.archive_days)
        mover = Mover(self.files, self.shelves, kept, self.clock, instruments)
        jobs.register("logs.move", aged(lambda _: mover.move()), every="33 * * * *", timeout_s=_MOVE_S)
        jobs.register("logs.archive", aged(lambda _: mover.archive()), every="13 2 * * *", timeout_s=_MOVE_S)
        jobs.register("logs.expire", aged(lambda _: mover.expire()), every="53 * * * *", timeout_s=_MOVE_S)
        jobs.register("logs.patterns_purge", aged(lambda _: self.patterns.purge()), every="41 3 * * *", timeout_s=3600)


def build_logbook(
    settings: Settings, database: Database, audit: AuditTrail, clock: Clock, instruments: Instruments
) -> Logbook:
    """Everything but the machine's own: its drain stands in the wiring."""
    patterns = Patterns(PatternStore(database), clock, instruments)
    lines = LineStore(database, clock, patterns.count)
    files, trail = FileStore(database, clock), AuditedBy(audit)
    shelves = shelves_of(settings)
    search = Search(lines, FileSearch(files, shelves, clock), clock, settings.logs.cold_days + 1)
    uses = routes.LogUses(
        search=search,
        tail=Tail(lines, clock),
        patterns=patterns,
        levels=LogLevels(database, settings.data_dir / LEVELS_FILE, trail, clock),
        holds=Holds(database, files, trail, clock),
        default_level=settings.log_level.lower(),
    )
    intake = Intake(
        lines, patterns, clock, instruments, settings.limits.body_bytes, DiskGuard(settings.data_dir, clock)
    )
    return Logbook(settings, lines, patterns, files, shelves, uses, intake, clock)


@dataclass(frozen=True)
class AuditedBy:
    """The logbook's trail is the service's."""

    audit: AuditTrail

    async def record(self, conn: Any, by: str, action: str, target: str, details: Mapping[str, Any]) -> None:
        """Append an entry of the whole service."""
        await self.audit.record(conn, Entry(by, None, action, target, details))


class HttpCallers:
    """The caller of a request, as authentication has found them."""

    def visible(self, request: Request, workspace: str | None) -> str | None:
        """The workspace whose lines a caller may see, of the one that they name; None: all of them."""
        return workspace_to_list(actor_of(request.state.caller), workspace)

    def name(self, request: Request) -> str:
        """As the audit trail names them."""
        return actor_of(request.state.caller).name
