"""Builds everything, in order: each resource is registered with its close and its probe as it is made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from cmg.app import control_plane
from cmg.app.data_plane import DataPlane, Routes
from cmg.app.forward import Forwarder
from cmg.app.health import Resource, Resources
from cmg.app.operations import operations_router
from cmg.app.processes.metrics import MergedMetrics, MetricsSocket
from cmg.app.processes.orders import Orders
from cmg.audit.trail import AuditTrail
from cmg.config import Settings
from cmg.identity import routes as identity_routes
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger import routes as ledger_routes
from cmg.ledger.budget_events import BudgetEvents, BudgetWatch
from cmg.ledger.drain import JournalDrain
from cmg.ledger.journal import Journal
from cmg.ledger.models import USAGE
from cmg.ledger.quota.cluster.quota import RedisQuota
from cmg.ledger.quota.models import Quota
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, release_worker
from cmg.ledger.quota.table import create_file
from cmg.ledger.reports.usage_reports import UsageReports
from cmg.ledger.spending import Spending
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres, StorageError
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.merging import Departed

__all__ = ["StorageError", "build_backstage", "build_gateway", "open_services", "prepare", "vacate"]

_POOL = 8
_FLUSH_S = 10.0


@dataclass(frozen=True)
class Built:
    """A process, ready to serve: its ASGI application and the work that runs beside it."""

    application: Any
    background: list[Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class FirstSecrets:
    """Secrets made at the first start and shown once."""

    admin_key: str | None
    first_key: str | None


@dataclass(frozen=True)
class Services:
    """The use cases of the control plane, for backstage and the command line."""

    settings: Settings
    dsn: str
    database: Database
    audit: AuditTrail
    keys: Keys
    workspaces: Workspaces
    usage: UsageReports
    embedded: EmbeddedPostgres | None = None

    async def watch(self) -> None:
        """Keep the embedded database running; returns at once when there is none."""
        if self.embedded is not None:
            await self.embedded.watch()


def _services(settings: Settings, dsn: str, database: Database, feed: SnapshotFeed, clock: Clock) -> Services:
    audit = AuditTrail(database, clock)
    return Services(
        settings=settings,
        dsn=dsn,
        database=database,
        audit=audit,
        keys=Keys(database, audit, clock),
        workspaces=Workspaces(database, audit, clock),
        usage=UsageReports(database, lambda: feed.current.workspaces, clock),
    )


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The use cases on the migrated database, embedded or given; everything is closed on leaving.

    Raises `StorageError` when the database cannot be started or is not ours.
    """
    clock = SystemClock()
    async with contextlib.AsyncExitStack() as closing:
        embedded = None
        if settings.database_url:
            dsn = settings.database_url
        else:
            embedded = EmbeddedPostgres(settings.data_dir, clock)
            dsn = await embedded.start()
            closing.push_async_callback(embedded.stop)
        await _migrated(dsn, clock)
        database = Database(dsn, clock=clock, instruments=Instruments(), max_size=4)
        closing.push_async_callback(database.close)
        await database.open()
        feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
        await feed.load()
        services = _services(settings, dsn, database, feed, clock)
        yield Services(**{**_fields(services), "embedded": embedded})


def _fields(services: Services) -> dict[str, Any]:
    return {name: getattr(services, name) for name in services.__dataclass_fields__}


async def _migrated(dsn: str, clock: Clock) -> None:
    try:
        await migrate(dsn, clock=clock)
    except (OSError, TimeoutError) as error:
        raise StorageError(f"the database cannot be reached: {error}; is CMG_DATABASE_URL right?") from error


async def prepare(services: Services, orders: Orders) -> FirstSecrets:
    """What must be true before the first worker runs: keys, an empty spool, fresh state of limits and budgets."""
    orders.runtime.mkdir(mode=0o700, exist_ok=True)
    for left in orders.runtime.glob("*.metrics"):
        left.unlink(missing_ok=True)
    if orders.settings.bootstrap_key:
        await services.keys.ensure_bootstrap(orders.settings.bootstrap_key)
    secrets = FirstSecrets(await services.keys.ensure_admin_key(), await services.keys.ensure_first_key())
    clock, instruments = SystemClock(), Instruments()
    await _drain(services.database, orders, clock, instruments).drain_all()
    create_file(orders.quota_file)
    return secrets


def vacate(orders: Orders, worker: int) -> None:
    """A gateway died: give back what its calls had reserved."""
    release_worker(orders.quota_file, worker)


