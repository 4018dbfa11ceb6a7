"""The way to the embedder's process: one connection for everything, made when needed, again after it broke."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from cmg.memory.embedding.embedder import EmbeddingFailed, Model, Vectors, bounded
from cmg.memory.embedding.frames import FrameConnection, Reply

WAITING = 1024  # requests of one process without an answer
PAUSE_S = 1.0  # after a failed attempt to connect nobody tries for so long
_CONNECT_S = 1.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reply).decode


class SocketEmbedder:
    """An `Embedder` on the embedder's unix socket; also answers questions as pgvector's text. Stays in its loop."""

    def __init__(self, path: Path, model: str | None = None) -> None:
        """`model`: None follows the process's current one."""
        self._path, self._model = path, model
        self._loop = asyncio.get_running_loop()
        self._connection: FrameConnection | None = None
        self._connecting = asyncio.Lock()
        self._paused_until = 0.0
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0

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
        if self._connection is not None:
            self._connection.cut()

    async def _ask(self, kind: str, texts: tuple[str, ...], timeout_s: float) -> Reply:
        until = self._loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(until):
                connection = self._connection
                if connection is None or not connection.open:
                    connection = await self._connected()
                if len(self._waiting) >= WAITING:
                    raise EmbeddingFailed("too many questions wait for the embedder")
                self._number += 1
                number = self._number
                self._waiting[number] = future = self._loop.create_future()
                try:
                    connection.send(_encode((number, kind, until, texts, self._model)))
                    reply: Reply = await future
                finally:
                    self._waiting.pop(number, None)
        except TimeoutError as error:
            raise EmbeddingFailed(f"the embedder did not answer within {timeout_s:g} s") from error
        if reply.error is not None:
            raise EmbeddingFailed(reply.error, refused=reply.refused)
        return reply

    async def _connected(self) -> FrameConnection:
        async with self._connecting:
            if self._connection is not None and self._connection.open:
                return self._connection
            if self._loop.time() < self._paused_until:
                raise EmbeddingFailed("the embedder cannot be reached")
            try:
                async with asyncio.timeout(_CONNECT_S):
                    _, self._connection = await self._loop.create_unix_connection(
                        lambda: FrameConnection(self._received, self._ended), str(self._path)
                    )
            except (OSError, TimeoutError) as error:
                self._paused_until = self._loop.time() + PAUSE_S
                raise EmbeddingFailed(f"the embedder cannot be reached: {error}") from error
            return self._connection

    def _received(self, connection: FrameConnection, frame: bytes) -> None:
        try:
            reply = _decode(frame)
        except msgspec.MsgspecError:
            connection.cut()
            return
        future = self._waiting.get(reply.number)
        if future is not None and not future.done():
            future.set_result(reply)

    def _ended(self, _connection: FrameConnection) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(EmbeddingFailed("the embedder's connection broke", lost=True))


def _model(reply: Reply) -> Model:
    if reply.model is None:
        raise EmbeddingFailed("the embedder did not say which model it used")
    return reply.model
