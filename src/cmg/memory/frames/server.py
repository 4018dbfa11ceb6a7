"""The answering end: a unix socket for this user alone."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from cmg.memory.frames.connection import FrameConnection

CONNECTIONS = 256


class FrameServer:
    """Gives each whole frame to `received`, with the connection on which it came."""

    def __init__(self, path: Path, received: Callable[[FrameConnection, bytes], None]) -> None:
        self._path, self._received = path, received
        self._loop = asyncio.get_running_loop()
        self._connections: set[FrameConnection] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; a socket that a killed predecessor left is replaced."""
        beside = self._path.with_suffix(".new")  # the socket is never there with other rights than 0600
        beside.unlink(missing_ok=True)
        self._server = await self._loop.create_unix_server(self._connection, str(beside))
        beside.chmod(0o600)
        beside.replace(self._path)

    def close(self) -> None:
        """Stop; what waits is not answered: its clients ask again elsewhere or later."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.cut()

    def _connection(self) -> FrameConnection:
        connection = FrameConnection(self._received, self._connections.discard)
        self._connections.add(connection)
        if len(self._connections) > CONNECTIONS:
            self._loop.call_soon(connection.cut)
        return connection
