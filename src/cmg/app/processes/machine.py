"""The machine under the processes: its ports, its data dir, and what a predecessor may have left there."""

import asyncio
import contextlib
import errno
import fcntl
import os
import resource
import socket
from collections.abc import AsyncIterator

from cmg.app.processes.orders import Orders
from cmg.config import Settings
from cmg.kit.paths import make_runtime_dir
from cmg.ledger.quota.shared_memory import release_worker
from cmg.telemetry.logs import get_logger

_OTHER_FILES = 256  # of a process, beside its connections to clients and upstreams
_BIND_S = 5.0  # a killed predecessor's workers let go of the port within this
_log = get_logger("cmg.app.machine")


class CannotStart(Exception):
    """Something about the machine forbids the start; the message says what to do."""


def open_more_files(settings: Settings) -> None:
    """Let this process and its children open what `limits.connections` needs, as far as the hard limit allows.

    The soft limit is 1,024 nearly everywhere. Where no file can be opened, a connection is cut without a word.
    """
    wanted = 2 * settings.limits.connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        with contextlib.suppress(OSError, ValueError):  # macOS has a smaller limit that it does not tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        told = "raise the limit (ulimit -n, LimitNOFILE), or lower limits.connections"
        _log.warning("fewer open files than the connections of the settings need", files=allowed, advice=told)


async def bind(settings: Settings) -> socket.socket:
    """The listening socket, inherited by every gateway. Raises `CannotStart`."""
    deadline = asyncio.get_running_loop().time() + _BIND_S
    while True:
        try:
            return _listening(settings, settings.port, backlog=2048)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise CannotStart(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}") from error
            if asyncio.get_running_loop().time() > deadline:
                raise CannotStart(
                    f"port {settings.port} is taken by another program; set CMG_PORT to a free one"
                ) from error
        await asyncio.sleep(0.1)


def bind_console(settings: Settings, port: int) -> socket.socket | None:
    """The console's listening socket, beside the service's `port`; None when it is turned off.

    A port that nobody named and that is taken leaves the service without a console: calls matter more. Raises
    `CannotStart` when the settings name it.
    """
    if not settings.console:
        return None
    wanted = settings.console_port if settings.console_port is not None else port + 1
    try:
        return _listening(settings, wanted, backlog=256)
    except (OSError, OverflowError) as error:
        what = "is taken by another program" if getattr(error, "errno", 0) == errno.EADDRINUSE else f"fails: {error}"
        told = f"port {wanted} of the console {what}; set CMG_CONSOLE_PORT to a free one, or CMG_CONSOLE=false"
        if settings.console_port is not None:
            raise CannotStart(told) from error
        _log.warning("there is no console", reason=told)
        return None


def _listening(settings: Settings, port: int, backlog: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, port), family=family, backlog=backlog)


@contextlib.asynccontextmanager
async def taken(settings: Settings) -> AsyncIterator[None]:
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


def make_way(orders: Orders) -> None:
    """Remove what a killed predecessor left: nobody may be asked in its place. Raises `CannotStart`."""
    try:
        make_runtime_dir(orders.runtime)
    except OSError as error:
        raise CannotStart(str(error)) from error
    _clear(orders)


def leave(orders: Orders) -> None:
    """Take our files out of the folder of sockets, and the folder with them unless a database still answers in it."""
    _clear(orders)
    orders.faults_file.unlink(missing_ok=True)  # of a drill that was under way: it was put on this run
    with contextlib.suppress(OSError):
        orders.runtime.rmdir()


def _clear(orders: Orders) -> None:
    for left in (path for kind in ("*.metrics", "*.sock", "*.report") for path in orders.runtime.glob(kind)):
        left.unlink(missing_ok=True)


def vacate(orders: Orders, worker: int) -> None:
    """A gateway died: give back what its calls had reserved."""
    release_worker(orders.quota_file, worker)
