"""Builds everything, in order: each resource is registered with its close and its probe as it is made."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request

import cmg
from cmg.alerting.alerts import Alerts
from cmg.alerting.api import document_routes as alerting_document_routes
from cmg.alerting.api import routes as alerting_routes
from cmg.alerting.desk import Desk
from cmg.alerting.evaluation.prometheus_api import WithRules
from cmg.alerting.setup.configuring import Configuring
from cmg.alerting.standby.local_copy import LocalCopy
from cmg.analytics import routes as analytics_routes
from cmg.analytics.panels import Panels
from cmg.app import control_plane
from cmg.app.alerting.paging import PagingParts, build_paging, build_sealer
from cmg.app.control_plane import ASGI, Doors
from cmg.app.data_plane import DataPlane, Routes
from cmg.app.forward import Forwarder, Within
from cmg.app.health import Machine, health_api, watch_processes, watch_stores, watch_upstreams
from cmg.app.incidents.building import (
    add_incident_jobs,
    add_status_routes,
    build_board,
    build_room,
    fingerprint,
)
from cmg.app.last_known import Keeper, LastKnownFile, take_last_known
from cmg.app.logbook.building import Logbook, build_logbook
from cmg.app.memory.control import MemoryControl, Onlooker, add_memory_routes, build_control
from cmg.app.memory.embedding import Sources
from cmg.app.metrics_api import metrics_router
from cmg.app.people.building import Ground, People, build_people
from cmg.app.processes.metrics import MergedMetrics, MetricsSocket
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources
from cmg.app.roles import by_role
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
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.catalogue_sync import CatalogueSync
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import Upstream, build_upstreams
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.health.handlers import HealthApi
from cmg.health.probes.jobs import TRIAL, queue_probe, workers_probe
from cmg.health.probes.processes import Waiting
from cmg.health.probes.timeseries import freshness_probe, remote_probe
from cmg.health.store import HealthStore
from cmg.identity import routes as identity_routes
from cmg.identity.accounts.first_account import FirstAdministrator
from cmg.identity.authenticator import Authenticator
from cmg.identity.keys import Keys
from cmg.identity.models import actor_of
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.speaking.rules import Speaking
from cmg.identity.workspaces import Workspaces
from cmg.incidents import routes as incident_routes
from cmg.incidents.alerts.calling import Calling
from cmg.incidents.alerts.desk import IncidentDesk
from cmg.incidents.alerts.watching import AlertWatch
from cmg.incidents.attending import Attendant
from cmg.incidents.routes import Room
from cmg.jobs.queue import Jobs
from cmg.kit.asgi import Handler
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
from cmg.logbook.hot.drain import LogDrain
from cmg.logbook.levels.setting import TOPIC as LOG_LEVELS
from cmg.logbook.shipping import LogShipper
from cmg.memory.condensing.by_model import ModelWriter
from cmg.memory.condensing.condenser import Condenser
from cmg.memory.condensing.keeper import SummaryKeeper
from cmg.memory.control.erasure import TOPIC as ERASURES
from cmg.memory.control.tombstone_store import erased
from cmg.memory.effect import routes as effect_routes
from cmg.memory.effect.records import TOLD
from cmg.memory.effect.report import EffectReports
from cmg.memory.effect.store import purge as purge_effect
from cmg.memory.effect.told_sink import ToldSink
from cmg.memory.embedding.engines import NAMES, Engines, Kind
from cmg.memory.embedding.query_embedder import QueryEmbedder
from cmg.memory.embedding.server import EmbedderServer
from cmg.memory.extraction.by_model import ModelExtractor
from cmg.memory.extraction.ports import Completion
from cmg.memory.extraction.worker import ExtractionWorker, Extractor, RuleExtractor
from cmg.memory.handlers import MemoryApi
from cmg.memory.items.upkeep import ItemUpkeep
from cmg.memory.items.writing import ItemWriter
from cmg.memory.notes.client import NoteClient
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.notes.server import NoteServer
from cmg.memory.policies import Policies
from cmg.memory.ranking.finder import Finder
from cmg.memory.recent import RecentWriters
from cmg.memory.retention import MemoryRetention
from cmg.memory.service import MemoryService
from cmg.memory.text.note import frame_tokens
from cmg.memory.tools.calls import Tools
from cmg.memory.turn_sink import TURNS, TurnSink
from cmg.memory.vectors.backlog import Backlog
from cmg.memory.vectors.index_store import IndexStore
from cmg.memory.vectors.models import KnownModels
from cmg.memory.vectors.store import VectorStore
from cmg.memory.workingset.handler import WorkingSetApi
from cmg.storage.cache import Cache
from cmg.storage.changes import ChangeFeed
from cmg.storage.changes import purge as purge_changes
from cmg.storage.database import Database
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.errors import DatabaseAway, DatabaseUnreachable, StorageError
from cmg.storage.figures import DatabaseFigures
from cmg.storage.migrate import migrate
from cmg.telemetry import logs
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.host import HostFigures
from cmg.telemetry.machine.process import ProcessFigures
from cmg.telemetry.machine.sampling import sample
from cmg.telemetry.merging import Departed
from cmg.telemetry.tracing.outbox import Outbox
from cmg.telemetry.tracing.record import Batch
from cmg.telemetry.tracing.tracer import Tracer
from cmg.timeseries.api import routes as timeseries_routes
from cmg.timeseries.api.embedded import EmbeddedPrometheus
from cmg.timeseries.api.remote import RemotePrometheus
from cmg.timeseries.monitor import Monitor
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.scrape.targets import OwnMetrics
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.sample_source import SampleSource
from cmg.traces import routes as trace_routes
from cmg.traces.reading import TraceReader
from cmg.traces.receiving import Receiver, nobody
from cmg.traces.store import TraceStore

__all__ = [
    "DatabaseAway",
    "DatabaseUnreachable",
    "FirstSecrets",
    "StorageError",
    "build_backstage",
    "build_embedder",
    "build_gateway",
    "database_place",
    "make_way",
    "needs_embedder",
    "open_services",
    "prepare",
    "prepare_late",
    "vacate",
]

_POOL = 8
_WARM_S = 5.0
_FLUSH_S = 3.0
_JOBS_S = 1.0
_LONG_JOB_S = 3600.0


Work = Coroutine[Any, Any, None]


@dataclass(frozen=True)
class Built:
    """A process, ready to serve: its ASGI application and the work that runs beside it."""

    application: Any
    background: list[Work]


@dataclass(frozen=True)
class FirstSecrets:
    """Secrets made at the first start and shown once."""

    administrator: FirstAdministrator | None
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
    people: People
    usage: UsageReports
    policies: Policies
    traces: TraceReader
    control: MemoryControl
    effect: EffectReports
    desk: Desk
    alerts: Alerts
    configuring: Configuring
    logbook: Logbook
    incidents: Room


def _services(
    settings: Settings, dsn: str, database: Database, feed: SnapshotFeed, clock: Clock, instruments: Instruments
) -> Services:
    audit, policies = AuditTrail(database, clock), _policies(settings, feed)
    desk = Desk(database, audit, clock)
    return Services(
        settings=settings,
        dsn=dsn,
        database=database,
        audit=audit,
        keys=Keys(database, audit, clock),
        workspaces=Workspaces(database, audit, clock),
        people=build_people(Ground(settings, database, audit, lambda: feed.current.workspaces, clock, instruments)),
        usage=UsageReports(database, lambda: feed.current.workspaces, clock),
        policies=policies,
        control=build_control(settings, database, policies, clock),
        traces=TraceReader(TraceStore(database), clock),
        effect=EffectReports(database, lambda: feed.current.workspaces, clock),
        desk=desk,
        alerts=Alerts(desk, database, clock),
        logbook=build_logbook(settings, database, audit, clock, instruments),
        incidents=build_room(settings, database, audit, clock),
        configuring=Configuring(database, audit, clock, build_sealer(settings)),
    )


def _policies(settings: Settings, feed: SnapshotFeed) -> Policies:
    return Policies(settings.memory, lambda: feed.current.workspaces)


@dataclass(frozen=True)
class Place:
    """Where the database is, and the embedded server if it is ours."""

    dsn: str
    embedded: EmbeddedPostgres | None = None

    async def watch(self) -> None:
        """Keep the embedded database running; returns at once when there is none."""
        if self.embedded is not None:
            await self.embedded.watch()


@contextlib.asynccontextmanager
async def database_place(settings: Settings) -> AsyncIterator[Place]:
    """The database of the settings, which may be away, or the embedded one, started. Raises `StorageError`."""
    if settings.database_url:
        yield Place(settings.database_url)
        return
    embedded = EmbeddedPostgres(settings.data_dir, SystemClock())
    dsn = await embedded.start()
    try:
        yield Place(dsn, embedded)
    finally:
        await embedded.stop()


@contextlib.asynccontextmanager
async def _services_on(settings: Settings, dsn: str) -> AsyncIterator[Services]:
    clock = SystemClock()
    await migrate(dsn, clock=clock)
    instruments = Instruments()
    database = Database(dsn, clock=clock, instruments=instruments, max_size=4)
    try:
        await database.open()
        feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
        await feed.load()
        services = _services(settings, dsn, database, feed, clock, instruments)
        yield services
        await services.people.close()
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """The use cases on the migrated database, embedded or given; everything is closed on leaving.

    Raises `StorageError` when the database cannot be started or is not ours.
    """
    async with database_place(settings) as place, _services_on(settings, place.dsn) as services:
        yield services


def make_way(orders: Orders) -> None:
    """Remove what a killed predecessor left: nobody may be asked in its place."""
    orders.runtime.mkdir(mode=0o700, exist_ok=True)
    for left in (path for kind in ("*.metrics", "*.sock", "*.report") for path in orders.runtime.glob(kind)):
        left.unlink(missing_ok=True)


async def prepare(orders: Orders) -> FirstSecrets:
    """What must be true before the first worker runs: keys, an empty spool, fresh state of limits and budgets.

    Raises `DatabaseUnreachable` or `DatabaseAway`; then `prepare_late` follows, if the last known keys let calls go on.
    """
    async with _services_on(orders.settings, orders.dsn) as services:
        secrets = await _first_things(services)
        drain = _drain(services, orders, SystemClock(), Instruments(), UsageSink(erased=erased))
        await drain.drain_all()
    if orders.duties.gateways:
        create_file(orders.quota_file)
    return secrets


async def prepare_late(orders: Orders) -> FirstSecrets:
    """The same while workers run already. They count on in the state of limits of the run before."""
    async with _services_on(orders.settings, orders.dsn) as services:
        return await _first_things(services)


async def _first_things(services: Services) -> FirstSecrets:
    await services.keys.ensure_bootstrap(services.settings.bootstrap_key)
    settings = services.settings
    administrator = await services.people.first.ensure(settings.admin_email, settings.admin_password)
    secrets = FirstSecrets(
        administrator, await services.keys.ensure_admin_key(), await services.keys.ensure_first_key()
    )
    await upkeep(services.database, services.settings.retention, SystemClock().now())
    await services.incidents.operation.started(cmg.__version__, socket.gethostname(), fingerprint(services.settings))
    await services.control.erasure.replay()  # before anything that a backup brought back is drained or served
    return secrets


def vacate(orders: Orders, worker: int) -> None:
    """A gateway died: give back what its calls had reserved."""
    release_worker(orders.quota_file, worker)


def _drain(
    services: Services, orders: Orders, clock: Clock, instruments: Instruments, usage: UsageSink
) -> JournalDrain:
    sinks: dict[str, RecordSink] = {
        USAGE: usage,
        TURNS: TurnSink(clock, services.policies),
        TOLD: ToldSink(clock, instruments),
    }
    return JournalDrain(services.database, orders.spool, sinks, clock, instruments, usage.committed)


async def needs_embedder(orders: Orders) -> bool:
    """Whether a model of this machine embeds, or did and users are still searched by it."""
    if not (orders.duties.gateways or orders.duties.jobs):
        return False  # nobody here would ask it
    asked = orders.settings.memory.embedder
    if asked in NAMES or asked == "none":
        return asked != "none"
    database = Database(orders.dsn, clock=SystemClock(), instruments=Instruments(), max_size=1)
    try:
        await database.open()
        return any(model.name in NAMES.values() for model in await VectorStore(database).models())
    except DatabaseAway:
        return False
    finally:
        await database.close()


def _instruments() -> Instruments:
    """The metrics of a process, which count its log lines too."""
    instruments = Instruments()
    logs.count_into(instruments)
    return instruments


async def build_embedder(orders: Orders, resources: Resources) -> list[Work]:
    """The process that runs the models of this machine; returns its work."""
    instruments = _instruments()
    socket = MetricsSocket(orders.runtime / "embedder-0.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    asked: Kind = "static" if orders.settings.memory.embedder == "static" else "local"
    server = EmbedderServer(orders.embedder_socket, Engines(asked, orders.models), instruments)
    await server.open()
    resources.add(Resource("embedder", server.close))
    return [server.run(), sample([_process("embedder", resources, instruments)], SystemClock())]


async def build_notes(orders: Orders, resources: Resources) -> list[Work]:
    """A process that makes notes for the gateways of this machine; returns its work."""
    settings, clock, instruments = orders.settings, SystemClock(), _instruments()
    database = Database(orders.dsn, clock=clock, instruments=instruments, max_size=_POOL)
    await database.open()
    resources.add(Resource("database", database.close))
    socket = MetricsSocket(orders.runtime / f"notes-{orders.worker}.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    network = HttpTransport()
    resources.add(Resource("upstream connections", network.close))
    upstreams = build_upstreams(settings, network, SimulatorTransport(clock))
    questions = _questions(_sources(orders, upstreams, resources), database, clock, instruments)
    finder = Finder(database, questions, clock, settings.memory.recall_deadline_ms / 1000 / 2)
    frame_tokens()  # loads the vocabulary now: the first call must not wait for it
    with contextlib.suppress(DatabaseAway):
        await finder.warm_up(_POOL, _WARM_S)
    condenser = Condenser(database, settings.memory.summary_tokens)
    maker = NoteMaker(finder, RecentWriters(Onlooker(orders.spool).folder), condenser)
    server = NoteServer(orders.notes_socket(orders.worker), maker, instruments)
    await server.open()
    resources.add(Resource("notes", server.close))
    return [sample([_process("notes", resources, instruments)], clock)]


def _process(name: str, resources: Resources, instruments: Instruments) -> ProcessFigures:
    """The figures of this process."""
    figures = ProcessFigures(name, instruments)

    async def close() -> None:
        figures.close()

    resources.add(Resource("figures", close))
    return figures


@dataclass(frozen=True)
class _Base:
    """What every process has: the database, what changes in it, and the snapshot of keys, models and prices."""

    database: Database
    changes: ChangeFeed
    feed: SnapshotFeed
    prices: PriceBook
    catalogue: Catalogue
    known: LastKnownFile
    outbox: Outbox
    tracer: Tracer


async def _base(orders: Orders, resources: Resources, clock: Clock, instruments: Instruments) -> _Base:
    settings = orders.settings
    database = Database(orders.dsn, clock=clock, instruments=instruments, max_size=_POOL)

    async def reachable() -> None:
        await database.ping()

    needed = orders.duties.control_plane and not orders.duties.gateways
    resources.add(Resource("database", database.close, reachable if needed else None))
    await database.open()
    changes, prices = ChangeFeed(database, clock), PriceBook(settings.prices)
    feed = SnapshotFeed(database, changes, clock, instruments)
    catalogue = Catalogue(database, prices, clock, built_in_models(settings))
    changes.subscribe("models", catalogue.changed)
    changes.on_reset(catalogue.load)
    outbox = Outbox(orders.traces_socket, instruments)
    tracer = Tracer(settings.traces, outbox, clock, instruments)
    base = _Base(database, changes, feed, prices, catalogue, LastKnownFile(orders.last_known), outbox, tracer)
    await _learn(base)
    tokens.warm_up()
    return base


async def _learn(base: _Base) -> None:
    """The present from the database; while that is away, the last known, until the change feed reaches it."""
    try:
        await base.changes.mark()
        await base.feed.load()
        await base.catalogue.load()
    except DatabaseAway:
        if not take_last_known(base.known, base.feed, base.catalogue):
            raise
        base.changes.lose_place()


async def build_gateway(orders: Orders, resources: Resources) -> Built:
    """The data plane of one worker."""
    settings, clock, instruments = orders.settings, SystemClock(), _instruments()
    base = await _base(orders, resources, clock, instruments)
    database, feed, prices, catalogue = base.database, base.feed, base.prices, base.catalogue
    journal = Journal(orders.spool, settings.journal, instruments)

    async def journal_open() -> None:
        if journal.full:
            raise StorageError("the journal is full: usage waits for the database")

    async def close_journal() -> None:
        journal.close()

    resources.add(Resource("journal", close_journal, journal_open))
    quota = _quota(orders, database, clock, instruments)
    resources.add(Resource("quota", quota.close))
    socket = MetricsSocket(orders.runtime / f"gateway-{orders.worker}.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    forwarder = Forwarder(orders.backstage_socket, settings.limits.body_bytes, clock)
    resources.add(Resource("forwarder", forwarder.close))
    network = HttpTransport(connections=settings.limits.connections)
    resources.add(Resource("upstream connections", network.close))
    upstreams = build_upstreams(settings, network, SimulatorTransport(clock))
    router = _router(upstreams, settings)
    questions = _questions(_sources(orders, upstreams, resources), database, clock, instruments)
    estimator = Estimator()
    finder = Finder(database, questions, clock, settings.memory.recall_deadline_ms / 1000 / 2)
    notes = NoteClient(orders.notes_socket(orders.worker % orders.note_makers))
    resources.add(Resource("recall", notes.close))
    policies = _policies(settings, feed)
    memory = MemoryService(finder, notes, journal, policies, clock, instruments)
    counting = (clock, instruments, base.tracer, catalogue.lists)
    recorder = Recorder(journal, memory, quota, prices, estimator, *counting)
    cache, speaking = _cache(settings, resources, clock, instruments), Speaking(clock, instruments)
    parts = GatewayParts(
        settings=settings,
        router=router,
        catalogue=catalogue,
        breakers=Breakers(clock, instruments),
        quota=quota,
        estimator=estimator,
        prices=prices,
        journal=journal,
        memory=memory,
        recorder=recorder,
        idempotent=IdempotentCalls(database, clock, settings.retention.idempotency_hours),
        responses=ResponseCache(cache),
        speaking=speaking,
        clock=clock,
    )
    authenticator = Authenticator(feed, clock, instruments)
    control = build_control(settings, database, policies, clock)
    access = control.access(authenticator.require, speaking, instruments)
    memory_api = MemoryApi(memory, database, access, settings.limits.body_bytes, clock, instruments)
    workingset = WorkingSetApi(memory, database, access, settings.limits.body_bytes, clock)
    health = health_api(Machine(orders, resources, clock, instruments), authenticator, journal)
    routes = _probes(resources, health)
    _add_routes(routes, parts, ModelsHandler(catalogue, router), memory_api)
    add_status_routes(routes, settings, clock)
    add_memory_routes(routes, control, control.memories(memory), access)
    base.changes.subscribe(ERASURES, journal.begin_segment)
    routes.add("POST", "/v1/workingset", workingset.handle)
    forward = by_role(orders.role, forwarder.handle, _remote(orders, resources))
    plane = DataPlane(routes, authenticator, forward, instruments, base.tracer, settings.trusted_proxies)
    watching = sample([_process("gateway", resources, instruments)], clock)
    return Built(plane, [base.changes.run(), parts.breakers.run(), base.outbox.run(), watching])


def _cache(settings: Settings, resources: Resources, clock: Clock, instruments: Instruments) -> Cache:
    cache = Cache(settings.redis_url, clock=clock, instruments=instruments)
    resources.add(Resource("cache", cache.close))
    return cache


def _remote(orders: Orders, resources: Resources) -> Handler | None:
    """The control plane of another machine, if the settings name one and this machine has none."""
    settings = orders.settings
    if orders.duties.control_plane or not settings.backstage_url:
        return None
    remote = Forwarder(settings.backstage_url, settings.limits.body_bytes, SystemClock())
    resources.add(Resource("other machine", remote.close))
    return remote.handle


def _sources(orders: Orders, upstreams: Sequence[Upstream], resources: Resources) -> Sources:
    """The embedders of this process."""
    sources = Sources(orders, {upstream.name: upstream for upstream in upstreams})
    if sources.current is not None:
        resources.add(Resource("embedder", sources.close))
    return sources


def _questions(sources: Sources, database: Database, clock: Clock, instruments: Instruments) -> QueryEmbedder | None:
    """What gives the questions of recalls their vectors; None without an embedder."""
    if sources.current is None:
        return None
    known = KnownModels(VectorStore(database), clock)
    return QueryEmbedder(sources.current, sources.named, known, clock, instruments)


def _upstreams(settings: Settings, resources: Resources, clock: Clock) -> list[Upstream]:
    network = HttpTransport()
    resources.add(Resource("upstream connections", network.close))
    return build_upstreams(settings, network, SimulatorTransport(clock))


def _router(upstreams: Sequence[Upstream], settings: Settings) -> Router:
    return Router(upstreams, settings.routes, [entry["id"].removeprefix("sim/") for entry in SIMULATOR_MODELS])


def _probes(resources: Resources, health: HealthApi) -> Routes:
    routes = Routes()
    routes.add_open("GET", "/livez", resources.livez)
    routes.add_open("GET", "/readyz", resources.readyz)
    for path, handler in health.routes().items():
        routes.add_open("GET", path, handler)
    return routes


def _add_routes(routes: Routes, parts: GatewayParts, models: ModelsHandler, memory: MemoryApi) -> None:
    routes.add("POST", "/v1/chat/completions", ChatHandler(parts).handle)
    routes.add("POST", "/v1/embeddings", EmbeddingsHandler(parts).handle)
    routes.add("GET", "/v1/models", models.list)
    routes.add("GET", "/v1/models/", models.one)
    routes.add("POST", "/v1/ingest", memory.ingest)
    routes.add("GET", "/v1/operations/", memory.operation)
    routes.add("POST", "/v1/recall", memory.recall)


def _quota(orders: Orders, database: Database, clock: Clock, instruments: Instruments) -> Quota:
    seeder = Spending(database, clock).before
    local = SharedMemoryQuota(orders.quota_file, orders.worker, clock, instruments, seeder=seeder)
    if orders.settings.redis_url:
        return RedisQuota(orders.settings.redis_url, local, clock, instruments, seeder=seeder)
    return local


async def build_backstage(orders: Orders, resources: Resources) -> Built:
    """The background work of one machine, and the control plane where its role has it."""
    settings, clock, instruments = orders.settings, SystemClock(), _instruments()
    base = await _base(orders, resources, clock, instruments)
    services = _services(settings, orders.dsn, base.database, base.feed, clock, instruments)
    metrics = MergedMetrics(orders.runtime, instruments, Departed(settings.data_dir / "departed.metrics"), clock)
    machine = Machine(orders, resources, clock, instruments)
    cache = _cache(settings, resources, clock, instruments)
    watch_stores(machine, base.database, cache)
    upstreams = _upstreams(settings, resources, clock)
    sources = _sources(orders, upstreams, resources)
    board = build_board(settings, base.database, machine.reader().standing, clock, instruments)
    keeper = Keeper(base.known, base.feed, base.catalogue, clock)
    logging = await _logbook(orders, resources, base, services.logbook, instruments)
    work = [base.changes.run(), metrics.poll(), keeper.run(), *logging]
    tracing = [base.outbox.run(), *_traces(orders, resources, base.database, instruments)]
    work += [board.run(), *tracing, *_figures(orders, resources, base.database, cache, instruments)]
    authenticator = Authenticator(base.feed, clock, instruments)
    routers = [metrics_router(metrics, settings.metrics_allow)]
    mounts: Mapping[str, ASGI] = {}
    prometheus: timeseries_routes.Prometheus | None = None
    if orders.duties.monitor:
        prometheus, watching = _monitoring(orders, resources, services, metrics, instruments)
        routers.append(timeseries_routes.router(prometheus))
        work += watching
    if orders.duties.gateways or orders.duties.control_plane:
        routers.append(services.logbook.intake_router())
    if orders.duties.drain:
        waiting, draining = _draining(orders, resources, services, base.feed, instruments)
        work += draining
        watch_processes(machine, metrics, sources, waiting)
        watch_upstreams(machine, upstreams, base.catalogue, metrics)
    if orders.duties.jobs or orders.duties.control_plane:
        if orders.duties.jobs:
            work += _working(base, resources, services, upstreams, sources, instruments)
        if orders.duties.control_plane:
            routers += _control_routers(services, clock)
            services.incidents.samples.source = prometheus or _far_prometheus(settings, resources)
            panels = Panels(base.database, services.incidents.samples.source)
            routers.append(analytics_routes.router(panels, lambda: base.feed.current.workspaces, clock))
            memory = _reading_memory(orders, sources, services, instruments)
            mounts, answering = _tools(services, memory, authenticator, instruments)
            work.append(answering)
    work.append(machine.prober(base.database).run())
    application: Any = control_plane.build(
        routers, _doors(orders, resources, services, authenticator), mounts, base.tracer
    )
    if not orders.duties.gateways:
        within = Within(application, settings.limits.body_bytes)
        forward = by_role(orders.role, within.handle, _remote(orders, resources))
        probes = _probes(resources, health_api(machine, authenticator))
        add_status_routes(probes, settings, clock)
        application = DataPlane(probes, authenticator, forward, instruments, base.tracer, settings.trusted_proxies)
    return Built(application, work)


def _reading_memory(orders: Orders, sources: Sources, services: Services, instruments: Instruments) -> MemoryService:
    """The memory of a process that reads it and journals nothing."""
    settings, clock, database = services.settings.memory, SystemClock(), services.database
    questions = _questions(sources, database, clock, instruments)
    finder = Finder(database, questions, clock, settings.recall_deadline_ms / 1000 / 2)
    reader = Onlooker(orders.spool)
    maker = NoteMaker(finder, RecentWriters(reader.folder), Condenser(database, settings.summary_tokens))
    return MemoryService(finder, maker, reader, services.policies, clock, instruments)


def _figures(
    orders: Orders, resources: Resources, database: Database, cache: Cache, instruments: Instruments
) -> list[Work]:
    """What looks at this process, its machine and the servers that it uses."""
    settings, clock = orders.settings, SystemClock()
    volumes = {"data": settings.data_dir, "root": Path("/")}
    host = HostFigures(instruments, volumes, link_mbit=settings.machine.link_mbit)
    work = [sample([_process("backstage", resources, instruments), host], clock)]
    if settings.redis_url:
        work.append(cache.watch())
    if orders.duties.jobs or orders.duties.monitor:
        work.append(DatabaseFigures(database, clock, instruments).run())
    return work


def _doors(orders: Orders, resources: Resources, services: Services, authenticator: Authenticator) -> Doors:
    """Who lets callers in: keys everywhere, people where the control plane is."""
    resources.add(Resource("people", services.people.close))
    people = services.people.door if orders.duties.control_plane else None
    return Doors(authenticator, people, services.people.events)


def _tools(
    services: Services, memory: MemoryService, authenticator: Authenticator, instruments: Instruments
) -> tuple[Mapping[str, ASGI], Work]:
    """MCP's endpoint at its path, and what runs beside it."""
    from cmg.memory.tools.endpoint import PATH, McpEndpoint  # noqa: PLC0415  26 MB that the gateways need not load

    speaking = Speaking(services.control.clock, instruments)
    access = services.control.access(authenticator.require, speaking, instruments)
    tools = Tools(services.control.memories(memory), access)
    endpoint = McpEndpoint(tools, services.settings.limits.body_bytes)
    return {PATH: endpoint}, endpoint.run()


