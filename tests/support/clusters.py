"""PostgreSQL's files as a first start leaves them, made once on a machine and copied for every server of a test.

To make them takes two seconds of a core, to copy them a third of one. What makes them is in their name.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from cmg.kit.clock import SystemClock
from cmg.storage import embedded
from cmg.storage.embedded import EmbeddedPostgres
from cmg.storage.migrate import migrate, migrations
from cmg.storage.server.installation import MAJOR
from support.apart import run_apart

# Tests do not outlive the machine: no need to wait for its disk.
UNSAFE = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
# A third of the files. Who finds the database `cmg` makes no other, and needs nothing to make one of.
_LEAN = (
    "UPDATE pg_database SET datistemplate = false WHERE datname LIKE 'template_'",
    "DROP DATABASE template0",
    "DROP DATABASE template1",
)


def open_folder(name: str) -> Path:
    """A folder of the tests' own, with mode 0755: pytest's cannot be entered by an unprivileged user."""
    root = Path(tempfile.gettempdir()) / "cmg-tests"
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    folder = root / name
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


def lend_cluster(data_dir: Path, *, migrated: bool) -> None:
    """Give a data dir a cluster, unless it has one: with the present schema in the database `cmg`, or without."""
    if (data_dir / "postgres").exists():
        return
    made = [MAJOR, Path(embedded.__file__).read_text(), str(os.geteuid()), repr(UNSAFE)]
    if migrated:
        made += [*_LEAN, *(one.sha256 for one in migrations())]
    folder = open_folder(f"cluster-{hashlib.sha256(''.join(made).encode()).hexdigest()[:16]}")
    with _alone(folder):
        if not (folder / "postgres").exists():
            _make(folder, migrated=migrated)
    _copy(folder / "postgres", data_dir / "postgres")


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "made.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(folder: Path, *, migrated: bool) -> None:
    place = open_folder(f"{folder.name}-new")
    shutil.rmtree(place / "postgres", ignore_errors=True)
    server = EmbeddedPostgres(place, SystemClock(), settings=UNSAFE)
    run_apart(server.start())
    if migrated:
        run_apart(migrate(server.dsn))
        run_apart(_made_lean(server.dsn))
    assert run_apart(server.stop())
    with (place / "postgres" / "postgresql.auto.conf").open("a") as settings:
        settings.writelines(f"{name} = {value}\n" for name, value in UNSAFE.items())
    (place / "postgres").rename(folder / "postgres")
    shutil.rmtree(place)


async def _made_lean(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in _LEAN:
            await connection.execute(statement)
    finally:
        await connection.close()


def _copy(source: Path, target: Path) -> None:
    """With owners and modes; the name comes last, as initdb's does."""
    unfinished = target.with_name(f"{target.name}.lent")
    subprocess.run(["cp", "-a", "--reflink=auto", str(source), str(unfinished)], check=True)
    unfinished.rename(target)
