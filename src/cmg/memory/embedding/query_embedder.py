"""Vectors of questions for the gateway: cached, each text asked for once at a time, never waiting too long."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from cmg.kit.clock import Clock
from cmg.memory.embedding.embedder import EmbeddingFailed, Model
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.trace import current

CACHED = 1024
CACHED_S = 60.0  # a person's words lie here no longer than this, nor does a model that was changed
RUNNING = 256
PAUSE_S = 1.0  # after a failure the embedder is left alone for so long
_DEADLINE_S = 2.0  # of a question whose caller may have gone: the answer still serves the next one


class QueryVector(NamedTuple):
    """A vector as SQL takes it: the model's number, and pgvector's text."""

    model_no: int
    text: str


class QuerySource(Protocol):
    """Where vectors of questions come from."""

    async def query(self, text: str, timeout_s: float) -> tuple[Model, str]:
        """The model and the vector as pgvector's text. Raises `EmbeddingFailed`."""
        ...


class ModelNumbers(Protocol):
    """What the database knows of models."""

    @property
    def earlier(self) -> list[Model]:
        """Models by which some users are still searched, the latest first; may hold the current one."""
        ...

    async def number(self, model: Model) -> int | None:
        """The number of a model; None while backstage has not registered it. Raises `DatabaseAway`."""
        ...


class QueryEmbedder:
    """Holds at most `CACHED` vectors and `RUNNING` questions; whatever is beyond goes without a vector."""

    def __init__(
        self,
        current: QuerySource,
        earlier: Callable[[str], QuerySource | None],
        numbers: ModelNumbers,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        """`earlier` gives the source of another model by its name, None when there is none any more."""
        self._current, self._earlier, self._numbers = current, earlier, numbers
        self._clock = clock
        self._counts = {
            outcome: instruments.series("cmg_memory_query_vectors_total", outcome)
            for outcome in ("cached", "embedded", "late", "away", "refused")
        }
        self._seconds = instruments.series("cmg_memory_query_embedding_seconds")
        self._cache: OrderedDict[bytes, tuple[float, QueryVector]] = OrderedDict()
        self._running: dict[bytes, asyncio.Task[QueryVector | None]] = {}
        self._paused_until = float("-inf")
        self._model: str | None = None

    async def vector(self, text: str, timeout_s: float) -> QueryVector | None:
        """The vector by the current model, or None when there is none in time. Never raises."""
        found = await self._vector(None, text, timeout_s)
        return found[0] if found else None

    async def vectors(self, text: str, timeout_s: float) -> list[QueryVector]:
        """As `vector`, then one by an earlier model while some users are still searched by that."""
        found = await self._vector(None, text, timeout_s)
        for model in self._numbers.earlier:
            if model.name != self._model:
                return found + await self._vector(model.name, text, timeout_s)
        return found

    async def _vector(self, model: str | None, text: str, timeout_s: float) -> list[QueryVector]:
        key = blake2b(f"{model or ''}\n{text}".encode("utf-8", "replace"), digest_size=16).digest()
        now = self._clock.monotonic()
        held = self._cache.get(key)
        if held is not None and held[0] > now:
            self._cache.move_to_end(key)
            self._counts["cached"].inc()
            return [held[1]]
        task = self._running.get(key)
        if task is None:
            if now < self._paused_until:
                self._counts["away"].inc()
                return []
            if len(self._running) >= RUNNING:
                self._counts["refused"].inc()
                return []
            task = self._running[key] = asyncio.create_task(self._ask(key, model, text))
        await asyncio.wait((task,), timeout=timeout_s)
        trace = current()
        if trace is not None:
            trace.add("embed", now, self._clock.monotonic())
        if not task.done():
            self._counts["late"].inc()
            return []
        self._seconds.observe(self._clock.monotonic() - now)
        found = None if task.cancelled() else task.result()
        self._counts["away" if found is None else "embedded"].inc()
        return [] if found is None else [found]

    async def _ask(self, key: bytes, model: str | None, text: str) -> QueryVector | None:
        """In a task of its own: what it finds is kept also when its caller has gone."""
        try:
            source = self._current if model is None else self._earlier(model)
            if source is None:
                return None
            made_by, vector = await source.query(text, _DEADLINE_S)
            number = await self._numbers.number(made_by)
            if model is None:
                self._model = made_by.name
            if number is None:
                return None
            found = QueryVector(number, vector)
            self._cache[key] = (self._clock.monotonic() + CACHED_S, found)
            if len(self._cache) > CACHED:
                self._cache.popitem(last=False)
        except Exception as error:  # noqa: BLE001  the question goes on without a vector, whatever it was
            if not (isinstance(error, EmbeddingFailed) and error.refused):
                self._paused_until = self._clock.monotonic() + PAUSE_S
            return None
        else:
            return found
        finally:
            self._running.pop(key, None)
