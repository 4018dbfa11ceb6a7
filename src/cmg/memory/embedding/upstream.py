"""Embeddings of any API in OpenAI's form, `POST /v1/embeddings`: in batches, repeated while the deadline allows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from cmg.memory.embedding.embedder import EmbeddingFailed, Model, Vectors, as_text, bounded, normalised

BATCH = 64
DIMENSION_MAX = 16_000  # what pgvector's half-precision vectors hold
_REPEATED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 524, 529})
_TEXTS_FAULT = frozenset({400, 413, 422})
_BACKOFF_S = (0.2, 5.0)
_PROBE = "dimension"

Post = Callable[[bytes, float], Awaitable[tuple[int, bytes]]]
"""Sends a body to the API's `/embeddings` within so many seconds: (status, answer). Raises `OSError`."""


class _Row(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Row]


_decode = msgspec.json.Decoder(_Answer).decode


class UpstreamEmbedder:
    """An `Embedder` on one model of an upstream; the dimension is whatever the API answers with."""

    own = False

    def __init__(self, upstream: str, model: str, post: Post) -> None:
        self._name, self._asked, self._post = f"{upstream}/{model}", model, post
        self._model: Model | None = None

    async def describe(self, timeout_s: float) -> Model:
        """See `Embedder.describe`; asks the API once."""
        if self._model is None:
            await self.embed([_PROBE], timeout_s)
        assert self._model is not None
        return self._model

    async def embed(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        """See `Embedder.embed`. A model that suddenly has another dimension fails once, then it is another model."""
        try:
            async with asyncio.timeout(timeout_s):
                parts = [await self._batch(texts[at : at + BATCH]) for at in range(0, len(texts), BATCH)]
        except TimeoutError as error:
            raise EmbeddingFailed(f"{self._name} gave no embeddings within {timeout_s:g} s") from error
        return np.concatenate(parts)

    async def query(self, text: str, timeout_s: float) -> tuple[Model, str]:
        """The model and the vector of a question, as pgvector writes it. Raises `EmbeddingFailed`."""
        rows = await self.embed([text], timeout_s)
        return await self.describe(timeout_s), as_text(rows[0])

    async def close(self) -> None:
        """Nothing is held: the connections belong to whoever made `post`."""

    async def _batch(self, texts: Sequence[str]) -> Vectors:
        body = msgspec.json.encode({"model": self._asked, "input": [bounded(text) or " " for text in texts]})
        wait_s = _BACKOFF_S[0]
        while True:
            told: str
            try:
                status, answer = await self._post(body, _BACKOFF_S[1] * 6)
            except OSError as error:  # a timeout of one attempt too; our own deadline is above this
                told = repr(error)
            else:
                if status == 200:
                    return self._rows(answer, len(texts))
                told = f"status {status}: {answer[:200].decode(errors='replace')}"
                if status not in _REPEATED:
                    raise EmbeddingFailed(f"{self._name}: {told}", refused=status in _TEXTS_FAULT)
            await self._again(told, wait_s)
            wait_s = min(wait_s * 2, _BACKOFF_S[1])

    async def _again(self, told: str, wait_s: float) -> None:
        """Wait before the next attempt; when the deadline ends that, the reason is the last answer."""
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError as error:
            error.add_note(f"{self._name}: {told}")
            raise

    def _rows(self, answer: bytes, count: int) -> Vectors:
        try:
            data = _decode(answer).data
            places: Any = {row.index: row.embedding for row in data}
            rows = np.array([places[place] for place in range(count)], np.float32)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise EmbeddingFailed(f"{self._name} answered with something else than embeddings: {error!r}") from error
        if rows.ndim != 2 or not 0 < rows.shape[1] <= DIMENSION_MAX or not np.isfinite(rows).all():
            raise EmbeddingFailed(f"{self._name} answered with vectors that cannot be kept")
        known, self._model = self._model, Model(self._name, rows.shape[1])
        if known is not None and known != self._model:
            raise EmbeddingFailed(f"{self._name} had {known.dimension} dimensions and now has {rows.shape[1]}")
        return normalised(rows)
