"""One embedded PostgreSQL for a whole test run, shared by its worker processes; a migrated database per test."""

import asyncio
import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

import asyncpg

from cmg.kit.clock import SystemClock
from cmg.kit.paths import runtime_dir
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.migrate import migrate, migrations
from support.apart import run_apart
from support.clusters import UNSAFE, lend_cluster, open_folder
from support.processes import alive, command_line, kill
from support.used_database import STRANGERS, Pristine

_OWNER = "owner.pid"
_TEMPLATE_LOCK = 0x636D6700


class TestServer:
    """The run's server. Databases are copies of a template that is named by the migrations it was made of."""

    __test__ = False

    def __init__(self, run: str) -> None:
        remove_abandoned()
        self.folder = open_folder(f"run-{run}")
        self.server = EmbeddedPostgres(self.folder, SystemClock(), settings=UNSAFE)
        self._pristine: Pristine | None = None
        self._migrated: set[str] = set()
        self._kept: dict[str, asyncpg.Connection] = {}  # in the loop of `_admin`
        self.free: list[str] = []
        run_apart(self.server.start())
        self._admin = _Admin(self.dsn("postgres"))

    def close(self) -> None:
        """Let it go; the last worker process of the run stops it and removes its files."""
        self._admin.close(self._kept.values())
        (self.folder / _OWNER).write_text(str(os.getpid()))  # while it stops, another run could take it for abandoned
        if run_apart(self.server.stop()):
            shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        """The DSN of one database on the server."""
        return self.server.dsn.replace("///cmg?", f"///{database}?")

    async def create(self, *, migrated: bool = True) -> str:
        """A fresh database (empty, or with the present schema) that no other test has now; returns its DSN."""
        if migrated and (name := await self._admin.run(self._free_one())):
            self._migrated.add(name)
            return self.dsn(name)
        name = f"test_{uuid.uuid4().hex[:16]}"
        template = await self._admin.run(self._template()) if migrated else "template0"
        # Its files are copied: page by page through the log takes five times as long.
        await self._admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        if migrated:
            self._migrated.add(name)
            self._pristine = self._pristine or await Pristine.read(self.dsn(name))
        return self.dsn(name)

    async def drop(self, dsn: str) -> None:
        """Take a database back, whoever is still connected: it is made as new for the next test, or dropped."""
        name = dsn.split("///", 1)[1].split("?", 1)[0]
        if name in self._migrated:
            self._migrated.discard(name)
            if await self._admin.run(self._restored(name)):
                self.free.append(name)
                return
        await self._admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def _free_one(self) -> str | None:
        """One that is as new; where somebody came back into it meanwhile, it is dropped."""
        while self.free:
            name = self.free.pop()
            if not await (await self._kept_on(name)).fetchval(STRANGERS):
                return name
            await (await self._admin.connection()).execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        return None

    async def _restored(self, name: str) -> bool:
        """Whether a used database is as new again."""
        assert self._pristine is not None
        try:
            return await self._pristine.restore(await self._kept_on(name))
        except (
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,  # the server said goodbye while nobody was looking
        ):
            self._kept[name].terminate()  # a test sent everybody away
            return await self._pristine.restore(await self._kept_on(name))

    async def _kept_on(self, name: str) -> asyncpg.Connection:
        """A connection to a database that stays: one that is new takes ten times as long to look for what was used."""
        kept = self._kept.get(name)
        if kept is None or kept.is_closed():
            kept = self._kept[name] = await asyncpg.connect(self.dsn(name))
        return kept

    async def _template(self) -> str:
        admin = await self._admin.connection()
        digest = hashlib.sha256("".join(f"{one.name}{one.sha256}" for one in migrations()).encode())
        name = f"template_{digest.hexdigest()[:16]}"
        exists = "SELECT 1 FROM pg_database WHERE datname = $1"
        if await admin.fetchval(exists, name):
            return name
        await admin.execute("SELECT pg_advisory_lock($1)", _TEMPLATE_LOCK)
        try:
            if not await admin.fetchval(exists, name):
                unfinished = f"{name}_new"
                await admin.execute(f'DROP DATABASE IF EXISTS "{unfinished}"')
                await admin.execute(f'CREATE DATABASE "{unfinished}"')
                await migrate(self.dsn(unfinished))
                await admin.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')
        finally:
            await admin.execute("SELECT pg_advisory_unlock($1)", _TEMPLATE_LOCK)
        return name


class _Admin:
    """One connection that makes and drops every database, in a loop of its own, since each test has another loop."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What it returns, run in that loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))

    async def execute(self, statement: str) -> None:
        """Run a statement, one at a time."""

        async def executed() -> None:
            await (await self.connection()).execute(statement)

        await self.run(executed())

    async def connection(self) -> asyncpg.Connection:
        """The connection; only for that loop."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(self._dsn)
        return self._connection

    def close(self, others: Iterable[asyncpg.Connection]) -> None:
        """Close it and others of the same loop, and end the loop."""
        for one in (self._connection, *others):
            if one is not None and not one.is_closed():
                asyncio.run_coroutine_threadsafe(one.close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


class OwnPostgres:
    """A server to stop and to start again under the same DSN; its data stays until `close`."""

    def __init__(self) -> None:
        self._folder = open_folder(f"own-{uuid.uuid4().hex[:8]}")
        (self._folder / _OWNER).write_text(str(os.getpid()))
        lend_cluster(self._folder, migrated=False)
        self._server = EmbeddedPostgres(self._folder, SystemClock(), settings=UNSAFE)
        self.start()

    @property
    def dsn(self) -> str:
        """Where it is, running or not."""
        return self._server.dsn

    def start(self) -> None:
        """Start it."""
        run_apart(self._server.start())

    def stop(self) -> None:
        """Stop it and wait for its end; connections are closed."""
        assert run_apart(self._server.stop())

    def close(self) -> None:
        """Stop it if it runs, and remove its data."""
        run_apart(self._server.stop())
        shutil.rmtree(self._folder, ignore_errors=True)


def _owned(folder: Path) -> bool:
    """Whether a test that runs means to start this server again, or to stop it."""
    file = folder / _OWNER
    return file.exists() and alive(int(file.read_text()))


def remove_abandoned() -> None:
    """Stop and remove what killed test runs left behind: their locks tell that nobody is there."""
    root = Path(tempfile.gettempdir()) / "cmg-tests"
    for folder in (*root.glob("run-*"), *root.glob("own-*")):
        users = folder / "postgres.users.lock"
        if not users.exists() or _owned(folder):
            continue
        handle = os.open(users, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            pid_file = folder / "postgres" / "postmaster.pid"
            pid = int(pid_file.read_text().split()[0]) if pid_file.exists() else 0
            if pid and str(folder) in command_line(pid):
                kill(pid, signal.SIGQUIT)
            shutil.rmtree(runtime_dir(folder), ignore_errors=True)
            shutil.rmtree(folder, ignore_errors=True)
        except (BlockingIOError, OSError, ValueError):
            continue
        finally:
            os.close(handle)
