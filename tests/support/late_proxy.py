"""A TCP proxy in the test's own loop whose answers can be made late."""

import asyncio
import contextlib


class LateProxy:
    """Passes bytes on to a port of this machine; answers wait `delay_s` first."""

    def __init__(self, port: int) -> None:
        self._to, self.delay_s, self.port = port, 0.0, 0
        self._server: asyncio.Server | None = None
        self._flows: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Cut every connection."""
        assert self._server is not None
        self._server.close()
        for flow in self._flows:
            flow.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        for source, sink, late in ((reader, back, False), (there, writer, True)):
            flow = asyncio.create_task(self._pass_on(source, sink, late=late))
            self._flows.add(flow)
            flow.add_done_callback(self._flows.discard)

    async def _pass_on(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, late: bool) -> None:
        try:
            while data := await source.read(65536):
                if late and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                sink.close()
