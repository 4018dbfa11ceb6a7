"""Builds everything, in order: each resource is registered with its close and its probe as it is made."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
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
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.answers.response_cache import ResponseCache
from cmg.gateway.breaker import Breakers
from cmg.gateway.calls.internal import InternalChat, internal_caller
from cmg.gateway.chat import ChatHandler
from cmg.gateway.embeddings import EmbeddingsHandler
from cmg.gateway.models_api import ModelsHandler
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Recorder
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.catalogue_sync import CatalogueSync
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import Upstream, build_upstreams
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.identity import routes as identity_routes
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.workspaces import Workspaces
from cmg.jobs.queue import Jobs
from cmg.kit.clock import Clock, SystemClock
from cmg.kit.errors import NotFound
from cmg.ledger import routes as ledger_routes
from cmg.ledger import tokens
from cmg.ledger.budget_events import BudgetEvents, BudgetWatch
from cmg.ledger.drain import JournalDrain
from cmg.ledger.journal import Journal
from cmg.ledger.models import USAGE, RecordSink
from cmg.ledger.prices import PriceBook
from cmg.ledger.quota.cluster.quota import RedisQuota
from cmg.ledger.quota.estimator import Estimator
from cmg.ledger.quota.models import Quota
from cmg.ledger.quota.shared_memory import SharedMemoryQuota, release_worker
from cmg.ledger.quota.table import create_file
from cmg.ledger.reports.usage_reports import UsageReports
from cmg.ledger.spending import Spending
from cmg.ledger.store import upkeep
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.extraction.by_model import ModelExtractor
from cmg.memory.extraction.ports import Completion
from cmg.memory.extraction.worker import ExtractionWorker, Extractor, RuleExtractor
from cmg.memory.handlers import MemoryApi
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.retention import KeptFor, MemoryRetention
from cmg.memory.service import MemoryService
from cmg.memory.turn_sink import TURNS, TurnSink
from cmg.memory.workingset.handler import WorkingSetApi
from cmg.storage.cache import Cache
from cmg.storage.changes import ChangeFeed
from cmg.storage.changes import purge as purge_changes
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres, StorageError
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.merging import Departed

__all__ = ["StorageError", "build_backstage", "build_gateway", "open_services", "prepare", "vacate"]

_POOL = 8
_FLUSH_S = 3.0
_JOBS_S = 1.0
_LONG_JOB_S = 3600.0


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
        await migrate(dsn, clock=clock)
        database = Database(dsn, clock=clock, instruments=Instruments(), max_size=4)
        closing.push_async_callback(database.close)
        await database.open()
        feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
        await feed.load()
        yield replace(_services(settings, dsn, database, feed, clock), embedded=embedded)


async def prepare(services: Services, orders: Orders) -> FirstSecrets:
    """What must be true before the first worker runs: keys, an empty spool, fresh state of limits and budgets."""
    orders.runtime.mkdir(mode=0o700, exist_ok=True)
    for left in orders.runtime.glob("*.metrics"):
        left.unlink(missing_ok=True)
    await services.keys.ensure_bootstrap(orders.settings.bootstrap_key)
    secrets = FirstSecrets(await services.keys.ensure_admin_key(), await services.keys.ensure_first_key())
    clock, instruments = SystemClock(), Instruments()
    await upkeep(services.database, orders.settings.retention, clock.now())
    await _drain(services.database, orders, clock, instruments, UsageSink()).drain_all()
    create_file(orders.quota_file)
    return secrets


def vacate(orders: Orders, worker: int) -> None:
    """A gateway died: give back what its calls had reserved."""
    release_worker(orders.quota_file, worker)


def _drain(
    database: Database, orders: Orders, clock: Clock, instruments: Instruments, usage: UsageSink
) -> JournalDrain:
    sinks: dict[str, RecordSink] = {USAGE: usage, TURNS: TurnSink(clock, orders.settings.memory)}
    return JournalDrain(database, orders.spool, sinks, clock, instruments, usage.committed)


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
    tokens.warm_up()
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
    prices = PriceBook(settings.prices)
    catalogue = Catalogue(database, prices, clock)
    changes.subscribe("models", catalogue.changed)
    changes.on_reset(catalogue.load)
    await catalogue.load()
    network = HttpTransport(connections=settings.limits.connections)
    resources.add(Resource("upstream connections", network.close))
    router = _router(build_upstreams(settings, network, SimulatorTransport(clock)), settings)
    estimator = Estimator()
    memory = MemoryService(database, journal, settings.memory, clock, instruments)
    recorder = Recorder(journal, memory, quota, prices, estimator, clock, instruments)
    cache = Cache(settings.redis_url, clock=clock, instruments=instruments)
    resources.add(Resource("cache", cache.close))
    parts = GatewayParts(
        settings=settings,
        router=router,
        breakers=Breakers(clock, instruments),
        quota=quota,
        estimator=estimator,
        prices=prices,
        journal=journal,
        memory=memory,
        recorder=recorder,
        idempotent=IdempotentCalls(database, clock, settings.retention.idempotency_hours),
        responses=ResponseCache(cache),
        clock=clock,
    )
    authenticator = Authenticator(feed, clock, instruments)
    memory_api = MemoryApi(memory, database, authenticator.require, settings.limits.body_bytes, clock, instruments)
    workingset = WorkingSetApi(memory, database, authenticator.require, settings.limits.body_bytes, clock)
    routes = _routes(resources, parts, ModelsHandler(catalogue, router), memory_api)
    routes.add("POST", "/v1/workingset", workingset.handle)
    plane = DataPlane(routes, authenticator, forwarder.handle, instruments, clock, settings.trusted_proxies)
    return Built(plane, [changes.run(), parts.breakers.run()])


def _router(upstreams: Sequence[Upstream], settings: Settings) -> Router:
    return Router(upstreams, settings.routes, [entry["id"].removeprefix("sim/") for entry in SIMULATOR_MODELS])


def _routes(resources: Resources, parts: GatewayParts, models: ModelsHandler, memory: MemoryApi) -> Routes:
    routes = Routes()
    routes.add_open("GET", "/livez", resources.livez)
    routes.add_open("GET", "/readyz", resources.readyz)
    routes.add_open("GET", "/health", resources.health)
    routes.add("POST", "/v1/chat/completions", ChatHandler(parts).handle)
    routes.add("POST", "/v1/embeddings", EmbeddingsHandler(parts).handle)
    routes.add("GET", "/v1/models", models.list)
    routes.add("GET", "/v1/models/", models.one)
    routes.add("POST", "/v1/ingest", memory.ingest)
    routes.add("GET", "/v1/operations/", memory.operation)
    routes.add("POST", "/v1/recall", memory.recall)
    return routes


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
    drain = _drain(database, orders, clock, instruments, usage_sink)

    async def flush() -> None:
        async with asyncio.timeout(_FLUSH_S):
            await drain.drain_all()

    resources.add(Resource("drain", flush))
    metrics = MergedMetrics(orders.runtime, instruments, Departed(settings.data_dir / "departed.metrics"), clock)
    routers = _routers(services, resources, metrics, clock)
    application = control_plane.build(routers, Authenticator(feed, clock, instruments))
    network = HttpTransport()
    resources.add(Resource("upstream connections", network.close))
    upstreams = build_upstreams(settings, network, SimulatorTransport(clock))
    catalogue = CatalogueSync(upstreams, database, clock, instruments)
    jobs = _jobs(services, clock, instruments)
    resources.add(Resource("jobs", lambda: jobs.stop(_JOBS_S)))
    work = [changes.run(), drain.run(), watch.run(), metrics.poll(), jobs.run(), catalogue.run()]
    if settings.memory.extraction != "off":
        extractor: Extractor = RuleExtractor()
        if settings.memory.extraction != "rules":
            breakers, prices = Breakers(clock, instruments), PriceBook(settings.prices)
            listed = Catalogue(database, prices, clock)
            changes.subscribe("models", listed.changed)
            changes.on_reset(listed.load)
            await listed.load()
            chat = InternalChat(_router(upstreams, settings), breakers, prices, clock, _keeper(database, usage_sink))
            model = _FactModel(chat, feed, settings.memory.extraction)
            extractor = ModelExtractor(model, database, clock, settings.memory.extraction_usd_per_day)
            work.append(breakers.run())
        writer = ItemWriter(clock, settings.memory)
        extraction = ExtractionWorker(database, clock, instruments, extractor, writer)
        jobs.register("memory.extraction_purge", lambda _: extraction.purge(), every="47 3 * * *")
        work.append(extraction.run())
    return Built(application, work)


def _jobs(services: Services, clock: Clock, instruments: Instruments) -> Jobs:
    """Retention: every table that grows has its purge here, or in its own upkeep."""
    database, retention, settings = services.database, services.settings.retention, services.settings
    jobs = Jobs(database, clock, instruments, log_days=retention.jobs_log_days)
    idempotent = IdempotentCalls(database, clock, retention.idempotency_hours)
    items = ItemUpkeep(database, clock, half_life_days=settings.memory.half_life_days)
    kept = KeptFor(
        turn_days=settings.memory.retention_days,
        item_days=settings.memory.item_days,
        operation_days=retention.operations_days,
    )
    turns = MemoryRetention(database, clock, items, kept)
    jobs.register("ledger.upkeep", lambda _: upkeep(database, retention, clock.now()), every="7 * * * *")
    jobs.register("changes.purge", lambda _: purge_changes(database, clock), every="11 * * * *")
    jobs.register("keys.purge", lambda _: services.keys.purge(), every="23 * * * *")
    jobs.register("audit.purge", lambda _: services.audit.purge(), every="29 * * * *")
    jobs.register("memory.purge", lambda _: turns.purge(), every="37 * * * *", timeout_s=_LONG_JOB_S)
    jobs.register("memory.age", lambda _: items.age(), every="43 3 * * *", timeout_s=_LONG_JOB_S)
    jobs.register("idempotency.purge", lambda _: idempotent.purge(), every="*/10 * * * *")
    return jobs


@dataclass(frozen=True)
class _FactModel:
    """The chat model of the settings, as the extraction asks it: in the name of the workspace whose words it reads."""

    chat: InternalChat
    feed: SnapshotFeed
    model: str

    async def complete(self, workspace_id: str, body: Mapping[str, Any], timeout_s: float) -> Completion:
        """Raises `CmgError`."""
        workspace = self.feed.current.workspaces.get(workspace_id)
        if workspace is None:
            raise NotFound(f"there is no workspace {workspace_id}")
        text, nano = await self.chat.ask(internal_caller(workspace, "memory"), self.model, body, timeout_s)
        return Completion(text, nano)


def _keeper(database: Database, usage: UsageSink) -> Callable[[bytes], Awaitable[None]]:
    """Stores records of calls that this process makes itself: it has no journal."""

    async def keep(record: bytes) -> None:
        async with database.transaction() as conn:
            await usage.write(conn, [record])

    return keep


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
