"""`cmg serve`: takes the machine (port, data dir, database), has it prepared, prints how to begin, and supervises.

This process lives as long as the service, so it loads little: what stands on the control plane is backstage's to do.
"""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec

from cmg.app.processes import machine
from cmg.app.processes.orders import Orders
from cmg.app.processes.preparation import FirstSecrets, Preparation
from cmg.app.processes.supervisor import Post, Supervisor
from cmg.app.roles import Role
from cmg.app.wiring.place import database_place
from cmg.config import Loaded
from cmg.kit.clock import SystemClock
from cmg.ledger.quota.table import create_file
from cmg.storage.errors import StorageError
from cmg.telemetry import logs

_BACKSTAGE_S = 15.0
_log = logs.get_logger("cmg.app.serve")


def main(loaded: Loaded, role: Role = "all") -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises `InvalidRequest` naming a setting that is wrong."""
    logs.configure(loaded.settings.log_level, "supervisor")  # until the data dir is known to be ours
    try:
        asyncio.run(_serve(loaded, role))
    except (machine.CannotStart, StorageError) as error:
        print(f"cmg serve: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(loaded: Loaded, role: Role) -> None:
    settings, clock = loaded.settings, SystemClock()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with contextlib.closing(await machine.bind(settings)) as listening, contextlib.ExitStack() as held:
        async with machine.taken(settings), database_place(settings) as place:
            port = listening.getsockname()[1]
            orders = Orders(settings=settings, origins=loaded.origins, dsn=place.dsn, role=role, port=port)
            orders = _with_console(orders, held)
            logs.configure(settings.log_level, "supervisor", orders.log_spool, settings.logs.spool_bytes)
            machine.open_more_files(settings)
            logs.follow_levels(orders.log_levels, settings.log_level, clock)
            machine.make_way(orders)
            preparation = held.enter_context(Preparation())
            start = _Start(orders, listening.fileno(), preparation)
            watching = asyncio.create_task(place.watch())
            try:
                await _until(stop, start.run())
            finally:
                _log.info("stopping", grace_s=settings.shutdown_grace_s)
                await start.supervisor.stop()
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)
                machine.leave(orders)


def _with_console(orders: Orders, held: contextlib.ExitStack) -> Orders:
    """The orders with the console's socket, where this machine has one. Raises `CannotStart`."""
    listening = machine.bind_console(orders.settings, orders.port) if orders.duties.control_plane else None
    if listening is None:
        return orders
    held.enter_context(contextlib.closing(listening))
    return msgspec.structs.replace(orders, console=listening.fileno(), console_port=listening.getsockname()[1])


async def _until(stop: asyncio.Event, starting: Coroutine[Any, Any, None]) -> None:
    """Start, and return when told to stop, be that in the midst of it. Raises what the start raises."""
    started, stopping = asyncio.create_task(starting), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((started, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await started
            await stopping
    finally:
        for task in (started, stopping):
            task.cancel()
        await asyncio.gather(started, stopping, return_exceptions=True)


class _Start:
    """The start of a machine's processes, in order: what backstage prepares comes before the first call."""

    def __init__(self, orders: Orders, listening: int, preparation: Preparation) -> None:
        self._orders, self._preparation = orders, preparation
        first = msgspec.structs.replace(orders, first="now", report=preparation.writing)
        self.supervisor = Supervisor(first, listening, self._ended, SystemClock())

    async def run(self) -> None:
        """Returns when everything runs, also without the database: then when that is there. Raises `CannotStart`."""
        orders, supervisor = self._orders, self.supervisor
        prepared, answering = asyncio.Event(), asyncio.Event()
        makers = range(orders.note_makers)
        gateways = range(orders.settings.workers) if orders.duties.gateways else ()
        supervisor.start([Post("backstage")])
        supervisor.start([Post("notes", number) for number in makers], prepared)
        supervisor.start([Post("gateway", number) for number in gateways], answering)
        report = await self._preparation.first()
        supervisor.orders = msgspec.structs.replace(supervisor.orders, first="late" if report.away else "done")
        if gateways:
            if not report.away:  # else they count on in the state of limits of the run before
                create_file(orders.quota_file)
            prepared.set()
            await _answering(orders.backstage_socket, *map(orders.notes_socket, makers))
            answering.set()
        if report.embedder:
            supervisor.start([Post("embedder")])
        print(_banner(orders, None if report.away else report.secrets), flush=True)
        if report.away:
            await self._late(with_embedder=not report.embedder)

    async def _late(self, *, with_embedder: bool) -> None:
        """The database is there: what only it knows, and the keys that were made then."""
        report = await self._preparation.later()
        self.supervisor.orders = msgspec.structs.replace(self.supervisor.orders, first="done")
        if with_embedder and report.embedder:
            self.supervisor.start([Post("embedder")])
        if report.secrets != FirstSecrets():
            print(_banner(self._orders, report.secrets), flush=True)

    def _ended(self, post: Post) -> None:
        """A process died and is not replaced yet."""
        if post.kind == "gateway":
            machine.vacate(self._orders, post.worker)
        elif post.kind == "backstage":
            self._preparation.ended()


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


def _banner(orders: Orders, secrets: FirstSecrets | None) -> str:
    host = f"[{orders.settings.host}]" if ":" in orders.settings.host else orders.settings.host
    url = f"{'https' if orders.settings.tls_certificate else 'http'}://{host}:{orders.port}"
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
    if secrets and secrets.password:
        told = f"one-time password (to change at the first login): {secrets.password}"
        lines.append(f"Administrator {secrets.administrator}, {told}")
    if secrets and secrets.admin_key:
        lines.append(f"Administrator's API key (shown this once): {secrets.admin_key}")
    return lines
