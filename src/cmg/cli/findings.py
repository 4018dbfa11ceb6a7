"""What the doctor looks at. Each check gives its findings and never raises for what it looks at."""

import asyncio
import importlib
import os
import resource
import shutil
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import msgspec
import redis.asyncio
import redis.exceptions

from cmg.app.processes.orders import connections_most
from cmg.config import Settings, UpstreamSettings
from cmg.gateway.routing.upstreams import OPENROUTER, OPENROUTER_URL
from cmg.health.board import Board
from cmg.health.models import Level as HealthLevel
from cmg.health.models import told
from cmg.health.prober import Pace
from cmg.health.reading import Reader, Standing
from cmg.kit.clock import SystemClock
from cmg.kit.paths import EMBEDDER_SOCKET, HEALTH_REPORT, MORE_ROOM, ROOM_BYTES, runtime_dir, too_long
from cmg.memory.embedding.embedder import EmbeddingFailed
from cmg.memory.embedding.engines import NAMES
from cmg.memory.embedding.minilm import ModelUnusable, check_weights, source_folder
from cmg.memory.embedding.socket_client import SocketEmbedder
from cmg.memory.embedding.static import StaticVectors
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.errors import StorageError
from cmg.storage.migrate import applied, migrations
from cmg.telemetry.logs import redact

Level = Literal["ok", "warn", "fail"]
_DEADLINE_S = 5.0
_NEIGHBOUR_S = 1.0  # a program on this machine answers within this, or is none of ours
_DISK_FAIL_BYTES = 256 * 2**20
_DISK_WARN_BYTES = 2 * 2**30
_MAJOR_LEAST = 16
_EMBEDDER_TOLD = "install the packages of requirements.lock again, or choose another memory.embedder"
_OPENROUTER = UpstreamSettings(name=OPENROUTER, base_url=OPENROUTER_URL)


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor's: `next` says what to do about a warning or a failure."""

    check: str
    level: Level
    message: str
    next: str = ""


async def data_dir(settings: Settings) -> list[Finding]:
    """Can the data dir be written, and is there room?"""
    folder = settings.data_dir.resolve()
    there = _nearest(folder)
    if not os.access(there, os.W_OK | os.X_OK):
        told = "choose another CMG_DATA_DIR, or let this user write to it"
        return [Finding("data dir", "fail", f"{there} cannot be written by user id {os.geteuid()}", told)]
    found = Finding("data dir", "ok", str(folder) if there == folder else f"{folder} will be made at the first start")
    free = shutil.disk_usage(there).free
    needed = settings.journal.max_bytes + _DISK_FAIL_BYTES
    room = f"{free / 2**30:.1f} GiB are free"
    told = "make room, or choose a CMG_DATA_DIR on a larger disk"
    if free < needed:
        return [found, Finding("disk", "fail", f"{room}; the journal alone may take {needed / 2**30:.1f}", told)]
    return [
        found,
        Finding("disk", "warn", room, told) if free < needed + _DISK_WARN_BYTES else Finding("disk", "ok", room),
    ]


async def sockets(settings: Settings) -> list[Finding]:
    """Is there room for the sockets, in the folder that TMPDIR names?"""
    check, folder = "sockets", runtime_dir(settings.data_dir)
    there = _nearest(folder)
    figures = os.statvfs(there)
    if not os.access(there, os.W_OK | os.X_OK):
        return [Finding(check, "fail", f"{there} cannot be written by user id {os.geteuid()}", MORE_ROOM)]
    if figures.f_bavail * figures.f_frsize < ROOM_BYTES or (figures.f_files and not figures.f_favail):
        return [Finding(check, "fail", f"{there} is full", MORE_ROOM)]
    if too_long(folder):
        return [Finding(check, "fail", f"the path {folder} is too long for a socket", MORE_ROOM)]
    if not _as_named(folder.parent):
        message = f"TMPDIR is no folder that user id {os.geteuid()} may write to; {folder.parent} is used"
        return [Finding(check, "warn", message, "let this user write to it, or set TMPDIR to another folder")]
    return [Finding(check, "ok", str(folder))]


def _as_named(folder: Path) -> bool:
    """Whether it is the one of TMPDIR, where that is set."""
    named = os.environ.get("TMPDIR")
    return not named or Path(named).absolute() == folder


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


