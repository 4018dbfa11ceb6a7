"""The way to the embedder's process."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from cmg.memory.embedding.embedder import EmbeddingFailed, Model, Vectors, bounded
from cmg.memory.embedding.messages import Reply
from cmg.memory.frames.client import AskFailed, FrameClient

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


class SocketEmbedder:
    """An `Embedder` on the embedder's unix socket; also answers questions as pgvector's text. Stays in its loop."""

    own = True

    def __init__(self, path: Path, model: str | None = None) -> None:
        """`model`: None follows the process's current one."""
        self._client, self._model = FrameClient(path, "embedder", _decode), model

    async def describe(self, timeout_s: float) -> Model:
        """See `Embedder.describe`."""
        return _model(await self._ask("describe", (), timeout_s))

    async def embed(self, texts: Sequence[str], timeout_s: float) -> Vectors:
        """See `Embedder.embed`."""
        reply = await self._ask("documents", tuple(map(bounded, texts)), timeout_s)
        rows, dimension = np.frombuffer(reply.rows, np.float32), _model(reply).dimension
        if rows.size != len(texts) * dimension:
            raise EmbeddingFailed("the embedder answered with another number of vectors")
        return rows.reshape(len(texts), dimension)

    async def query(self, text: str, timeout_s: float) -> tuple[Model, str]:
        """The model and the vector of a question, as pgvector writes it. Raises `EmbeddingFailed`."""
        reply = await self._ask("query", (bounded(text),), timeout_s)
        return _model(reply), reply.text

    async def close(self) -> None:
        """See `Embedder.close`."""
        self._client.close()

    async def _ask(self, kind: str, texts: tuple[str, ...], timeout_s: float) -> Reply:
        try:
            reply = await self._client.ask(
                lambda number, until: _encode((number, kind, until, texts, self._model)), timeout_s
            )
        except AskFailed as error:
            raise EmbeddingFailed(str(error), lost=error.lost) from error
        if reply.error is not None:
            raise EmbeddingFailed(reply.error, refused=reply.refused)
        return reply


def _model(reply: Reply) -> Model:
    if reply.model is None:
        raise EmbeddingFailed("the embedder did not say which model it used")
    return reply.model
