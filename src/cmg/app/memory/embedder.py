"""The embedder: the process that runs the models of a machine."""

from cmg.app.processes.metrics import MetricsSocket, own_instruments, process_figures
from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources, Work
from cmg.kit.clock import SystemClock
from cmg.memory.embedding.engines import Engines, Kind
from cmg.memory.embedding.server import EmbedderServer
from cmg.telemetry.machine.sampling import sample


async def build_embedder(orders: Orders, resources: Resources) -> list[Work]:
    """The process that runs the models of this machine; returns its work."""
    instruments = own_instruments()
    socket = MetricsSocket(orders.runtime / "embedder-0.metrics", instruments)
    await socket.open()
    resources.add(Resource("metrics", socket.close))
    asked: Kind = "static" if orders.settings.memory.embedder == "static" else "local"
    server = EmbedderServer(orders.embedder_socket, Engines(asked, orders.models), instruments)
    await server.open()
    resources.add(Resource("embedder", server.close))
    return [server.run(), sample([process_figures("embedder", resources, instruments)], SystemClock())]
