"""The embedder's process: answers on a unix socket, questions before documents, never more than its bounds hold."""

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from cmg.memory.embedding.embedder import EmbeddingFailed, Model, Vectors, as_text
from cmg.memory.embedding.engines import Engines
from cmg.memory.embedding.messages import Reply, Request
from cmg.memory.embedding.minilm import ModelUnusable
from cmg.memory.frames.connection import FrameConnection
from cmg.memory.frames.server import FrameServer
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

QUERIES = 256  # questions that wait; about a quarter of a second of work
TEXTS = 2048  # of documents that wait
_COURTESY_S = 0.05  # a document's text waits so long for the questions to be answered, then takes its turn
_NICE = 10
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Request).decode
_log = get_logger("cmg.memory.embedder")


class EmbedderServer:
    """Questions are run by the loop, documents by a thread, which yields to everything on the machine."""

    def __init__(self, path: Path, engines: Engines, instruments: Instruments) -> None:
        self._engines, self._instruments = engines, instruments
        self._loop = asyncio.get_running_loop()
        self._queries: asyncio.Queue[tuple[FrameConnection, Request]] = asyncio.Queue(QUERIES)
        self._documents: asyncio.Queue[tuple[FrameConnection, Request]] = asyncio.Queue()
        self._texts = 0
        self._calm = asyncio.Event()
        self._calm.set()
        self._loading = ThreadPoolExecutor(1, "loading")
        self._for_documents = ThreadPoolExecutor(1, "documents", initializer=_step_back)
        self._server = FrameServer(path, self._received)

    async def open(self) -> None:
        """Listen, for this user alone."""
        await self._server.open()

    async def close(self) -> None:
        """Stop; what waits is not answered: its clients ask again elsewhere or later."""
        self._server.close()
        self._loading.shutdown(wait=False, cancel_futures=True)
        self._for_documents.shutdown(wait=False, cancel_futures=True)

    async def run(self) -> None:
        """Answer until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._answer_queries())
            group.create_task(self._answer_documents())

    def _received(self, connection: FrameConnection, frame: bytes) -> None:
        try:
            request = _decode(frame)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            _log.warning("a client sent what is no request; its connection is closed", error=str(error))
            connection.cut()
            return
        if request.kind == "describe":
            connection.send(_encode(Reply(request.number, self._engines.model)))
        elif request.kind == "query" and len(request.texts) == 1 and not self._queries.full():
            self._calm.clear()
            self._queries.put_nowait((connection, request))
        elif request.kind == "documents" and self._texts + len(request.texts) <= TEXTS:
            self._texts += len(request.texts)
            self._documents.put_nowait((connection, request))
        else:
            self._instruments.series("cmg_memory_embedder_refused_total", request.kind).inc()
            connection.send(_encode(Reply(request.number, error="the embedder has too much to do")))

    async def _answer_queries(self) -> None:
        while True:
            connection, request = await self._queries.get()
            if self._wanted(connection, request):
                connection.send(_encode(await self._answered(request)))
            if self._queries.empty():
                self._calm.set()

    async def _answered(self, request: Request) -> Reply:
        """A question is run here: two changes of threads are a tenth of its time. A model is loaded elsewhere."""
        if not self._engines.holds(request.model):
            return await self._loop.run_in_executor(self._loading, self._query, request)
        await asyncio.sleep(0)  # so that who came meanwhile is heard
        return self._query(request)

    async def _answer_documents(self) -> None:
        while True:
            connection, request = await self._documents.get()
            rows: list[bytes] = []
            reply = Reply(request.number, self._engines.model)
            for text in request.texts:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_COURTESY_S):
                        await self._calm.wait()
                if not self._wanted(connection, request):
                    reply = Reply(request.number, error="nobody waits for this any more")
                    break
                reply = await self._loop.run_in_executor(self._for_documents, self._document, request, text)
                if reply.error is not None:
                    break
                rows.append(reply.rows)
            self._texts -= len(request.texts)
            connection.send(_encode(msgspec.structs.replace(reply, rows=b"".join(rows))))

    def _wanted(self, connection: FrameConnection, request: Request) -> bool:
        """Whether somebody still waits for the answer."""
        return connection.open and self._loop.time() < request.until

    def _query(self, request: Request) -> Reply:
        reply, vector = self._embedded(request, request.texts[0])
        return reply if vector is None else msgspec.structs.replace(reply, text=as_text(vector))

    def _document(self, request: Request, text: str) -> Reply:
        """In the thread for documents."""
        reply, vector = self._embedded(request, text)
        return reply if vector is None else msgspec.structs.replace(reply, rows=vector.tobytes())

    def _embedded(self, request: Request, text: str) -> tuple[Reply, Vectors | None]:
        counted = self._instruments
        try:
            engine = self._engines.engine(request.model)
            vector = engine.embed(text)
        except (EmbeddingFailed, ModelUnusable) as error:
            counted.series("cmg_memory_embedder_texts_total", request.kind, "failed").inc()
            refused = isinstance(error, EmbeddingFailed) and error.refused
            return Reply(request.number, error=str(error), refused=refused), None
        counted.series("cmg_memory_embedder_texts_total", request.kind, "done").inc()
        model = self._engines.model
        return Reply(
            request.number, model if engine.name == model.name else Model(engine.name, engine.dimension)
        ), vector


def _step_back() -> None:
    """Give this thread less of the processor than everything else; elsewhere than on Linux a thread has no rank."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
