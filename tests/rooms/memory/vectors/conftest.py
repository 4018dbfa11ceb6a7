"""The backlog on the real database, with embedders that run inside the test."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest

from cmg.config import MemorySettings
from cmg.memory.embedding.embedder import EmbeddingFailed, Model, Vectors
from cmg.memory.embedding.static import StaticVectors
from cmg.memory.models import Message, Owner, Thread
from cmg.memory.store import MemoryStore
from cmg.memory.vectors.backlog import Backlog
from cmg.memory.vectors.index_store import IndexStore
from cmg.memory.vectors.store import VectorStore
from cmg.memory.writing import TurnWriter
from support.manual_clock import START
from support.policies import policies

EMBEDDED, UNEMBEDDED = MemorySettings(embedder="static"), MemorySettings(embedder="none")


class Static:
    """The static vectors, cut to a dimension; refuses texts with a word, or is away, when the test says so."""

    def __init__(self, dimension: int = 256, instead_of: str | None = None) -> None:
        self.model = Model(f"static-{dimension}", dimension, instead_of)
        self.engine = StaticVectors()
        self.away, self.lost_at, self.refused = False, "", ""
        self.batches: list[list[str]] = []

    async def describe(self, _timeout_s: float) -> Model:
        if self.away:
            raise EmbeddingFailed("away")
        return self.model

    async def embed(self, texts: Sequence[str], _timeout_s: float) -> Vectors:
        self.batches.append(list(texts))
        if self.away:
            raise EmbeddingFailed("away")
        if self.lost_at and any(self.lost_at in text for text in texts):
            raise EmbeddingFailed("killed", lost=True)
        if self.refused and any(self.refused in text for text in texts):
            raise EmbeddingFailed("it will not have this text", refused=True)
        rows = np.array([self.engine.embed(text)[: self.model.dimension] for text in texts], np.float32)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)

    async def close(self) -> None:
        """Nothing is held."""


class Desk:
    """Writes turns, runs the backlog, and looks at what is stored."""

    def __init__(self, database, clock, instruments) -> None:
        self.database, self.clock, self.instruments = database, clock, instruments
        self.embedder = Static()
        self.store = VectorStore(database)
        self.written = 0
        self.backlog = self.another(self.embedder)

    def another(self, embedder: Static) -> Backlog:
        """A backlog as of a restarted process."""
        return Backlog(embedder, self.store, IndexStore(self.database), self.clock, self.instruments)

    async def write(
        self,
        *contents: str,
        user: str = "ana",
        thread: str = "t",
        name: str | None = "Ana",
        role: str = "user",
        embedded: bool = True,
    ) -> None:
        where = Thread(Owner("default", user), thread)
        messages = []
        for content in contents:
            self.written += 1
            at = datetime.fromtimestamp(START + self.written, UTC)
            messages.append(
                Message(
                    thread=where, message_id=str(self.written), role=role, name=name, content=content, created_at=at
                )
            )
        writer = TurnWriter(MemoryStore(), self.clock, policies(EMBEDDED if embedded else UNEMBEDDED))
        async with self.database.transaction() as conn:
            await writer.write(conn, messages)

    async def work(self, backlog: Backlog | None = None, steps: int = 200) -> None:
        """Step until there is nothing to do."""
        for _ in range(steps):
            if not await (backlog or self.backlog).step():
                return
        raise AssertionError("the backlog does not come to an end")

    async def rows(self, sql: str) -> list[tuple]:
        return [tuple(row) for row in await self.database.fetch(sql)]

    async def vectors(self, model: str = "static-256") -> dict[str, tuple[list[float], list[float] | None]]:
        """Content → its turn's and its window's vector by a model."""
        found = await self.database.fetch(
            'SELECT t.content, v.turn::text AS turn, v."window"::text AS around FROM memory_vectors v '
            "JOIN memory_turns t USING (user_no, seq) JOIN memory_models m USING (model_no) WHERE m.name = $1",
            model,
        )
        return {
            row["content"]: (_read(row["turn"]), None if row["around"] is None else _read(row["around"]))
            for row in found
        }

    async def waiting(self) -> int:
        return await self.database.fetchval("SELECT count(*) FROM memory_unembedded")


def _read(text: str) -> list[float]:
    return [float(value) for value in text.strip("[]").split(",")]


@pytest.fixture
async def desk(database, clock, instruments) -> Desk:
    return Desk(database, clock, instruments)
