"""The converted embedding model of a test run, and the embedder as the process that `cmg serve` starts."""

import asyncio
import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from cmg.app.processes.orders import Orders, encode
from cmg.config import MemorySettings, Settings
from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.minilm import prepare
from cmg.memory.embedding.socket_client import SocketEmbedder
from support.clusters import open_folder


def models_folder() -> Path:
    """A folder with the converted model, for every test of this machine: the conversion takes four seconds."""
    folder = open_folder("models")
    prepare(folder)
    return folder


def lend_models(data_dir: Path) -> None:
    """Give a data dir the tests' models, unless it has its own."""
    with contextlib.suppress(FileExistsError):
        (data_dir / "models").symlink_to(models_folder())


class EmbedderProcess:
    """One embedder process in a data dir of its own."""

    def __init__(self, kind: str = "local") -> None:
        self.data_dir = Path(tempfile.mkdtemp(prefix="cmg-embedder-"))
        lend_models(self.data_dir)
        settings = Settings(data_dir=self.data_dir, memory=MemorySettings(embedder=kind))
        self.orders = Orders(settings=settings, dsn="")
        self.orders.runtime.mkdir(mode=0o700, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)
        shutil.rmtree(self.orders.runtime, ignore_errors=True)

    @property
    def socket(self) -> Path:
        """Where it answers."""
        return self.orders.embedder_socket

    def start(self) -> None:
        """Start it; `ready` waits until it answers."""
        command = [sys.executable, "-m", "cmg.app.processes.child", "embedder", "0"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert self.process.stdin is not None
        self.process.stdin.write(encode(self.orders))
        self.process.stdin.flush()

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdin is not None
            self.process.stdin.close()
            self.process = None

    async def ready(self, client: SocketEmbedder, timeout_s: float = 30.0) -> None:
        """Wait until a client reaches it."""
        async with asyncio.timeout(timeout_s):
            while True:
                with contextlib.suppress(EmbeddingFailed):
                    await client.describe(1.0)
                    return
                await asyncio.sleep(0.1)