def _traces(orders: Orders, resources: Resources, database: Database, instruments: Instruments) -> list[Work]:
    """What takes the traces of this machine's processes, stores them, and sends them to a collector."""
    clock, endpoint, work = SystemClock(), orders.settings.otlp_endpoint, []
    take: Callable[[Batch], None] = nobody
    if endpoint:
        from cmg.traces.exporting import Exporter  # noqa: PLC0415  15 MB that are not loaded for nothing

        exporter = Exporter(endpoint, clock, instruments)
        resources.add(Resource("trace collector", exporter.close))
        take, work = exporter.take, [exporter.run()]
    receiver = Receiver(orders.traces_socket, TraceStore(database), clock, instruments, take)
    receiver.open()
    resources.add(Resource("traces", receiver.close))
    return [receiver.run(), *work]


def _monitoring(
    orders: Orders, resources: Resources, services: Services, metrics: MergedMetrics, instruments: Instruments
) -> tuple[timeseries_routes.Prometheus, list[Work]]:
    """Who answers PromQL, on what this process scrapes and keeps or far away; that work, rules and paging."""
    settings, clock = orders.settings, SystemClock()
    services.desk.standby = LocalCopy(settings.data_dir / "alerting")
    parts = PagingParts(settings, services.desk, services.alerts, clock, instruments)
    if (far := _far_prometheus(settings, resources)) is not None:
        resources.watch(remote_probe(lambda: far.answer("query", {"query": ["1"]})))
        return far, build_paging(parts, resources, None).work()
    folder = settings.data_dir / "timeseries"
    monitor = Monitor(settings.timeseries, folder, services.database, clock, instruments)
    resources.add(Resource("time series", monitor.close))
    resources.watch(freshness_probe(monitor.newest, settings.timeseries.scrape_interval_s, SystemClock()))
    monitor.restore()
    own = OwnMetrics(f"{settings.host}:{settings.port}", metrics.collect)
    paging = build_paging(parts, resources, monitor)
    shown = monitor if paging.evaluator is None else WithRules(monitor, paging.evaluator)
    return shown, [monitor.run([own]), *paging.work()]


