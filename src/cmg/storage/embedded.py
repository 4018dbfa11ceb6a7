"""The embedded PostgreSQL: started, shared, watched and stopped by whoever uses its data dir."""

import asyncio
import contextlib
import dataclasses
import logging
import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import asyncpg

from cmg.kit.clock import Clock
from cmg.kit.paths import make_runtime_dir, runtime_dir
from cmg.storage.errors import StorageError
from cmg.storage.server.account import Account, choose_account
from cmg.storage.server.installation import MAJOR, programs
from cmg.storage.server.lease import Lease
from cmg.storage.server.log_follower import LogFollower
from cmg.storage.server.postmaster import Postmaster
from cmg.storage.server.settings import server_settings

__all__ = ["EmbeddedPostgres", "StorageError"]

_START_S = 120.0  # recovery after a crash replays at most a few hundred MB of log
_STOP_S = 30.0
_TURN_S = _START_S + _STOP_S
_WATCH_S = 0.5
_BACKOFF_MAX_S = 30.0
_LOG_BYTES_MAX = 10 * 2**20
_TAIL_BYTES = 2000
_STEP_S = 0.02
_UNFINISHED = "postgres.new-"
_log = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One share in the server of a data dir: PostgreSQL with pgvector, reached over a unix socket only.

    Files are in `<data dir>/postgres`, its log in `<data dir>/postgres.log`. Several processes may each have a
    share; a server that outlived its killed starter is taken over. `settings` are laid over the server's own.
    """

    def __init__(self, data_dir: Path, clock: Clock, *, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._clock = clock
        self._overlay = dict(settings or {})
        self._sockets = runtime_dir(self._data_dir)
        self._lease = Lease(self._data_dir)
        self._follower = LogFollower(self._data_dir / "postgres.log")
        self._postmaster: Postmaster | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data_dir(self) -> Path:
        """The folder whose server this is, absolute."""
        return self._data_dir

    @property
    def dsn(self) -> str:
        """How to connect to the database `cmg` as its owner."""
        return f"postgresql:///cmg?host={self._sockets}&port=5432&user=cmg"

    @property
    def pid(self) -> int | None:
        """The server's first process, None while there is none."""
        return self._postmaster.pid() if self._postmaster else None

    async def start(self) -> str:
        """Start the server or join the running one; returns the DSN. `StorageError` says what to do.

        When it fails or is called off, the share is given back.
        """
        starting = asyncio.get_running_loop().run_in_executor(None, self._start)
        try:
            await asyncio.shield(starting)
            await self._ensure_database()
        except BaseException as error:
            await asyncio.wait([starting])  # a thread cannot be called off: it would bring up a server for nobody
            began = starting.exception()
            if began is None:
                await self.stop()
            elif error is began and isinstance(began, OSError):
                raise StorageError(
                    f"the data dir {self._data_dir} cannot be used: {error}. Run the service as the user who owns it, "
                    "or set CMG_DATA_DIR to a folder of your own"
                ) from error
            raise
        return self.dsn

    async def stop(self) -> bool:
        """Give the share back; stops the server (and returns true) when nobody else has one."""
        return await asyncio.to_thread(self._stop)

    async def watch(self) -> None:
        """Start the server again, with growing pauses, whenever it has died; keeps its log short. Until cancelled."""
        pause_s = _WATCH_S
        while True:
            await self._clock.sleep(pause_s)
            if self._postmaster and self._postmaster.pid() is not None and not self._postmaster.cut_off():
                pause_s = _WATCH_S
                with contextlib.suppress(OSError):  # a full disk must not end the watch
                    self._follower.look()
                    self._shorten_log()
                continue
            _log.warning("the embedded database has stopped: starting it again")
            try:
                await asyncio.to_thread(self._start)
            except (StorageError, OSError) as error:
                pause_s = min(pause_s * 2, _BACKOFF_MAX_S)
                _log.error("the embedded database does not start, next attempt in %g s: %s", pause_s, error)

    def _start(self) -> None:
        self._data_dir.mkdir(parents=True, exist_ok=True)
        with self._lease.turn(_TURN_S):
            self._lease.take()
            try:
                self._postmaster = postmaster = self._prepare()
                if postmaster.cut_off():
                    postmaster.end(_STOP_S)
                if postmaster.pid() is None:
                    self._reap()
                    self._launch(postmaster)
                self._await_ready(postmaster)
            except BaseException:
                if self._process is None:
                    self._lease.let_go()
                raise

    def _prepare(self) -> Postmaster:
        """Everything that must hold before the server can be started or joined."""
        data = self._data_dir / "postgres"
        account = choose_account(data)
        self._open_way(account)
        _check_major(data)
        log = self._data_dir / "postgres.log"
        log.touch(mode=0o600)
        postmaster = Postmaster(programs(self._data_dir, account), data, self._sockets, log, account)
        self._sockets = postmaster.running_sockets() or self._sockets
        self._make_socket_folder(account)
        if not data.exists():
            _create_cluster(postmaster)
        return dataclasses.replace(postmaster, sockets=self._sockets)

    def _open_way(self, account: Account) -> None:
        """Let the server's account pass through the data dir; what lies above is not ours to change."""
        if account.can_enter(self._data_dir):
            return
        self._data_dir.chmod(stat.S_IMODE(self._data_dir.stat().st_mode) | 0o011)
        if not account.can_enter(self._data_dir):
            raise StorageError(
                f"the database runs as user id {account.uid}, who may not enter {self._data_dir}: choose a "
                "CMG_DATA_DIR that every user can reach (as /var/lib/cmg), allow it with chmod o+x on the folders "
                "above, start the service as an ordinary user, or set CMG_DATABASE_URL"
            )

    def _make_socket_folder(self, account: Account) -> None:
        """The folder is in a place where everybody can write: take it only if it is really ours."""
        with contextlib.suppress(FileNotFoundError):
            found = self._sockets.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {account.uid, os.geteuid()}:
                raise StorageError(
                    f"{self._sockets} belongs to somebody else: remove it, or set TMPDIR to a folder of your own"
                )
        try:
            make_runtime_dir(self._sockets)
        except OSError as error:
            raise StorageError(str(error)) from error
        account.own(self._sockets, 0o700)

    def _reap(self) -> None:
        if self._process is not None:
            self._process.poll()

    def _launch(self, postmaster: Postmaster) -> None:
        settings = {**server_settings(), **self._overlay}
        deadline = self._clock.monotonic() + _START_S
        while True:
            said = postmaster.log.stat().st_size
            self._process = process = postmaster.launch(settings)
            while process.poll() is None:
                if postmaster.ready():
                    return
                if self._clock.monotonic() > deadline:
                    raise StorageError(f"the database server is not ready after {_START_S:g} s\n{self._tail()}")
                time.sleep(_STEP_S)
            # Children of a killed server may live for a moment and keep its memory: then the new one has to wait.
            if "shared memory block" not in self._tail(said) or self._clock.monotonic() > deadline:
                self._process = None
                raise StorageError(f"the database server ended at once\n{self._tail(said)}")
            time.sleep(5 * _STEP_S)

    def _await_ready(self, postmaster: Postmaster) -> None:
        """A server of somebody else's may be in the middle of its start, or of recovery."""
        deadline = self._clock.monotonic() + _START_S
        while not postmaster.ready():
            if postmaster.pid() is None or self._clock.monotonic() > deadline:
                raise StorageError(f"the database server cannot be reached\n{self._tail()}")
            time.sleep(_STEP_S)

    def _stop(self) -> bool:
        if self._postmaster is None:
            return False
        with self._lease.turn(_TURN_S):
            if not self._lease.let_go():
                return False
            self._postmaster.end(_STOP_S)
            self._reap()
            self._postmaster.remove_sockets()
            if not any(self._sockets.iterdir()):
                self._sockets.rmdir()
            return True

    async def _ensure_database(self) -> None:
        connection = await asyncpg.connect(self.dsn.replace("///cmg?", "///postgres?"), timeout=30)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = 'cmg'"):
                await connection.execute("CREATE DATABASE cmg")
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            pass  # another process was faster
        finally:
            await connection.close(timeout=5)

    def _shorten_log(self) -> None:
        """Keep one older part of the log; the server appends, so the file can be emptied under it."""
        log = self._data_dir / "postgres.log"
        if log.exists() and log.stat().st_size > _LOG_BYTES_MAX:
            older = log.with_suffix(".log.1")
            older.touch(mode=0o600)
            shutil.copyfile(log, older)
            os.truncate(log, 0)

    def _tail(self, since: int = 0) -> str:
        """The end of what the server logged since that byte."""
        log = self._data_dir / "postgres.log"
        return log.read_bytes()[since:][-_TAIL_BYTES:].decode(errors="replace") if log.exists() else ""


