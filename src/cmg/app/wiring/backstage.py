"""The backstage process: the background work of a machine, and the control plane."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from cmg.analytics import routes as analytics_routes
from cmg.analytics.panels import Panels
from cmg.app import control_plane
from cmg.app.console import health_routes
from cmg.app.console.building import add_console_redirect, console_of
from cmg.app.control_plane import Doors
from cmg.app.data_plane import DataPlane, Routes
from cmg.app.drills.faulting import die_when_told, faults_of
from cmg.app.forward import Within
from cmg.app.health import Machine, health_api, machine_name, watch_processes, watch_stores, watch_upstreams
from cmg.app.incidents.components import SeenComponents
from cmg.app.incidents.past import PastComponents
from cmg.app.incidents.status import add_status_routes, build_board
from cmg.app.last_known import Keeper
from cmg.app.logbook.building import Logbook
from cmg.app.memory.embedding import Sources, questions_of, sources_of
from cmg.app.memory.onlooking import Onlooker
from cmg.app.metrics_api import RuledFigures, metrics_router
from cmg.app.processes.metrics import MergedMetrics, own_instruments, process_figures
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.app.roles import by_role
from cmg.app.upstreams import routes as upstream_routes
from cmg.app.upstreams.offering import Offering
from cmg.app.wiring.control import control_routers, only_workspace
from cmg.app.wiring.groundwork import (
    Base,
    Built,
    base_of,
    cache_of,
    probes_of,
    remote_of,
    router_of,
    upstreams_of,
)
from cmg.app.wiring.monitoring import far_prometheus, monitoring_of
from cmg.app.wiring.services import Services, services_of
from cmg.app.wiring.starting import drain_of
from cmg.app.wiring.working import working_of
from cmg.config import routes as settings_routes
from cmg.gateway.routing.upstreams import Upstream
from cmg.health.probes.processes import Waiting
from cmg.health.store import HealthStore
from cmg.identity.authenticator import Authenticator
from cmg.identity.snapshot import SnapshotFeed
from cmg.identity.speaking.rules import Speaking
from cmg.incidents.status.board import Board as StatusBoard
from cmg.kit.asgi import Application, Handler
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger.budget_events import BudgetWatch
from cmg.ledger.usage_sink import UsageSink
from cmg.logbook.hot.drain import LogDrain
from cmg.logbook.levels.setting import TOPIC as LOG_LEVELS
from cmg.memory.condensing.condenser import Condenser
from cmg.memory.control.tombstone_store import erased
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.ranking.finder import Finder
from cmg.memory.recent import RecentWriters
from cmg.memory.service import MemoryService
from cmg.memory.tools.calls import Tools
from cmg.memory.tools.opening import PATH, LateEndpoint
from cmg.storage.cache import Cache
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.storage.figures import DatabaseFigures
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.host import HostFigures
from cmg.telemetry.machine.sampling import sample
from cmg.telemetry.merging import Departed
from cmg.telemetry.tracing.tracer import Tracer
from cmg.timeseries.api import routes as timeseries_routes
from cmg.traces.receiving import Receiver
from cmg.traces.store import TraceStore

_FLUSH_S = 3.0


async def build_backstage(orders: Orders, resources: Resources) -> Built:
    """The background work of one machine, and the control plane where its role has it."""
    settings, clock, instruments = orders.settings, SystemClock(), own_instruments()
    base = await base_of(orders, resources, clock, instruments, faults_of(orders, clock))
    services = services_of(settings, orders.dsn, base.database, base.feed, clock, instruments)
    metrics = MergedMetrics(orders.runtime, instruments, Departed(settings.data_dir / "departed.metrics"), clock)
    machine = Machine(orders, resources, clock, instruments)
    cache = cache_of(settings, resources, clock, instruments, base.faults)
    watch_stores(machine, base.database, cache)
    upstreams = upstreams_of(settings, resources, clock)
    sources = sources_of(orders, upstreams, resources)
    board = _board(base, machine)
    keeper = Keeper(base.known, base.feed, base.catalogue, clock)
    logging = await _logbook(orders, resources, base, services.logbook, instruments)
    work = [base.changes.run(), metrics.poll(), keeper.run(), *logging]
    tracing = [base.outbox.run(), *_traces(orders, resources, base.database, instruments)]
    work += [board.run(), *tracing, *_figures(orders, resources, base, cache, instruments)]
    authenticator = Authenticator(base.feed, clock, instruments)
    routers = [metrics_router(metrics, settings.metrics_allow, RuledFigures(services.database, services.figures))]
    mounts: Mapping[str, Application] = {}
    prometheus: timeseries_routes.Prometheus | None = None
    if orders.duties.monitor:
        prometheus, watching = monitoring_of(orders, resources, services, metrics, instruments)
        routers.append(timeseries_routes.router(prometheus, only_workspace, clock))
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
            work += working_of(base, resources, services, upstreams, sources, instruments)
        if orders.duties.control_plane:
            routers += control_routers(services, clock)
            services.incidents.samples.source = prometheus or far_prometheus(settings, resources)
            routers += _set_up(orders, base, upstreams)
            routers.append(_pictures(base, services.incidents.samples.source, clock))
            memory = _reading_memory(orders, sources, services, instruments)
            routers.append(health_routes.router(machine.reader().standing))
            mounts, answering = _tools(services, memory, authenticator, instruments)
            work.append(answering)
    work.append(machine.prober(base.database).run())
    application: Any = control_plane.build(
        routers, _doors(orders, resources, services, authenticator), mounts, base.tracer
    )
    console = console_of(orders, application, clock)
    if not orders.duties.gateways:
        routes = probes_of(resources, health_api(machine, authenticator, base.database))
        forward = by_role(
            orders.role, Within(application, settings.limits.body_bytes).handle, remote_of(orders, resources)
        )
        application = _in_front(orders, routes, forward, authenticator, base.tracer, instruments)
    return Built(application, work, console)


def _in_front(
    orders: Orders,
    routes: Routes,
    forward: Handler,
    authenticator: Authenticator,
    tracer: Tracer,
    instruments: Instruments,
) -> DataPlane:
    """What answers clients on a machine without gateways."""
    add_status_routes(routes, orders.settings, SystemClock())
    add_console_redirect(routes, orders)
    return DataPlane(routes, authenticator, forward, instruments, tracer, orders.settings.trusted_proxies)


def _board(base: Base, machine: Machine) -> StatusBoard:
    """What renews the status page, from what is seen on this machine and the history of health."""
    orders = machine.orders
    past = PastComponents(HealthStore(base.database), orders.health_history, machine_name(orders.settings))
    components = SeenComponents(machine.reader().standing, past.spans)
    return build_board(orders.settings, base.database, components, machine.clock, machine.instruments)


def _pictures(base: Base, prometheus: timeseries_routes.Prometheus | None, clock: Clock) -> APIRouter:
    """What draws the dashboards' panels."""
    panels = Panels(base.database, prometheus)
    return analytics_routes.router(panels, lambda: base.feed.current.workspaces, clock)