def _far_prometheus(settings: Settings, resources: Resources) -> RemotePrometheus | None:
    """The Prometheus of the settings, if they name one."""
    if not settings.prometheus_url:
        return None
    remote = RemotePrometheus(settings.prometheus_url)
    resources.add(Resource("prometheus", remote.close))
    return remote


async def _logbook(
    orders: Orders, resources: Resources, base: _Base, logbook: Logbook, instruments: Instruments
) -> list[Work]:
    """What carries the log lines of this machine's processes into the database, and their levels to the processes."""
    drain = LogDrain(logbook.lines, orders.log_spool, SystemClock(), instruments, logbook.patterns)
    work: list[Work] = [drain.run()]
    if orders.settings.otlp_endpoint:
        shipper = LogShipper(orders.settings.otlp_endpoint, SystemClock(), instruments)
        resources.add(Resource("log shipping", shipper.close))
        drain.stored.append(shipper.take)
        work.append(shipper.run())
    base.changes.subscribe(LOG_LEVELS, logbook.uses.levels.changed)
    base.changes.on_reset(logbook.uses.levels.load)
    with contextlib.suppress(DatabaseAway):
        await logbook.uses.levels.load()

    async def flush() -> None:
        async with asyncio.timeout(_FLUSH_S):
            await drain.drain_all()

    resources.add(Resource("log lines", flush))
    return work


