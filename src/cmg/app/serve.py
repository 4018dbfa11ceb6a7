"""`cmg serve`: prepares the machine (port, database, keys, limits), prints how to begin, and supervises."""

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from cmg.app.console.building import PortTaken, bind
from cmg.app.last_known import LastKnownFile
from cmg.app.processes.orders import Orders
from cmg.app.processes.supervisor import Post, Supervisor
from cmg.app.roles import Role
from cmg.app.wiring import starting
from cmg.app.wiring.services import FirstSecrets, database_place
from cmg.config import Loaded, Settings
from cmg.kit.clock import SystemClock
from cmg.storage.errors import DatabaseAway, DatabaseUnreachable, StorageError
from cmg.telemetry import logs

_BACKSTAGE_S = 15.0
_RETRY_S = 2.0
_BIND_S = 5.0  # a killed predecessor's workers let go of the port within this
_log = logs.get_logger("cmg.app.serve")


class CannotStart(Exception):
    """Something about the machine forbids the start; the message says what to do."""


def main(loaded: Loaded, role: Role = "all") -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code."""
    logs.configure(loaded.settings.log_level, "supervisor")  # until the data dir is known to be ours
    try:
        asyncio.run(_serve(loaded, role))
    except (CannotStart, PortTaken, StorageError) as error:
        print(f"cmg serve: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(loaded: Loaded, role: Role) -> None:
    settings, clock = loaded.settings, SystemClock()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.closing(await _bind(settings)) as listening, contextlib.ExitStack() as consoles:
        async with _machine(settings), database_place(settings) as place:
            port = listening.getsockname()[1]
            orders = Orders(settings=settings, origins=loaded.origins, dsn=place.dsn, role=role, port=port)
            orders = _with_console(orders, consoles)
            logs.configure(settings.log_level, "supervisor", orders.log_spool, settings.logs.spool_bytes)
            logs.follow_levels(orders.log_levels, settings.log_level, clock)
            supervisor = Supervisor(orders, listening.fileno(), lambda n: starting.vacate(orders, n), clock)
            beside = [asyncio.create_task(place.watch())]
            secrets = await _prepare(orders)
            if secrets is None:
                beside.append(asyncio.create_task(_prepare_late(orders, port)))
            makers = range(orders.note_makers)
            supervisor.start([Post("backstage"), *(Post("notes", number) for number in makers)])
            if orders.duties.gateways:
                await _answering(orders.backstage_socket, *map(orders.notes_socket, makers))
                supervisor.start([Post("gateway", number) for number in range(settings.workers)])
            if await starting.needs_embedder(orders):
                supervisor.start([Post("embedder")])
            print(_banner(orders, port, secrets), flush=True)
            await stop.wait()
            _log.info("stopping", grace_s=settings.shutdown_grace_s)
            await supervisor.stop()
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            starting.leave(orders)


def _with_console(orders: Orders, open_sockets: contextlib.ExitStack) -> Orders:
    """The orders with the console's socket, where this machine has one. Raises `PortTaken`."""
    listening = bind(orders.settings, orders.port) if orders.duties.control_plane else None
    if listening is None:
        return orders
    open_sockets.enter_context(contextlib.closing(listening))
    return msgspec.structs.replace(orders, console=listening.fileno(), console_port=listening.getsockname()[1])


async def _prepare(orders: Orders) -> FirstSecrets | None:
    """Prepare the machine; None when the database is away and the last known keys let calls go on.

    Raises `StorageError` when it is away and nothing is known.
    """
    starting.make_way(orders)
    try:
        return await starting.prepare(orders)
    except (DatabaseUnreachable, DatabaseAway) as error:
        if LastKnownFile(orders.last_known).read() is None:
            raise CannotStart(f"{error}; nothing was known from a run before, so no call could be answered") from error
        _log.warning("the database is away: serving with what was last known", error=str(error))
        return None