def _check_major(data: Path) -> None:
    if not (data / "PG_VERSION").exists():
        return
    major = (data / "PG_VERSION").read_text().strip()
    if major != MAJOR:
        raise StorageError(
            f"{data} was written by PostgreSQL {major}, this release runs {MAJOR}. To move: run `cmg backup FILE` with "
            "the release that wrote it, set CMG_DATA_DIR to a new folder, and run `cmg restore FILE` with this one"
        )


def _create_cluster(postmaster: Postmaster) -> None:
    """Run initdb beside the final place; only a finished cluster gets the name."""
    for left in postmaster.data.parent.glob(f"{_UNFINISHED}*"):
        shutil.rmtree(left, ignore_errors=True)
    # A name of its own: the initdb of a killed process may still be writing.
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=postmaster.data.parent))
    postmaster.account.own(unfinished, 0o700)
    locale = ("--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8")
    words = ("-U", "cmg", "--auth=trust", "--data-checksums", *locale)
    done = postmaster.account.run([postmaster.programs / "initdb", "-D", unfinished, *words])
    if done.returncode:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise StorageError(f"the database's files could not be created: {done.stderr.strip() or done.stdout.strip()}")
    (unfinished / "pg_hba.conf").write_text(
        "# Who reaches the socket's folder may connect; there is no TCP.\nlocal all all trust\n"
    )
    unfinished.rename(postmaster.data)
