"""A gateway process: the data plane of one worker."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from cmg.app.console.building import add_console_redirect
from cmg.app.data_plane import DataPlane, Routes
from cmg.app.drills.faulting import faults_of
from cmg.app.drills.load import KEY as DRILL_KEY
from cmg.app.forward import Forwarder
from cmg.app.health import Machine, health_api
from cmg.app.incidents.status import add_status_routes
from cmg.app.memory.control import add_memory_routes, build_control
from cmg.app.memory.embedding import questions_of, sources_of
from cmg.app.processes.metrics import MetricsSocket, own_instruments, process_figures
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources
from cmg.app.roles import by_role
from cmg.app.wiring.groundwork import (
    Built,
    base_of,
    cache_of,
    policies_of,
    probes_of,
    remote_of,
    router_of,
)
from cmg.gateway.answers.idempotency import IdempotentCalls
from cmg.gateway.answers.response_cache import ResponseCache
from cmg.gateway.breaker import Breakers
from cmg.gateway.chat import ChatHandler
from cmg.gateway.embeddings import EmbeddingsHandler
from cmg.gateway.models_api import ModelsHandler
from cmg.gateway.parts import GatewayParts
from cmg.gateway.recording import Recorder
from cmg.gateway.routing.upstreams import build_upstreams
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.simulator import SimulatorTransport
from cmg.identity.authenticator import Authenticator
from cmg.identity.speaking.rules import Speaking
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.journal import Journal
from cmg.ledger.quota.estimator import Estimator
from cmg.ledger.quota.models import Quota
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.ledger.spending import Spending
from cmg.memory.control.erasure import TOPIC as ERASURES
from cmg.memory.handlers import MemoryApi
from cmg.memory.notes.client import NoteClient
from cmg.memory.ranking.finder import Finder
from cmg.memory.service import MemoryService
from cmg.memory.workingset.handler import WorkingSetApi
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.errors import StorageError
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.sampling import sample

_NOTES_S = 5.0  # how long readiness waits for notes at most


async def build_gateway(orders: Orders, resources: Resources) -> Built:
    """The data plane of one worker."""
    settings, clock, instruments = orders.settings, SystemClock(), own_instruments()
    base = await base_of(orders, resources, clock, instruments)
    database, feed, prices, catalogue = base.database, base.feed, base.prices, base.catalogue
    journal = _journal(orders, resources, instruments, base.changes)
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
    router = router_of(upstreams, settings)
    questions = questions_of(sources_of(orders, upstreams, resources), database, clock, instruments)
    estimator = Estimator()
    finder = Finder(database, questions, clock, settings.memory.recall_deadline_ms / 1000 / 2)
    notes = NoteClient(notes_at := orders.notes_socket(orders.worker % orders.note_makers))
    resources.add(Resource("recall", notes.close, begun(notes_at, clock)))
    policies = policies_of(settings, feed)
    memory = MemoryService(finder, notes, journal, policies, clock, instruments)
    counting = (clock, instruments, base.tracer, catalogue.lists)
    recorder = Recorder(journal, memory, quota, prices, estimator, *counting)
    speaking = Speaking(clock, instruments)
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
        responses=ResponseCache(cache_of(settings, resources, clock, instruments, faults_of(orders, clock))),
        speaking=speaking,
        clock=clock,
    )
    authenticator = Authenticator(feed, clock, instruments)
    control = build_control(settings, database, policies, clock)
    access = control.access(authenticator.require, speaking, instruments)
    memory_api = MemoryApi(memory, database, access, settings.limits.body_bytes, clock, instruments)
    workingset = WorkingSetApi(memory, database, access, settings.limits.body_bytes, clock)
    health = health_api(Machine(orders, resources, clock, instruments), authenticator, database, journal)
    routes = probes_of(resources, health)
    _add_routes(routes, parts, ModelsHandler(catalogue, router), memory_api)
    _add_pages(routes, orders)
    add_memory_routes(routes, control, control.memories(memory), access)
    base.changes.subscribe(ERASURES, memory.forget)
    routes.add("POST", "/v1/workingset", workingset.handle)
    forward = by_role(orders.role, forwarder.handle, remote_of(orders, resources))
    plane = DataPlane(routes, authenticator, forward, instruments, base.tracer, settings.trusted_proxies)
    plane.practice = DRILL_KEY if settings.drills.enabled else None
    watching = sample([process_figures("gateway", resources, instruments)], clock)
    return Built(plane, [base.changes.run(), parts.breakers.run(), parts.idempotent.run(), base.outbox.run(), watching])


def begun(socket: Path, clock: Clock) -> Callable[[], Awaitable[None]]:
    """At a start readiness waits for the process that makes notes, or the first calls would go without memory.

    It listens once it is warm. Never for long, and never again: without notes calls go on.
    """
    until = clock.monotonic() + _NOTES_S

    async def there() -> None:
        if clock.monotonic() < until and not os.path.exists(socket):  # noqa: ASYNC240, PTH110  takes microseconds
            raise StorageError("the process that makes notes is starting")

    return there


def _add_pages(routes: Routes, orders: Orders) -> None:
    """What browsers ask for without a key: the status page, and the way to the console."""
    add_status_routes(routes, orders.settings, SystemClock())
    add_console_redirect(routes, orders)


def _journal(orders: Orders, resources: Resources, instruments: Instruments, changes: ChangeFeed) -> Journal:
    """Where this worker writes what its calls used and said; not ready when it is full."""
    journal = Journal(orders.spool, orders.settings.journal, instruments)
    changes.subscribe(ERASURES, journal.begin_segment)

    async def journal_open() -> None:
        if journal.full:
            raise StorageError("the journal is full: usage waits for the database, or for room on the disk")

    async def close_journal() -> None:
        journal.close()

    resources.add(Resource("journal", close_journal, journal_open))
    return journal


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
        from cmg.ledger.quota.cluster.quota import RedisQuota  # noqa: PLC0415  its library is not loaded for nothing

        return RedisQuota(orders.settings.redis_url, local, clock, instruments, seeder=seeder)
    return local
