"""What most commands need: the database, keys, workspaces, and what was written down of calls."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cmg.app.wiring.place import database_place
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity.keys import Keys
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.reports.usage_reports import UsageReports
from cmg.storage.archive.unfinished import Unfinished
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from cmg.traces.reading import TraceReader
from cmg.traces.store import TraceStore


@dataclass(frozen=True)
class Basics:
    """The use cases that stand on the database alone; `Services` has every one."""

    settings: Settings
    dsn: str
    database: Database
    feed: SnapshotFeed
    instruments: Instruments
    audit: AuditTrail
    keys: Keys
    workspaces: Workspaces
    usage: UsageReports
    traces: TraceReader


def basics_of(
    settings: Settings, dsn: str, database: Database, feed: SnapshotFeed, clock: Clock, instruments: Instruments
) -> Basics:
    """The same on a database, with the keys of a feed."""
    audit = AuditTrail(database, clock)
    return Basics(
        settings=settings,
        dsn=dsn,
        database=database,
        feed=feed,
        instruments=instruments,
        audit=audit,
        keys=Keys(database, audit, clock),
        workspaces=Workspaces(database, audit, clock),
        usage=UsageReports(database, lambda: feed.current.workspaces, clock),
        traces=TraceReader(TraceStore(database), clock),
    )


@contextlib.asynccontextmanager
async def basics_on(settings: Settings, dsn: str, *, stored: bool = False) -> AsyncIterator[Basics]:
    """The same on a database that is migrated first; `stored` refuses an empty one. Raises `StorageError`."""
    clock, instruments = SystemClock(), Instruments()
    Unfinished(settings.data_dir).refuse()
    await migrate(dsn, clock=clock, stored=stored, direct=settings.database_url is None)
    database = Database(dsn, clock=clock, instruments=instruments, max_size=4)
    try:
        await database.open()
        feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
        await feed.load()
        yield basics_of(settings, dsn, database, feed, clock, instruments)
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_basics(settings: Settings, *, stored: bool = False) -> AsyncIterator[Basics]:
    """The same on the database that the settings name, embedded or given; everything is closed on leaving.

    Raises `StorageError` when the database cannot be started or is not ours.
    """
    async with database_place(settings) as place, basics_on(settings, place.dsn, stored=stored) as basics:
        yield basics