async def database(settings: Settings) -> list[Finding]:
    """Does the database answer, and does it have this release's tables?"""
    if settings.database_url:
        told = "is CMG_DATABASE_URL right, and the server running?"
        return await _look_into(settings.database_url, told, connections_most(settings.workers))
    if not (settings.data_dir / "postgres" / "PG_VERSION").exists():
        return [Finding("database", "ok", "the embedded PostgreSQL will be made at the first start")]
    embedded = EmbeddedPostgres(settings.data_dir, SystemClock())
    try:
        dsn = await embedded.start()
    except (StorageError, OSError) as error:
        return [Finding("database", "fail", f"the embedded PostgreSQL does not start: {error}", "see postgres.log")]
    try:
        return await _look_into(dsn, "see postgres.log in the data dir")
    finally:
        await embedded.stop()


async def _look_into(dsn: str, told: str, connections: int = 0) -> list[Finding]:
    try:
        connection = await asyncpg.connect(dsn, timeout=_DEADLINE_S)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return [Finding("database", "fail", redact(f"cannot be reached: {_reason(error)}"), told)]
    try:
        major = connection.get_server_version().major
        known, present = {one.name for one in migrations()}, set(await applied(connection))
        room = int(await connection.fetchval("SHOW max_connections"))
    finally:
        await connection.close(timeout=_DEADLINE_S)
    rooms = [] if room >= connections else [_too_few(room, connections)]
    return [_schema(major, known, present), *rooms]


def _too_few(room: int, connections: int) -> Finding:
    told = "raise its max_connections above what all machines may use, see docs/operations.md"
    return Finding("connections", "warn", f"the database takes {room}; this machine may use {connections}", told)


def _schema(major: int, known: set[str], present: set[str]) -> Finding:
    what = f"PostgreSQL {major}"
    if major < _MAJOR_LEAST:
        return Finding("database", "fail", what, f"use PostgreSQL {_MAJOR_LEAST} or newer")
    if waiting := len(known - present):
        return Finding("database", "ok", f"{what}; the next start brings {waiting} changes of the schema")
    if newer := len(present - known):
        told = "update this one"
        return Finding("database", "warn", f"{what}; a later release made {newer} changes of its own", told)
    return Finding("database", "ok", f"{what}, the schema is this release's")


async def redis_server(settings: Settings) -> list[Finding]:
    """Does Redis answer, where one is set?"""
    if settings.redis_url is None:
        return [Finding("redis", "ok", "not set: limits hold on this machine; several machines need CMG_REDIS_URL")]
    try:
        client = redis.asyncio.from_url(settings.redis_url, socket_connect_timeout=2, socket_timeout=2)
        async with client:
            version = (await client.info("server"))["redis_version"]
    except (OSError, ValueError, redis.exceptions.RedisError) as error:
        told = "until it answers, limits hold per machine and the cache is cold; is CMG_REDIS_URL right?"
        return [Finding("redis", "fail", redact(f"does not answer: {_reason(error)}"), told)]
    return [Finding("redis", "ok", f"Redis {version}")]