def _draining(
    orders: Orders, resources: Resources, services: Services, feed: SnapshotFeed, instruments: Instruments
) -> tuple[Waiting, list[Work]]:
    """What carries this machine's journals into the database, and looks at the budgets that were spent on.

    Before it: how much waits.
    """
    clock, database = SystemClock(), services.database
    watch = BudgetWatch(database, lambda: feed.current, services.keys.suspend_for_budget, clock, instruments)
    drain = _drain(services, orders, clock, instruments, UsageSink(watch.spent, erased))

    async def flush() -> None:
        async with asyncio.timeout(_FLUSH_S):
            await drain.drain_all()

    resources.add(Resource("drain", flush))
    return drain.waiting, [drain.run(), watch.run(), services.control.keep_file()]


def _working(
    base: _Base,
    resources: Resources,
    services: Services,
    upstreams: Sequence[Upstream],
    sources: Sources,
    instruments: Instruments,
) -> list[Work]:
    """What a cluster needs once: jobs, the sync of models, vectors and facts of what was said."""
    clock, database = SystemClock(), services.database
    catalogue = CatalogueSync(upstreams, database, clock, instruments)
    jobs = _jobs(services, base.tracer, instruments)
    add_incident_jobs(jobs, services.incidents, services.settings)
    incidents = _incidents(services, instruments)
    resources.add(Resource("jobs", lambda: jobs.stop(_JOBS_S)))
    resources.watch(queue_probe(jobs))
    resources.watch(workers_probe(jobs))
    work = [jobs.run(), catalogue.run(), *incidents, *_backlog(sources, database, clock, instruments)]
    if services.settings.memory.extraction != "off":
        extraction, beside = _extraction(base, services, upstreams, instruments)
        work += beside
        jobs.register("memory.extraction_purge", lambda _: extraction.purge(), every="47 3 * * *")
    return work


