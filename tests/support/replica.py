"""A PostgreSQL with a replica: both real, the replica to be held up, let go on, and stopped."""

import shutil
import signal
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg

from cmg.kit.clock import SystemClock
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.server.account import choose_account
from cmg.storage.server.installation import programs
from support.apart import run_apart
from support.clusters import UNSAFE, open_folder
from support.processes import kill

_STREAMING = {"wal_level": "replica", "max_wal_senders": "4"}


class ReplicatedPostgres:
    """The primary is at `dsn`."""

    def __init__(self) -> None:
        self._folder = open_folder(f"run-own-{uuid.uuid4().hex[:8]}")
        self._primary = EmbeddedPostgres(self._folder, SystemClock(), settings={**UNSAFE, **_STREAMING})
        self.dsn = run_apart(self._primary.start())
        run_apart(self._let_in())
        self._account = choose_account(self._folder / "postgres")
        self._programs = programs(self._folder, self._account)
        self._data = self._folder / "replica"
        self._data.mkdir()
        self._account.own(self._data, 0o700)
        told = parse_qs(urlsplit(self.dsn).query)
        where = ["-h", told["host"][0], "-p", told.get("port", ["5432"])[0], "-U", told["user"][0]]
        self._run("pg_basebackup", *where, "-D", self._data, "-R", "-X", "stream", "-c", "fast")
        wanted = {**UNSAFE, **_STREAMING, "listen_addresses": "", "unix_socket_directories": str(self._data)}
        options = " ".join(f"-c {name}='{value}'" for name, value in wanted.items())
        self._run("pg_ctl", "-D", self._data, "-l", self._data / "log", "-w", "-o", options, "start")

    async def _let_in(self) -> None:
        with (self._folder / "postgres" / "pg_hba.conf").open("a") as rules:
            rules.write("local replication all trust\n")
        connection = await asyncpg.connect(self.dsn)
        await connection.execute("SELECT pg_reload_conf()")
        await connection.close()

    def _run(self, program: str, *words: str | Path) -> None:
        done = self._account.run([self._programs / program, *words])
        assert done.returncode == 0, done.stdout + done.stderr

    def _signal(self, one: signal.Signals) -> None:
        kill(self._receiver, one)

    @property
    def _receiver(self) -> int:
        """The process of the replica that takes and answers what the primary sends."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        for task in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"walreceiver" in Path(f"/proc/{task}/cmdline").read_bytes():
                return int(task)
        raise AssertionError("the replica receives nothing")

    def hold(self) -> None:
        """The replica stands still: it neither takes nor answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It catches up."""
        self._signal(signal.SIGCONT)

    def stop_replica(self) -> None:
        """It is gone."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def close(self) -> None:
        """Stop both and remove them."""
        self._account.run([self._programs / "pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop"])
        run_apart(self._primary.stop())
        shutil.rmtree(self._folder, ignore_errors=True)
