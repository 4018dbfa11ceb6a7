"""What several processes are built from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmg.app.data_plane import Routes
from cmg.app.forward import Forwarder
from cmg.app.last_known import LastKnownFile, take_last_known
from cmg.app.processes.orders import POOL, Orders
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.config import Settings
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import Upstream, build_upstreams
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.health.handlers import HealthApi
from cmg.identity.snapshot import SnapshotFeed
from cmg.kit.asgi import Handler
from cmg.kit.clock import Clock, SystemClock
from cmg.ledger import tokens
from cmg.ledger.prices import PriceBook
from cmg.memory.policies import Policies
from cmg.storage.cache import Cache
from cmg.storage.changes import ChangeFeed
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.faults import Faults
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.outbox import Outbox
from cmg.telemetry.tracing.tracer import Tracer


@dataclass(frozen=True)
class Built:
    """A process, ready to serve: its ASGI application, the work that runs beside it, and perhaps the console's."""

    application: Any
    background: list[Work]
    console: Any = None


def policies_of(settings: Settings, feed: SnapshotFeed) -> Policies:
    """The memory policies of workspaces."""
    return Policies(settings.memory, lambda: feed.current.workspaces)


@dataclass(frozen=True)
class Base:
    """What every process has: the database, what changes in it, and the snapshot of keys, models and prices."""

    database: Database
    changes: ChangeFeed
    feed: SnapshotFeed
    prices: PriceBook
    catalogue: Catalogue
    known: LastKnownFile
    outbox: Outbox
    tracer: Tracer
    faults: Faults | None = None


async def base_of(
    orders: Orders, resources: Resources, clock: Clock, instruments: Instruments, faults: Faults | None = None
) -> Base:
    """Open what every process has, and learn the present. Raises `DatabaseAway` where no last known helps."""
    settings = orders.settings
    database = Database(orders.dsn, clock=clock, instruments=instruments, max_size=POOL, faults=faults)

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
    known = LastKnownFile(orders.last_known)
    base = Base(database, changes, feed, prices, catalogue, known, outbox, tracer, faults)
    await _learn(base)
    tokens.warm_up()
    return base


async def _learn(base: Base) -> None:
    """The present from the database; while that is away, the last known, until the change feed reaches it."""
    try:
        await base.changes.mark()
        await base.feed.load()
        await base.catalogue.load()
    except DatabaseAway:
        if not take_last_known(base.known, base.feed, base.catalogue):
            raise
        base.changes.lose_place()


def cache_of(
    settings: Settings, resources: Resources, clock: Clock, instruments: Instruments, faults: Faults | None
) -> Cache:
    """The cache of this process."""
    cache = Cache(settings.redis_url, clock=clock, instruments=instruments, faults=faults)
    resources.add(Resource("cache", cache.close))
    return cache


def remote_of(orders: Orders, resources: Resources) -> Handler | None:
    """The control plane of another machine, if the settings name one and this machine has none."""
    settings = orders.settings
    if orders.duties.control_plane or not settings.backstage_url:
        return None
    remote = Forwarder(settings.backstage_url, settings.limits.body_bytes, SystemClock())
    resources.add(Resource("other machine", remote.close))
    return remote.handle


def upstreams_of(settings: Settings, resources: Resources, clock: Clock) -> list[Upstream]:
    """The upstreams of the settings, on connections of their own."""
    network = HttpTransport()
    resources.add(Resource("upstream connections", network.close))
    return build_upstreams(settings, network, SimulatorTransport(clock))


def router_of(upstreams: Sequence[Upstream], settings: Settings) -> Router:
    """Who serves which model."""
    return Router(upstreams, settings.routes, [entry["id"].removeprefix("sim/") for entry in SIMULATOR_MODELS])


def probes_of(resources: Resources, health: HealthApi) -> Routes:
    """The routes that say how the process is."""
    routes = Routes()
    routes.add_open("GET", "/livez", resources.livez)
    routes.add_open("GET", "/readyz", resources.readyz)
    for path, handler in health.routes().items():
        routes.add_open("GET", path, handler)
    return routes
