"""The models that run on this machine, by name; one that cannot be prepared is replaced by the static vectors."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

from cmg.memory.embedding import minilm, static
from cmg.memory.embedding.embedder import Model, Vectors
from cmg.memory.embedding.minilm import MiniLm, ModelUnusable
from cmg.memory.embedding.static import StaticVectors
from cmg.telemetry.logs import get_logger

Kind = Literal["local", "static"]
NAMES = {"local": minilm.NAME, "static": static.NAME}
_log = get_logger("cmg.memory.embedding")


class Engine(Protocol):
    """A loaded model. `embed` blocks, may be called from several threads, and raises `EmbeddingFailed`."""

    name: str
    dimension: int

    def embed(self, text: str) -> Vectors:
        """The vector of one text, of length 1."""
        ...


class Engines:
    """The asked-for model, loaded now, and the other one when a question for its older vectors needs it."""

    def __init__(self, asked: Kind, folder: Path) -> None:
        """Load. Raises `ModelUnusable` when not even the static vectors can be loaded."""
        self._load: dict[str, Callable[[], Engine]] = {minilm.NAME: lambda: MiniLm(folder), static.NAME: StaticVectors}
        self._loaded: dict[str, Engine] = {}
        self._loading = threading.Lock()
        self.model = self._first(asked)

    def holds(self, name: str | None) -> bool:
        """Whether the model of that name, None: the current one, is loaded."""
        return (name or self.model.name) in self._loaded

    def engine(self, name: str | None) -> Engine:
        """The model of that name, None: the current one; loading it may take seconds. Raises `ModelUnusable`."""
        name = name or self.model.name
        with self._loading:
            if name not in self._loaded:
                if name not in self._load:
                    raise ModelUnusable(f"this machine has no model {name!r}")
                self._loaded[name] = self._load[name]()
            return self._loaded[name]

    def _first(self, asked: Kind) -> Model:
        try:
            engine = self.engine(NAMES[asked])
        except ModelUnusable as error:
            if asked == "static":
                raise
            _log.error(
                "the local embedding model cannot be used; static vectors, which find less, take its place",
                error=str(error),
            )
            engine = self.engine(static.NAME)
            return Model(engine.name, engine.dimension, str(error))
        return Model(engine.name, engine.dimension)
