"""The main of every process but the supervisor: `python -m cmg.app.processes.child <kind> <number>`."""

import asyncio
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop

from cmg.app.processes.orders import Orders, decode
from cmg.app.processes.resources import Resources
from cmg.app.processes.watchdog.beat import beating, tell_when_asked
from cmg.kit.clock import SystemClock
from cmg.telemetry import logs

_CLOSE_S = 5.0
# The collector looks at what is new after so many more allocations than releases (Python's own figure, 700, is that of
# a dozen calls in flight), and at what got older after so many of those looks.
_COLLECT_AFTER = (5_000, 10, 10)
_log = logs.get_logger("cmg.app.child")


async def gateway(orders: Orders) -> None:
    """Serve the data plane on the inherited socket until told to stop."""
    from cmg.app.processes.serving import server_of  # noqa: PLC0415  a process loads only what it runs
    from cmg.app.wiring.gateway import build_gateway  # noqa: PLC0415  as above

    resources = Resources(SystemClock())
    built = await build_gateway(orders, resources)
    server = server_of(built.application, orders, public=True)
    listening = socket.socket(fileno=orders.listening)
    await _until_stopped(server.serve([listening]), server.end, resources, built.background)


async def backstage(orders: Orders) -> None:
    """Do the background work until told to stop; answer the gateways on a unix socket, or without any on the port."""
    from cmg.app.processes.serving import console_server, server_of, unix_socket  # noqa: PLC0415  as in `gateway`
    from cmg.app.wiring.backstage import build_backstage  # noqa: PLC0415  as above
    from cmg.app.wiring.starting import begin  # noqa: PLC0415  as above

    resources = Resources(SystemClock())
    beside = await begin(orders)
    built = await build_backstage(orders, resources)
    server = server_of(built.application, orders, public=not orders.duties.gateways)
    listening = unix_socket(orders) if orders.duties.gateways else socket.socket(fileno=orders.listening)
    servers = [(server, listening)]
    if built.console is not None:
        servers.append((console_server(built.console, orders), socket.socket(fileno=orders.console)))

    async def serve() -> None:
        await asyncio.gather(*(one.serve([place]) for one, place in servers))

    def end() -> None:
        for one, _ in servers:
            one.end()

    await _until_stopped(serve(), end, resources, [*built.background, *beside])


async def notes(orders: Orders) -> None:
    """Make notes for the gateways until told to stop."""
    from cmg.app.memory.notes import build_notes  # noqa: PLC0415  a process loads only what it runs

    resources = Resources(SystemClock())
    await _until_told(resources, await build_notes(orders, resources))


async def embedder(orders: Orders) -> None:
    """Embed what the other processes ask for until told to stop."""
    from cmg.app.memory.embedder import build_embedder  # noqa: PLC0415  a process loads only what it runs

    resources = Resources(SystemClock())
    await _until_told(resources, await build_embedder(orders, resources))


async def _until_told(resources: Resources, background: list[Coroutine[Any, Any, None]]) -> None:
    told = asyncio.Event()
    await _until_stopped(told.wait(), told.set, resources, background)


async def _until_stopped(
    serving: Coroutine[Any, Any, Any],
    end: Callable[[], None],
    resources: Resources,
    background: list[Coroutine[Any, Any, None]],
) -> None:
    loop = asyncio.get_running_loop()
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not walk through it again and again

    def stop() -> None:
        resources.stopping = True
        end()

    def look() -> None:
        if _supervisor_gone():
            loop.remove_reader(0)  # it would be ready at every turn of the loop, until the last stream has ended
            stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_reader(0, look)
    tasks = [asyncio.create_task(work) for work in background]
    for task in tasks:
        task.add_done_callback(lambda done: _ended(done, stop))
    try:
        await serving
    finally:
        loop.remove_reader(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await _close(resources)
    failed = [task for task in tasks if not task.cancelled() and task.exception() is not None]
    if failed:
        sys.exit(1)


async def _close(resources: Resources) -> None:
    """Close everything. What cannot be, as when the database is away, is told: the process ends as it should."""
    try:
        async with asyncio.timeout(_CLOSE_S):
            await resources.close()
    except TimeoutError:
        _log.warning("not everything was closed in time", limit_s=_CLOSE_S)
    except ExceptionGroup as group:
        _log.warning("not everything was closed", error="; ".join(map(_told, group.exceptions)))


def _told(error: Exception) -> str:
    return f"{', '.join(getattr(error, '__notes__', ()))}: {error!r}"


def _supervisor_gone() -> bool:
    """The supervisor's end of the pipe closed: it died, however that happened."""
    return os.read(0, 4096) == b""


def _ended(task: "asyncio.Task[None]", stop: Any) -> None:
    """Background work runs for ever; when it does not, the process stops and is replaced."""
    if task.cancelled():
        return
    error = task.exception()
    _log.error("background work ended", error=repr(error), exc_info=error)
    stop()


_KINDS = {"gateway": gateway, "backstage": backstage, "notes": notes, "embedder": embedder}
_LOADED = {
    "gateway": ("cmg.app.processes.serving", "cmg.app.wiring.gateway"),
    "backstage": ("cmg.app.processes.serving", "cmg.app.wiring.backstage"),
    "notes": ("cmg.app.memory.notes",),
    "embedder": ("cmg.app.memory.embedder",),
}


def main(kind: str, worker: str) -> None:
    """Load what the process runs, wait for the orders, and run."""
    tell_when_asked()
    gc.disable()  # what is loaded stays, so nothing of it can be collected
    for module in _LOADED[kind]:
        importlib.import_module(module)
    gc.freeze()
    gc.enable()
    gc.set_threshold(*_COLLECT_AFTER)
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):
        sys.exit(1)  # the supervisor died before it had said what to do
    orders = decode(line)
    settings = orders.settings
    logs.configure(settings.log_level, f"{kind}-{worker}", orders.log_spool, settings.logs.spool_bytes)
    logs.follow_levels(orders.log_levels, settings.log_level, SystemClock())
    uvloop.run(beating(orders.beat, _KINDS[kind](orders)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
