"""A server that speaks bytes, not HTTP: the tests say what goes over the wire, and when it breaks."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable


class RawConnection:
    """One client connection, in the hands of a test's handler."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.closed = asyncio.Event()  # the client is gone
        self.written = 0

    async def request(self) -> tuple[str, bytes]:
        """The next request: its head in lower case, its body."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return head, await self.reader.readexactly(int(length or 0))

    async def send(self, data: bytes) -> None:
        """Write, and wait until the client takes it."""
        self.writer.write(data)
        await self.writer.drain()
        self.written += len(data)

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Return when the client closed."""
        with contextlib.suppress(OSError):
            while await self.reader.read(65536):
                pass
        self.closed.set()


Handler = Callable[[RawConnection], Awaitable[None]]


class RawServer:
    """What a test sees of the server."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: list[RawConnection] = []
        self.requests: list[tuple[str, bytes]] = []
        self.port = 0
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = RawConnection(reader, writer)
        self.connections.append(connection)
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self.handler(connection)
            writer.close()


@contextlib.asynccontextmanager
async def raw_server(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Every connection goes to `handler`; it is closed when the handler returns."""
    raw = RawServer(handler)
    server = await asyncio.start_server(raw.accept, "127.0.0.1", 0, ssl=tls, limit=2**20)
    raw.port = server.sockets[0].getsockname()[1]
    try:
        yield raw
    finally:
        server.close()
        for task in raw.tasks:
            task.cancel()
        for connection in raw.connections:
            if not connection.writer.transport.is_closing():
                connection.writer.transport.abort()
        await asyncio.gather(*raw.tasks, return_exceptions=True)


def answers(*pieces: bytes, then: str = "keep") -> Handler:
    """A handler that answers every request with these pieces, each written by itself.

    `then`: `keep` the connection for the next request, `close` it, `reset` it, or `stall`.
    """

    async def handler(connection: RawConnection) -> None:
        while True:
            await connection.request()
            for piece in pieces:
                await connection.send(piece)
                await asyncio.sleep(0.005)
            if then == "reset":
                await asyncio.sleep(0.02)
                connection.reset()
            if then == "stall":
                await connection.gone()
            if then != "keep":
                return

    return handler
