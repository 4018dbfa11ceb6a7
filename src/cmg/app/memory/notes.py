"""A process that makes notes for the gateways of a machine."""

import contextlib

from cmg.app.memory.embedding import questions_of, sources_of
from cmg.app.memory.onlooking import Onlooker
from cmg.app.processes.metrics import MetricsSocket, own_instruments, process_figures
from cmg.app.processes.orders import POOL, Orders
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.gateway.routing.upstreams import build_upstreams
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.simulator import SimulatorTransport
from cmg.kit.clock import SystemClock
from cmg.memory.condensing.condenser import Condenser
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.notes.server import NoteServer
from cmg.memory.ranking.finder import Finder
from cmg.memory.recent import RecentWriters
from cmg.memory.text.note import frame_tokens
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.machine.sampling import sample

_WARM_S = 5.0


async def build_notes(orders: Orders, resources: Resources) -> list[Work]:
    """A process that makes notes for the gateways of this machine; returns its work."""
    settings, clock, instruments = orders.settings, SystemClock(), own_instruments()
    database = Database(orders.dsn, clock=clock, instruments=instruments, max_size=POOL)
    await database.open()
    resources.add(Resource("database", database.close))
    socket = MetricsSocket(orders.runtime / f"notes-{orders.worker}.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    network = HttpTransport()
    resources.add(Resource("upstream connections", network.close))
    upstreams = build_upstreams(settings, network, SimulatorTransport(clock))
    questions = questions_of(sources_of(orders, upstreams, resources), database, clock, instruments)
    finder = Finder(database, questions, clock, settings.memory.recall_deadline_ms / 1000 / 2)
    frame_tokens()  # loads the vocabulary now: the first call must not wait for it
    with contextlib.suppress(DatabaseAway):
        await finder.warm_up(POOL, _WARM_S)
    condenser = Condenser(database, settings.memory.summary_tokens)
    maker = NoteMaker(finder, RecentWriters(Onlooker(orders.spool).folder), condenser, clock)
    server = NoteServer(orders.notes_socket(orders.worker), maker, instruments)
    await server.open()
    resources.add(Resource("notes", server.close))
    return [sample([process_figures("notes", resources, instruments)], clock)]
