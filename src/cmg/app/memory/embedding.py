"""Which embedder serves which model: the machine's own process, or an upstream."""

from collections.abc import Mapping, Sequence

from cmg.app.processes.orders import Orders
from cmg.app.processes.resources import Resource, Resources
from cmg.gateway.routing.upstreams import Upstream
from cmg.gateway.upstreams.transport import Timeouts, TransportError
from cmg.kit.clock import Clock
from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.engines import NAMES
from cmg.memory.embedding.query_embedder import QueryEmbedder
from cmg.memory.embedding.socket_client import SocketEmbedder
from cmg.memory.embedding.upstream import Post, UpstreamEmbedder
from cmg.memory.vectors.models import KnownModels
from cmg.memory.vectors.store import VectorStore
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments

GRACE_S = 20.0  # after the start an embedder may still be getting ready
_ANSWER_BYTES = 64 * 2**20
_ASKED_S = 0.5

Source = SocketEmbedder | UpstreamEmbedder


class Sources:
    """The embedders of one process, each made when it is first asked for."""

    def __init__(self, orders: Orders, upstreams: Mapping[str, Upstream]) -> None:
        self._orders, self._upstreams = orders, upstreams
        self._made: dict[str, Source | None] = {}

    @property
    def current(self) -> Source | None:
        """The embedder of the settings; None when there is to be none."""
        asked = self._orders.settings.memory.embedder
        return None if asked == "none" else self.named(asked)

    def named(self, model: str) -> Source | None:
        """The embedder of a setting, or of the name that vectors carry; None when it is gone."""
        if model not in self._made:
            self._made[model] = self._make(model)
        return self._made[model]

    async def close(self) -> None:
        """Close every connection."""
        for source in self._made.values():
            if source is not None:
                await source.close()

    def _make(self, model: str) -> Source | None:
        if model in NAMES:  # whichever model the process could load
            return SocketEmbedder(self._orders.embedder_socket)
        if model in NAMES.values():
            return SocketEmbedder(self._orders.embedder_socket, model)
        name, _, asked = model.partition("/")
        upstream = self._upstreams.get(name)
        return None if upstream is None else UpstreamEmbedder(name, asked, _post(upstream))


def sources_of(orders: Orders, upstreams: Sequence[Upstream], resources: Resources) -> Sources:
    """The embedders of this process."""
    sources = Sources(orders, {upstream.name: upstream for upstream in upstreams})
    if sources.current is not None:
        resources.add(Resource("embedder", sources.close))
    return sources


def questions_of(sources: Sources, database: Database, clock: Clock, instruments: Instruments) -> QueryEmbedder | None:
    """What gives the questions of recalls their vectors; None without an embedder."""
    if sources.current is None:
        return None
    known = KnownModels(VectorStore(database), clock)
    return QueryEmbedder(sources.current, sources.named, known, clock, instruments)


class Probe:
    """Whether the embedder answers, and with the model that was asked for: the health of one process."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._since = clock.monotonic()

    async def ask(self) -> None:
        """Raises `EmbeddingFailed` with what is wrong."""
        try:
            model = await self._source.describe(_ASKED_S)
        except EmbeddingFailed:
            if self._clock.monotonic() - self._since < GRACE_S:
                return
            raise
        if model.instead_of is not None:
            raise EmbeddingFailed(f"{model.name} stands in for the configured model: {model.instead_of}")


def _post(upstream: Upstream) -> Post:
    async def post(body: bytes, timeout_s: float) -> tuple[int, bytes]:
        if upstream.missing is not None:
            raise ConnectionError(f"the upstream {upstream.name} is not configured: set {upstream.missing}")
        limits = Timeouts(upstream.timeouts.connect_s, timeout_s, timeout_s, timeout_s)
        url = f"{upstream.base_url}/embeddings"
        try:
            answer = await upstream.transport.request("POST", url, upstream.headers, body, limits)
            return answer.status, await answer.read(_ANSWER_BYTES)
        except TransportError as error:
            raise ConnectionError(f"{upstream.name}: {error.kind}: {error}") from error

    return post