def _incidents(services: Services, instruments: Instruments) -> list[Work]:
    """What makes incidents of alerts, calls people to the worst, and watches the time of all."""
    clock, database = SystemClock(), services.database
    watch = AlertWatch(database, IncidentDesk(), clock)
    calling = Calling(database, services.alerts, clock)
    return [watch.run(), calling.run(), Attendant(database, clock, instruments).run()]


def _backlog(sources: Sources, database: Database, clock: Clock, instruments: Instruments) -> list[Work]:
    """The background work that gives every passage its vectors; none without an embedder."""
    if sources.current is None:
        return []
    return [Backlog(sources.current, VectorStore(database), IndexStore(database), clock, instruments).run()]


def _jobs(services: Services, tracer: Tracer, instruments: Instruments) -> Jobs:
    """Retention: every table that grows has its purge here, or in its own upkeep."""
    database, retention, clock = services.database, services.settings.retention, tracer.clock
    jobs = Jobs(database, clock, instruments, log_days=retention.jobs_log_days, tracer=tracer)
    idempotent = IdempotentCalls(database, clock, retention.idempotency_hours)
    items = ItemUpkeep(database, clock, services.policies)
    turns = MemoryRetention(database, clock, items, services.policies, retention.operations_days)
    jobs.register("ledger.upkeep", lambda _: upkeep(database, retention, clock.now()), every="7 * * * *")
    services.logbook.register(jobs, instruments)
    jobs.register("changes.purge", lambda _: purge_changes(database, clock), every="11 * * * *")
    jobs.register("keys.purge", lambda _: services.keys.purge(), every="23 * * * *")
    alerts_days = retention.alerts_days
    jobs.register("alerting.purge", lambda _: services.alerts.purge(alerts_days), every="53 * * * *")
    jobs.register("people.purge", lambda _: services.people.purge(), every="19 * * * *")
    jobs.register("audit.purge", lambda _: services.audit.purge(), every="29 * * * *")
    traces = TraceStore(database)
    jobs.register("traces.purge", lambda _: traces.purge(services.settings.traces, clock.now()), every="*/5 * * * *")
    jobs.register("memory.purge", lambda _: turns.purge(), every="37 * * * *", timeout_s=_LONG_JOB_S)
    jobs.register("memory.effect_purge", lambda _: _purge_effect(services, clock), every="51 3 * * *")
    jobs.register("memory.age", lambda _: items.age(), every="43 3 * * *", timeout_s=_LONG_JOB_S)
    jobs.register("memory.tombstones", lambda _: services.control.purge(), every="47 * * * *")
    jobs.register(TRIAL, _nothing, attempts=1)
    jobs.register("health.purge", lambda _: _purge_health(services, clock), every="53 * * * *")
    jobs.register("idempotency.purge", lambda _: idempotent.purge(), every="*/10 * * * *")
    return jobs