async def upstreams(settings: Settings) -> list[Finding]:
    """Is every upstream configured, and does it answer?"""
    wanted = list(settings.upstreams)
    if settings.openrouter_api_key and all(one.name != _OPENROUTER.name for one in wanted):
        wanted.append(msgspec.structs.replace(_OPENROUTER, api_key=settings.openrouter_api_key))
    if not wanted:
        told = "set OPENROUTER_API_KEY, or add [[upstreams]] to cmg.toml"
        return [Finding("upstreams", "warn", "there is none: only the simulator's sim/* answer", told)]
    timeout = aiohttp.ClientTimeout(total=_DEADLINE_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        return list(await asyncio.gather(*(_upstream(session, one) for one in wanted)))


async def _upstream(session: aiohttp.ClientSession, upstream: UpstreamSettings) -> Finding:
    check, key = f"upstream {upstream.name}", upstream.api_key
    if key and key.startswith("env:"):
        return Finding(check, "warn", f"not configured: its models are 404 until {key[4:]} is set", f"set {key[4:]}")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        async with session.get(f"{upstream.base_url.rstrip('/')}/models", headers=headers) as answer:
            status = answer.status
    except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
        told = f"is {upstream.base_url} right, and may this machine reach it?"
        return Finding(check, "warn", redact(f"cannot be reached: {_reason(error)}"), told)
    if status in {401, 403}:
        return Finding(check, "fail", f"refuses its key ({status})", "give it a valid `api_key`")
    if status >= 500:
        return Finding(check, "warn", f"answers {status}", "try again; calls go to other candidates until then")
    return Finding(check, "ok", "answers" if key else "answers; no key is set for it")


async def embedder(settings: Settings) -> list[Finding]:
    """Can the embedder of the settings work: the running one, or what it would need?"""
    asked = settings.memory.embedder
    if asked == "none":
        return [Finding("embedder", "ok", "none: memory is searched by words alone")]
    if asked not in NAMES:
        return [Finding("embedder", "ok", f"{asked}, asked over its upstream")]
    client = SocketEmbedder(runtime_dir(settings.data_dir) / EMBEDDER_SOCKET)
    try:
        model = await client.describe(_NEIGHBOUR_S)
    except EmbeddingFailed:
        return [await asyncio.to_thread(_model_files, asked)]
    finally:
        await client.close()
    if model.instead_of is None:
        return [Finding("embedder", "ok", f"{model.name} runs")]
    return [Finding("embedder", "warn", f"{model.name} stands in: {model.instead_of}", _EMBEDDER_TOLD)]


def _model_files(asked: str) -> Finding:
    try:
        if asked == "static":
            StaticVectors()
        else:
            check_weights(source_folder())
            importlib.import_module("onnxruntime")
    except (ModelUnusable, ImportError, OSError) as error:
        return Finding("embedder", "warn", f"{NAMES[asked]} cannot be used: {error}", _EMBEDDER_TOLD)
    return Finding("embedder", "ok", f"{NAMES[asked]} can be used; it does not run now")


async def port(settings: Settings) -> list[Finding]:
    """Is the port free, or ours already?"""
    where = f"{settings.host}:{settings.port}"
    if await _is_ours(settings):
        return [Finding("port", "ok", f"{where}: the service runs there")]
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        return [Finding("port", "fail", f"{where} cannot be listened on: {error.strerror}", "set CMG_PORT or CMG_HOST")]
    return [Finding("port", "ok", f"{where} is free")]


async def _is_ours(settings: Settings) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  compared, not bound
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    try:
        timeout = aiohttp.ClientTimeout(total=_NEIGHBOUR_S)
        async with aiohttp.request("GET", f"{url}:{settings.port}/health", timeout=timeout) as answer:
            return b"context-memory-gateway" in await answer.content.read(4096)
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def machine(settings: Settings) -> list[Finding]:
    """May the processes open as many files as there may be connections? Is an open port behind a proxy?"""
    found = []
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if allowed != resource.RLIM_INFINITY and allowed < 2 * settings.limits.connections + 256:
        told = "raise it (ulimit -n, LimitNOFILE), or lower limits.connections"
        found.append(Finding("open files", "warn", f"a process may open {allowed}", told))
    else:
        found.append(Finding("open files", "ok", "the limit is high enough"))
    if settings.host not in {"127.0.0.1", "::1", "localhost"}:
        told = "keys travel in clear text: put a proxy with TLS in front of it"
        found.append(Finding("network", "warn", f"the service listens on {settings.host}", told))
    for name, value in (("CMG_DATABASE_URL", settings.database_url), ("CMG_REDIS_URL", settings.redis_url)):
        if value and not urlsplit(value).scheme:
            found.append(Finding("settings", "fail", f"{name} is no URL", "write it as postgresql://… or redis://…"))
    return found


def standing_of(settings: Settings) -> Standing | None:
    """What the prober of this data dir found last; None when none has written since the last start."""
    board = Board(runtime_dir(settings.data_dir) / HEALTH_REPORT)
    if board.read() is None:
        return None
    return Reader(board, Pace(settings.health.interval_s, settings.health.deadline_s), SystemClock()).standing()


async def health(settings: Settings) -> list[Finding]:
    """What does the running service itself find?"""
    standing = standing_of(settings)
    if standing is None:
        return [Finding("health", "ok", "no service runs on this data dir")]
    if standing.silent:
        told_next = "start the service, or end its background process if it runs: it stands still"
        return [Finding("health", "warn", "nobody has looked for a while: the service does not run", told_next)]
    bad = [state for state in standing.states if state.level > HealthLevel.HEALTHY]
    if not bad:
        return [Finding("health", "ok", "the running service finds everything well")]
    next_step = "see `output` in /health/detailed, or `cmg health`"
    return [
        Finding(
            f"health of {state.component.name}",
            "fail" if state.level >= HealthLevel.UNHEALTHY and standing.level >= HealthLevel.UNHEALTHY else "warn",
            f"{state.level.name}: {told(state.readings)}",
            next_step,
        )
        for state in bad
    ]


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


CHECKS: tuple[Callable[[Settings], Awaitable[list[Finding]]], ...] = (
    data_dir,
    sockets,
    database,
    redis_server,
    upstreams,
    embedder,
    port,
    health,
    machine,
)
