"""Vectors of questions for the gateway: cached, each text asked for once at a time, never waiting too long."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Literal, NamedTuple, Protocol, TypeAlias

from cmg.kit.clock import Clock
from cmg.memory.embedding.embedder import EmbeddingFailed, Model, readable
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


Asking: TypeAlias = asyncio.Task[QueryVector | None]


class QuerySource(Protocol):
    """Where vectors of questions come from.

    `own`: a model of this machine. Nobody is paid for a vector, and it was taught English: of a question in other
    letters than Latin its vector is noise, which outweighs the words.
    """

    own: bool

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
            for outcome in ("cached", "embedded", "late", "away", "refused", "unreadable")
        }
        self._seconds = instruments.series("cmg_memory_query_embedding_seconds")
        self._cache: OrderedDict[bytes, tuple[float, QueryVector]] = OrderedDict()
        self._running: dict[bytes, Asking] = {}
        self._paused_until = float("-inf")
        self._model: str | None = None

    def begin(self, text: str) -> None:
        """Have the vector made that will probably be asked for in a moment, where that costs no money. Never raises."""
        key, now = _key(None, text), self._clock.monotonic()
        if self._current.own and readable(text) and key not in self._running and self._held(key, now) is None:
            self._started(key, None, text, now)

    async def vector(self, text: str, timeout_s: float) -> QueryVector | None:
        """The vector by the current model, or None when there is none in time. Never raises."""
        if not self._reads(text):
            return None
        found = await self._vector(None, text, timeout_s)
        return found[0] if found else None

    async def vectors(self, text: str, timeout_s: float) -> list[QueryVector]:
        """As `vector`, then one by an earlier model while some users are still searched by that."""
        if not self._reads(text):
            return []
        found = await self._vector(None, text, timeout_s)
        for model in self._numbers.earlier:
            if model.name != self._model:
                return found + await self._vector(model.name, text, timeout_s)
        return found

    async def _vector(self, model: str | None, text: str, timeout_s: float) -> list[QueryVector]:
        key, now = _key(model, text), self._clock.monotonic()
        held = self._held(key, now)
        if held is not None:
            self._counts["cached"].inc()
            return [held]
        task = self._running.get(key) or self._started(key, model, text, now)
        if isinstance(task, str):
            self._counts[task].inc()
            return []
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

    def _reads(self, text: str) -> bool:
        if self._current.own and not readable(text):
            self._counts["unreadable"].inc()
            return False
        return True

    def _held(self, key: bytes, now: float) -> QueryVector | None:
        held = self._cache.get(key)
        if held is None or held[0] <= now:
            return None
        self._cache.move_to_end(key)
        return held[1]

    def _started(self, key: bytes, model: str | None, text: str, now: float) -> Asking | Literal["away", "refused"]:
        """The task that asks for a vector, or why there is none."""
        if now < self._paused_until:
            return "away"
        if len(self._running) >= RUNNING:
            return "refused"
        task = self._running[key] = asyncio.create_task(self._ask(key, model, text))
        return task

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


def _key(model: str | None, text: str) -> bytes:
    return blake2b(f"{model or ''}\n{text}".encode("utf-8", "replace"), digest_size=16).digest()