async def _nothing(_payload: Any) -> None:
    """What the job does by which health sees that jobs are done."""


async def _purge_health(services: Services, clock: Clock) -> None:
    before = clock.now() - timedelta(days=services.settings.retention.health_days)
    await HealthStore(services.database).purge(before)


async def _purge_effect(services: Services, clock: Clock) -> None:
    """As long as the usage rows that stand beside it in reports."""
    before = clock.now() - timedelta(days=services.settings.retention.usage_days)
    await purge_effect(services.database, before.date())


def _extraction(
    base: _Base, services: Services, upstreams: Sequence[Upstream], instruments: Instruments
) -> tuple[ExtractionWorker, list[Work]]:
    """What draws facts from turns and keeps summaries, by patterns or the chat models of the settings, and its work."""
    settings, clock = services.settings.memory, SystemClock()
    breakers = Breakers(clock, instruments)
    router, keep = _router(upstreams, services.settings), _keeper(base.database, UsageSink(erased=erased))
    chat = InternalChat(router, base.catalogue, breakers, clock, keep)
    extractor: Extractor = RuleExtractor()
    policies, writer = services.policies, None
    if settings.extraction != "rules":
        model = _MemoryModel(chat, base.feed, settings.extraction)
        extractor = ModelExtractor(model, base.database, clock, policies)
    if settings.summary_model is not None:
        model = _MemoryModel(chat, base.feed, settings.summary_model)
        writer = ModelWriter(model, base.database, clock, policies)
    summaries = SummaryKeeper(base.database, clock, instruments, settings.summary_tokens, writer)
    items = ItemWriter(clock, policies)
    worker = ExtractionWorker(base.database, clock, instruments, extractor, items, summaries)
    return worker, [worker.run(), breakers.run()]