def _set_up(orders: Orders, base: Base, upstreams: Sequence[Upstream]) -> list[APIRouter]:
    """What tells the settings, and the upstreams, models and prices that follow from them."""
    router = router_of(upstreams, orders.settings)
    offering = Offering(orders.settings, upstreams, router, base.catalogue, base.prices)
    return [settings_routes.router(orders.settings, orders.origins), upstream_routes.router(offering)]


def _reading_memory(orders: Orders, sources: Sources, services: Services, instruments: Instruments) -> MemoryService:
    """The memory of a process that reads it and journals nothing."""
    settings, clock, database = services.settings.memory, SystemClock(), services.database
    questions = questions_of(sources, database, clock, instruments)
    finder = Finder(database, questions, clock, settings.recall_deadline_ms / 1000 / 2)
    reader = Onlooker(orders.spool)
    condenser = Condenser(database, settings.summary_tokens)
    maker = NoteMaker(finder, RecentWriters(reader.folder), condenser, clock)
    return MemoryService(finder, maker, reader, services.policies, clock, instruments)


def _figures(orders: Orders, resources: Resources, base: Base, cache: Cache, instruments: Instruments) -> list[Work]:
    """What looks at this process, its machine and the servers that it uses."""
    settings, clock = orders.settings, SystemClock()
    volumes = {"data": settings.data_dir, "root": Path("/")}
    host = HostFigures(instruments, volumes, link_mbit=settings.machine.link_mbit, faults=base.faults)
    work = [sample([process_figures("backstage", resources, instruments), host], clock)]
    if settings.redis_url:
        work.append(cache.watch())
    if orders.duties.jobs or orders.duties.monitor:
        work.append(DatabaseFigures(base.database, clock, instruments).run())
    if base.faults is not None:
        work.append(die_when_told(base.faults, clock))
    return work


def _doors(orders: Orders, resources: Resources, services: Services, authenticator: Authenticator) -> Doors:
    """Who lets callers in: keys everywhere, people where the control plane is."""
    resources.add(Resource("people", services.people.close))
    people = services.people.door if orders.duties.control_plane else None
    return Doors(authenticator, people, services.people.events)


def _tools(
    services: Services, memory: MemoryService, authenticator: Authenticator, instruments: Instruments
) -> tuple[Mapping[str, Application], Work]:
    """MCP's endpoint at its path, and what runs beside it."""
    speaking = Speaking(services.control.clock, instruments)
    access = services.control.access(authenticator.require, speaking, instruments)
    tools = Tools(services.control.memories(memory), access)
    endpoint = LateEndpoint(tools, services.settings.limits.body_bytes)
    return {PATH: endpoint}, endpoint.run()


def _traces(orders: Orders, resources: Resources, database: Database, instruments: Instruments) -> list[Work]:
    """What takes the traces of this machine's processes, stores them, and sends them to a collector."""
    clock, endpoint, work = SystemClock(), orders.settings.otlp_endpoint, []
    # A database elsewhere has a disk of its own, which is watched there.
    disk = None if orders.settings.database_url else DiskGuard(orders.settings.data_dir, clock)
    receiver = Receiver(orders.traces_socket, TraceStore(database), clock, instruments, disk)
    if endpoint:
        from cmg.traces.exporting import Exporter  # noqa: PLC0415  15 MB that are not loaded for nothing

        exporter = Exporter(endpoint, clock, instruments)
        resources.add(Resource("trace collector", exporter.close))
        receiver.also, work = exporter.take, [exporter.run()]
    receiver.open()
    resources.add(Resource("traces", receiver.close))
    return [receiver.run(), *work]


async def _logbook(
    orders: Orders, resources: Resources, base: Base, logbook: Logbook, instruments: Instruments
) -> list[Work]:
    """What carries the log lines of this machine's processes into the database, and their levels to the processes."""
    drain = LogDrain(logbook.lines, orders.log_spool, SystemClock(), instruments, logbook.patterns)
    work: list[Work] = [drain.run()]
    if orders.settings.otlp_endpoint:
        from cmg.logbook.shipping import LogShipper  # noqa: PLC0415  as for traces

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
    drain = drain_of(services, orders, clock, instruments, UsageSink(watch.spent, erased))

    async def flush() -> None:
        async with asyncio.timeout(_FLUSH_S):
            await drain.drain_all()

    resources.add(Resource("drain", flush))
    return drain.waiting, [drain.run(), watch.run(), services.control.keep_file(), services.control.finish_erasures()]
