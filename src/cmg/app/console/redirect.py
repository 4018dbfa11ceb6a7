"""`/console` on the service's own port: on to the console on the same host, so that the cookie goes along."""

import re

from cmg.app.visitors import Visitors
from cmg.kit.asgi import Request, Send, send_response
from cmg.kit.errors import NotFound

PATH = "/console"
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")


class ConsoleRedirect:
    """`origin` is where browsers reach the console, if the settings tell; else it is `port` of the host they named."""

    def __init__(self, origin: str | None, port: int, visitors: Visitors) -> None:
        self._origin, self._port, self._visitors = origin, port, visitors

    async def handle(self, request: Request, send: Send) -> None:
        """307, with the path below `/console` and the query. Raises `NotFound` where there is no console."""
        origin = self._origin or self._beside(request)
        path = request.path.removeprefix(PATH) or "/"
        query = request.scope["query_string"]
        # A path that began with two slashes would be read as a host.
        target = f"{origin}/{path.lstrip('/')}".encode("ascii", "ignore") + (b"?" + query if query else b"")
        await send_response(send, 307, b"", [(b"location", _quoted(target)), (b"cache-control", b"no-store")])

    def _beside(self, request: Request) -> str:
        host = _HOST.fullmatch(request.header(b"host") or "")
        if not self._port or host is None:
            raise NotFound("there is no console on this machine; set `console_url` to where it is", code="no_console")
        return f"{'https' if self._visitors.encrypted(request.scope) else 'http'}://{host[1]}:{self._port}"


def _quoted(target: bytes) -> bytes:
    """Without what ends a header or a URL."""
    return b"".join(b"%%%02X" % one if one <= 32 or one >= 127 else bytes([one]) for one in target)