@dataclass(frozen=True)
class _MemoryModel:
    """A chat model of the settings, as the memory asks it: in the name of the workspace whose words it reads."""

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


def _only_workspace(request: Request) -> str | None:
    """The one workspace that a caller sees; None: all of them."""
    return actor_of(request.state.caller).only_workspace


def _control_routers(services: Services, clock: Clock) -> list[APIRouter]:
    return [
        identity_routes.router(services.keys, services.workspaces, services.audit, clock),
        *services.people.routers(),
        ledger_routes.router(services.usage, BudgetEvents(services.database)),
        trace_routes.router(services.traces, _only_workspace),
        effect_routes.router(services.effect),
        alerting_routes.router(services.alerts),
        alerting_document_routes.router(services.configuring),
        services.logbook.router(),
        incident_routes.router(services.incidents),
    ]


def routers_without_database() -> list[APIRouter]:
    """The routers on services that are not connected: enough to read the API from, not to call it."""
    clock, settings, instruments = SystemClock(), Settings(), Instruments()
    database = Database("postgresql:///", clock=clock, instruments=instruments)
    feed = SnapshotFeed(database, ChangeFeed(database, clock), clock)
    metrics = MergedMetrics(Path(), instruments, Departed(Path("departed.metrics")), clock)
    operations = metrics_router(metrics, settings.metrics_allow)
    index = SeriesIndex()
    source = SampleSource(Head(index, slots=1, most=1), index, ChunkStore(database, clock))
    prometheus = timeseries_routes.router(EmbeddedPrometheus(source, Engine(source, clock), list, clock))
    pictures = analytics_routes.router(Panels(database, None), dict, clock)
    services = _services(settings, "", database, feed, clock, instruments)
    return [*_control_routers(services, clock), operations, prometheus, pictures]