async def _prepare_late(orders: Orders, port: int) -> None:
    """Prepare as soon as the database is there, and tell the keys that were made then."""
    told = None
    while True:
        try:
            secrets = await starting.prepare_late(orders)
        except Exception as error:  # noqa: BLE001  whatever it is, calls go on meanwhile
            if told != str(error):
                _log.warning("the database cannot be prepared yet", error=repr(error))
            told = str(error)
            await asyncio.sleep(_RETRY_S)
        else:
            _log.info("the database is there again")
            if secrets.administrator or secrets.admin_key or secrets.first_key:
                print(_banner(orders, port, secrets), flush=True)
            return


async def _answering(*sockets: Path) -> None:
    """Wait until these answer, so that the first turn is kept and found as fast as every later one; not for ever."""
    deadline = asyncio.get_running_loop().time() + _BACKSTAGE_S
    for path in sockets:
        while asyncio.get_running_loop().time() < deadline:
            try:
                _, writer = await asyncio.open_unix_connection(str(path))
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        else:
            _log.warning("a process does not answer yet; calls are taken all the same", socket=path.name)


async def _bind(settings: Settings) -> socket.socket:
    """The listening socket, inherited by every gateway. Raises `CannotStart`."""
    deadline = asyncio.get_running_loop().time() + _BIND_S
    while True:
        try:
            family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
            return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotStart(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}") from error
            if asyncio.get_running_loop().time() > deadline:
                raise CannotStart(
                    f"port {settings.port} is taken by another program; set CMG_PORT to a free one"
                ) from error
        await asyncio.sleep(0.1)


@contextlib.asynccontextmanager
async def _machine(settings: Settings) -> AsyncIterator[None]:
    """The data dir, made ours alone: two services on one would share journals and limits. Raises `CannotStart`."""
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(settings.data_dir / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"the data dir {settings.data_dir} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise CannotStart(
            f"another `cmg serve` runs on the data dir {settings.data_dir}; stop it or set CMG_DATA_DIR"
        ) from error
    try:
        yield
    finally:
        os.close(lock)


def _banner(orders: Orders, port: int, secrets: FirstSecrets | None) -> str:
    host = f"[{orders.settings.host}]" if ":" in orders.settings.host else orders.settings.host
    url = f"{'https' if orders.settings.tls_certificate else 'http'}://{host}:{port}"
    lines = [f"Context Memory Gateway runs at {url}   (API: {url}/docs)"]
    if orders.role != "all":
        lines = [f"Context Memory Gateway runs as {orders.role} at {url}"]
    if orders.console >= 0:
        scheme = "https" if orders.settings.tls_certificate else "http"
        lines.append(f"Console: {orders.settings.console_url or f'{scheme}://{host}:{orders.console_port}'}")
    if secrets is None:
        lines.append("The database cannot be reached: calls are answered with the keys and prices last known.")
    lines += _administrators(secrets)
    key = secrets.first_key if secrets else None
    if key:
        lines.append(f"First API key for an application (shown this once): {key}")
    if orders.duties.gateways:
        lines += [
            "Try it:",
            f"  curl {url}/v1/chat/completions -H 'Authorization: Bearer {key or '$CMG_KEY'}' \\",
            "    -H 'Content-Type: application/json' \\",
            '    -d \'{"model": "sim/echo", "user": "ada", "messages": [{"role": "user", "content": "Hello"}]}\'',
        ]
    return "\n".join(lines)


def _administrators(secrets: FirstSecrets | None) -> list[str]:
    """What the administrator gets at the first start: a password to change at the first login, and a key."""
    lines = []
    if secrets and secrets.administrator and secrets.administrator.password:
        made = secrets.administrator
        lines.append(f"Administrator {made.email}, one-time password (to change at the first login): {made.password}")
    if secrets and secrets.admin_key:
        lines.append(f"Administrator's API key (shown this once): {secrets.admin_key}")
    return lines
