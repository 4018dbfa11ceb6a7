"""What of this machine is looked at, and who tells it: the health room put together with the other rooms."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import aiohttp

from cmg.app.memory.embedding import Probe as EmbedderProbe
from cmg.app.memory.embedding import Sources
from cmg.app.processes.metrics import MergedMetrics
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources
from cmg.config import Settings
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.upstreams import SIMULATOR, Upstream, configured
from cmg.health.board import Board
from cmg.health.handlers import HealthApi, Pages
from cmg.health.history import History
from cmg.health.models import Component, Level, Reading, State, worst
from cmg.health.prober import Pace, Prober
from cmg.health.probes import cache as cache_probes
from cmg.health.probes import database as database_probes
from cmg.health.probes import disk, upstream
from cmg.health.probes.canary import canary
from cmg.health.probes.jobs import workers_probe
from cmg.health.probes.processes import Waiting, gateway_probe, memory_probe, own_probe
from cmg.health.reading import Local, Reader
from cmg.health.store import HealthStore
from cmg.identity.authenticator import Authenticator
from cmg.kit.clock import Clock
from cmg.ledger.journal import Journal
from cmg.storage.cache import Cache
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments

_OLD_S = 3600.0  # models are synced every quarter of an hour
_OPEN_BREAKERS = "cmg_upstream_breaker_open"


@dataclass(frozen=True)
class Machine:
    """What the prober of a machine is built from."""

    orders: Orders
    resources: Resources
    clock: Clock
    instruments: Instruments

    @property
    def settings(self) -> Settings:
        """Of the machine."""
        return self.orders.settings

    def reader(self, local: Local = tuple) -> Reader:
        """What the prober found last; `local` adds what a process knows of itself."""
        return Reader(Board(self.orders.health_report), _pace(self.settings), self.clock, local)

    def prober(self, database: Database) -> Prober:
        """Looks at everything that was given to `resources.watch`, and at the probes themselves."""
        settings, probes = self.settings, self.resources.probes
        history = History(
            self.orders.health_history, machine_name(settings), HealthStore(database), self.clock, self.instruments
        )
        board = Board(self.orders.health_report)
        every = [own_probe(self.clock), *probes, canary(probes, self.instruments)]
        if not self.orders.duties.jobs:
            every.append(workers_probe(None))
        return Prober(every, _pace(settings), board, history, self.clock, self.instruments)


def machine_name(settings: Settings) -> str:
    """How the history tells machines apart."""
    return f"{socket.gethostname()}:{settings.port}"


def health_api(
    machine: Machine, authenticator: Authenticator, database: Database, journal: Journal | None = None
) -> HealthApi:
    """Answers `/health` in any process; a gateway tells of its own journal, without waiting for the prober."""
    resources, clock = machine.resources, machine.clock
    me = f"gateway-{machine.orders.worker}"

    def local() -> Sequence[State]:
        found = [] if journal is None or not journal.full else [_fault("journal", "the journal is full", me)]
        if resources.stopping:
            found.append(_fault("stopping", "the process is stopping", me))
        if not found:
            return ()
        return (
            State(
                component=Component(name="gateway", worst=Level.CRITICAL),
                level=worst(found),
                readings=tuple(found),
                at=clock.time(),
                probed_s=clock.monotonic(),
                took_s=0.0,
                since=clock.time(),
            ),
        )

    pages = Pages(machine.orders.health_history, HealthStore(database))
    return HealthApi(machine.reader(local), pages, authenticator.authenticate)


def watch_stores(machine: Machine, database: Database, cache: Cache) -> None:
    """The database, the cache with its Redis, and the disk."""
    settings, watch, clock = machine.settings, machine.resources.watch, machine.clock
    nowhere = _Nowhere()
    unreachable = Database(nowhere.dsn, clock=clock, instruments=Instruments(), max_size=1)
    lost = Cache(nowhere.redis, clock=clock)

    async def close() -> None:
        nowhere.close()
        await unreachable.close()
        await lost.close()

    machine.resources.add(Resource("decoys", close))
    duties = machine.orders.duties
    watch(
        database_probes.probe(
            HealthStore(database),
            HealthStore(unreachable),
            machine_name(settings),
            clock,
            needed=duties.control_plane and not duties.gateways,
        )
    )
    watch(cache_probes.probe(cache, lost, clock, shared=settings.redis_url is not None))
    if settings.redis_url is not None:
        watch(cache_probes.redis_probe(settings.redis_url, nowhere.redis))
    watch(disk.probe(settings.data_dir, settings.journal.max_bytes, machine.orders.runtime))


def watch_upstreams(
    machine: Machine, upstreams: Sequence[Upstream], catalogue: Catalogue, metrics: MergedMetrics
) -> None:
    """Every upstream that is configured and not built in."""
    nowhere = _Nowhere()
    session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), connector=aiohttp.TCPConnector(limit=32))

    async def close() -> None:
        nowhere.close()
        await session.close()

    machine.resources.add(Resource("upstream probes", close))
    known = _known(catalogue, metrics)
    for one in configured(upstreams):
        if one.name == SIMULATOR:
            continue
        headers = {name: value for name, value in one.headers.items() if name != "content-type"}
        # OpenRouter lists its models to everybody, half a megabyte of them; about a key it answers in a few bytes.
        address = upstream.Address(one.name, f"{one.base_url}/{'key' if one.openrouter else 'models'}", headers)
        machine.resources.watch(upstream.probe(address, nowhere.url, session, known, machine.clock))


def watch_processes(machine: Machine, metrics: MergedMetrics, sources: Sources | None, waiting: Waiting) -> None:
    """The processes of this machine."""
    orders, clock, watch = machine.orders, machine.clock, machine.resources.watch
    if orders.duties.gateways:
        expected = [f"gateway-{number}" for number in range(machine.settings.workers)]
        watch(gateway_probe(lambda: metrics.workers, expected, waiting, machine.settings.journal.max_bytes, clock))
    embedder = None if sources is None or sources.current is None else EmbedderProbe(sources.current, clock).ask
    makers = [f"notes-{number}" for number in range(orders.note_makers)]
    if makers or embedder is not None:
        watch(memory_probe(lambda: metrics.workers, makers, embedder, clock))


def _known(catalogue: Catalogue, metrics: MergedMetrics) -> Callable[[str], upstream.Known]:
    def known(name: str) -> upstream.Known:
        broken = sum(
            int(sample.value)
            for family in metrics.last
            if family.name == _OPEN_BREAKERS
            for sample in family.samples
            if dict(sample.labels)["upstream"] == name
        )
        age_s = catalogue.age_s(name)
        faults = {one.upstream: one.error for one in catalogue.syncs()}
        # One that never listed models may be one that lists none: only what was known and grows old is a warning.
        return upstream.Known(broken, age_s, age_s is not None and age_s > _OLD_S, faults.get(name) or "")

    return known


def _pace(settings: Settings) -> Pace:
    return Pace(settings.health.interval_s, settings.health.deadline_s)


def _fault(measurement: str, output: str, part: str) -> Reading:
    return Reading(measurement=measurement, level=Level.UNHEALTHY, value=True, output=output, part=part)


class _Nowhere:
    """A port of loopback that is taken and does not listen: whoever connects is refused."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        port = self._socket.getsockname()[1]
        self.dsn = f"postgresql://nobody@127.0.0.1:{port}/nowhere"
        self.redis = f"redis://127.0.0.1:{port}/0"
        self.url = f"http://127.0.0.1:{port}/models"

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()
