"""The HTTP servers of a process: uvicorn, as a child wants it."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from cmg.app.processes.http_answer import Protocol
from cmg.app.processes.orders import Orders

_KEEP_ALIVE_S = 75
_SILENCE_TICKS = 100  # between two looks at connections
_PAGE_CONNECTIONS = 512
_PAGE_MESSAGE_BYTES = 2**20


class Server(uvicorn.Server):
    """uvicorn without its signal handling: it would raise the signal again before our resources are closed."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the child's own."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second; close connections that say nothing."""
        if not counter % _SILENCE_TICKS:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.close_if_silent(now)
        return await super().on_tick(counter)

    def end(self) -> None:
        """Finish what runs, then return from `serve`."""
        self.should_exit = True


def server_of(application: Any, orders: Orders, *, public: bool) -> Server:
    """`public`: it answers clients, so by TLS where the settings say so; else our own gateways."""
    tls = orders.settings
    config = uvicorn.Config(
        application,
        http=Protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        ssl_certfile=tls.tls_certificate if public else None,
        ssl_keyfile=tls.tls_key if public else None,
        limit_concurrency=orders.settings.limits.connections,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(orders.settings.shutdown_grace_s)),
    )
    return Server(config)


def console_server(application: Any, orders: Orders) -> Server:
    """Pages and their websockets; few people look at once, and nobody's page is worth waiting for at the end."""
    tls = orders.settings
    config = uvicorn.Config(
        application,
        http=Protocol,  # also here whoever says nothing is not listened to for ever
        ws="websockets-sansio",
        ws_max_size=_PAGE_MESSAGE_BYTES,
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=tls.tls_certificate,
        ssl_keyfile=tls.tls_key,
        limit_concurrency=_PAGE_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


def unix_socket(orders: Orders) -> socket.socket:
    """Where backstage answers the gateways."""
    path = orders.backstage_socket
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    path.chmod(0o600)
    return listening
