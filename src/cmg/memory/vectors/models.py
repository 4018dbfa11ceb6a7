"""Which models there are, by number: what a gateway knows of those that backstage has registered."""

from cmg.kit.clock import Clock
from cmg.memory.embedding.embedder import Model
from cmg.memory.vectors.store import VectorStore

_FRESH_S = 10.0


class KnownModels:
    """A copy of the models in use, at most ten seconds old when somebody asks for a number."""

    def __init__(self, store: VectorStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._models: dict[Model, int] = {}
        self._loaded_at = float("-inf")

    @property
    def earlier(self) -> list[Model]:
        """Every model in use, the latest first."""
        return list(self._models)

    async def number(self, model: Model) -> int | None:
        """The number of a model, None while it is not registered. Raises `DatabaseAway`."""
        known = Model(model.name, model.dimension)
        if known not in self._models or self._clock.monotonic() - self._loaded_at > _FRESH_S:
            self._models = await self._store.models()
            self._loaded_at = self._clock.monotonic()
        return self._models.get(known)
