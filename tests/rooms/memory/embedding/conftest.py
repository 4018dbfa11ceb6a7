"""The real models, and the embedder's server inside the test."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from cmg.memory.embedding.engines import Engines
from cmg.memory.embedding.minilm import MiniLm
from cmg.memory.embedding.server import EmbedderServer
from cmg.memory.embedding.socket_client import SocketEmbedder
from cmg.telemetry.instruments import Instruments
from support.models import models_folder


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder of the converted model."""
    return models_folder()


@pytest.fixture(scope="session")
def minilm(models: Path) -> MiniLm:
    """The local model."""
    return MiniLm(models)


@pytest.fixture
def socket_path() -> Iterator[Path]:
    """A short path for a socket."""
    with tempfile.TemporaryDirectory(prefix="cmg-") as folder:
        yield Path(folder) / "embedder.sock"


@pytest.fixture
async def serve(
    socket_path: Path, models: Path, instruments: Instruments
) -> AsyncIterator[Callable[..., Coroutine[None, None, EmbedderServer]]]:
    """Starts the server with a kind of model; all are stopped after the test."""
    running: list[tuple[EmbedderServer, asyncio.Task[None]]] = []

    async def start(kind: str = "local") -> EmbedderServer:
        server = EmbedderServer(socket_path, Engines(kind, models), instruments)
        await server.open()
        running.append((server, asyncio.create_task(server.run())))
        return server

    yield start
    for server, task in running:
        task.cancel()
        await server.close()


@pytest.fixture
async def client(socket_path: Path) -> AsyncIterator[SocketEmbedder]:
    """A client of that server."""
    one = SocketEmbedder(socket_path)
    yield one
    await one.close()
