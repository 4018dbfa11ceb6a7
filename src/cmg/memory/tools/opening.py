"""The protocol's library is loaded when the first agent asks: it takes 26 MB, and most of a second at every start."""

import asyncio
import importlib
from typing import TYPE_CHECKING

from cmg.kit.asgi import Receive, Scope, Send, send_error
from cmg.kit.errors import Unavailable
from cmg.memory.tools.calls import Tools

if TYPE_CHECKING:
    from cmg.memory.tools.endpoint import McpEndpoint

PATH = "/mcp"
_OPEN_S = 30.0


class LateEndpoint:
    """An ASGI application in front of `McpEndpoint`; the first requests wait until that is there."""

    def __init__(self, tools: Tools, body_limit: int) -> None:
        self._tools, self._body_limit = tools, body_limit
        self._asked, self._open = asyncio.Event(), asyncio.Event()
        self._endpoint: McpEndpoint | None = None

    async def run(self) -> None:
        """Wait for the first request, then hold what answers it and the others; until cancelled."""
        await self._asked.wait()
        # In a thread: what else this process does goes on meanwhile.
        module = await asyncio.to_thread(importlib.import_module, "cmg.memory.tools.endpoint")
        self._endpoint = endpoint = module.McpEndpoint(self._tools, self._body_limit)
        await endpoint.run(self._open.set)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; with 503 when the library is not there in time."""
        self._asked.set()
        try:
            async with asyncio.timeout(_OPEN_S):
                await self._open.wait()
        except TimeoutError:
            await send_error(send, Unavailable("the tools are not there yet: try again"))
            return
        assert self._endpoint is not None, "it is set before it is open"
        await self._endpoint(scope, receive, send)