def _drain(database: Database, orders: Orders, clock: Clock, instruments: Instruments) -> JournalDrain:
    return JournalDrain(database, orders.spool, {USAGE: UsageSink()}, clock, instruments)


async def _base(orders: Orders, resources: Resources, clock: Clock, instruments: Instruments) -> tuple[Any, ...]:
    """What every process has: the database, the change feed and the snapshot of keys."""
    database = Database(orders.dsn, clock=clock, instruments=instruments, max_size=_POOL)

    async def reachable() -> None:
        await database.ping()

    resources.add(Resource("database", database.close, reachable))
    await database.open()
    changes = ChangeFeed(database, clock)
    feed = SnapshotFeed(database, changes, clock, instruments)
    await changes.mark()
    await feed.load()
    return database, changes, feed


async def build_gateway(orders: Orders, resources: Resources) -> Built:
    """The data plane of one worker."""
    settings, clock, instruments = orders.settings, SystemClock(), Instruments()
    database, changes, feed = await _base(orders, resources, clock, instruments)
    journal = Journal(orders.spool, settings.journal, instruments)

    async def journal_open() -> None:
        if journal.full:
            raise StorageError("the journal is full: usage waits for the database")

    async def close_journal() -> None:
        journal.close()

    resources.add(Resource("journal", close_journal, journal_open, needed=True))
    quota = _quota(orders, database, clock, instruments)
    resources.add(Resource("quota", quota.close))
    socket = MetricsSocket(orders.runtime / f"gateway-{orders.worker}.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    forwarder = Forwarder(orders.backstage_socket, settings.limits.body_bytes)
    resources.add(Resource("forwarder", forwarder.close))
    authenticator = Authenticator(feed, clock, instruments)
    routes = Routes()
    routes.add_open("GET", "/livez", resources.livez)
    routes.add_open("GET", "/readyz", resources.readyz)
    routes.add_open("GET", "/health", resources.health)
    plane = DataPlane(routes, authenticator, forwarder.handle, instruments, clock, settings.trusted_proxies)
    return Built(plane, [changes.run()])


def _quota(orders: Orders, database: Database, clock: Clock, instruments: Instruments) -> Quota:
    seeder = Spending(database, clock).before
    local = SharedMemoryQuota(orders.quota_file, orders.worker, clock, instruments, seeder=seeder)
    if orders.settings.redis_url:
        return RedisQuota(orders.settings.redis_url, local, clock, instruments, seeder=seeder)
    return local


async def build_backstage(orders: Orders, resources: Resources) -> Built:
    """The control plane and the background work of one machine."""
    settings, clock, instruments = orders.settings, SystemClock(), Instruments()
    database, changes, feed = await _base(orders, resources, clock, instruments)
    services = _services(settings, orders.dsn, database, feed, clock)
    watch = BudgetWatch(database, lambda: feed.current, services.keys.suspend_for_budget, clock, instruments)
    usage_sink = UsageSink(watch.spent)
    drain = JournalDrain(database, orders.spool, {USAGE: usage_sink}, clock, instruments, usage_sink.committed)

    async def flush() -> None:
        async with asyncio.timeout(_FLUSH_S):
            await drain.drain_all()

    resources.add(Resource("drain", flush))
    metrics = MergedMetrics(orders.runtime, instruments, Departed(settings.data_dir / "departed.metrics"), clock)
    routers = _routers(services, resources, metrics, clock)
    application = control_plane.build(routers, Authenticator(feed, clock, instruments))
    return Built(application, [changes.run(), drain.run(), watch.run(), metrics.poll()])


def _routers(services: Services, resources: Resources, metrics: MergedMetrics, clock: Clock) -> list[APIRouter]:
    return [
        identity_routes.router(services.keys, services.workspaces, services.audit, clock),
        ledger_routes.router(services.usage, BudgetEvents(services.database)),
        operations_router(resources, metrics, services.settings.metrics_allow),
    ]


def routers_without_database() -> list[APIRouter]:
    """The routers on services that are not connected: enough to read the API from, not to call it."""
    clock, settings, instruments = SystemClock(), Settings(), Instruments()
    database = Database("postgresql:///", clock=clock, instruments=instruments)
    feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
    metrics = MergedMetrics(Path(), instruments, Departed(Path("departed.metrics")), clock)
    return _routers(_services(settings, "", database, feed, clock), Resources(clock), metrics, clock)
