"""The embedded server: started, shared, stopped; and every state in which one may be found."""

import asyncio
import os
import shutil
import stat
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from cmg.kit.clock import SystemClock
from cmg.kit.paths import runtime_dir
from cmg.storage.embedded import EmbeddedPostgres, StorageError
from cmg.storage.server import installation
from support.apart import run_apart
from support.clusters import UNSAFE, open_folder
from support.processes import alive, kill, wait_until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another user")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """A data dir whose server was stopped, to copy from: faster than making one for every test."""
    data = open_folder(f"cluster-{uuid.uuid4().hex[:8]}")
    server = EmbeddedPostgres(data, SystemClock(), settings=UNSAFE)
    run_apart(server.start())
    run_apart(server.stop())
    yield data
    shutil.rmtree(data)


@pytest.fixture
async def data_dir(cluster: Path) -> AsyncIterator[Path]:
    """A data dir of this test alone, with a stopped server's files; whatever runs in it at the end is killed."""
    folder = open_folder(f"embedded-{uuid.uuid4().hex[:8]}")
    shutil.copytree(cluster / "postgres", folder / "postgres")
    for path in (folder / "postgres", *(folder / "postgres").rglob("*")):
        os.chown(path, (cluster / "postgres").stat().st_uid, (cluster / "postgres").stat().st_gid)
    yield folder
    pid_file = folder / "postgres" / "postmaster.pid"
    if pid_file.exists() and (pid := int(pid_file.read_text().split()[0])) != os.getpid() and alive(pid):
        kill(pid)
    shutil.rmtree(folder)
    shutil.rmtree(runtime_dir(folder), ignore_errors=True)


def embedded(folder: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(folder, SystemClock(), settings=UNSAFE)


def owner(pid: int) -> int:
    """The user id a process runs under."""
    return Path(f"/proc/{pid}").stat().st_uid


async def value(dsn: str, sql: str):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_server_starts_from_nothing_answers_and_stops():
    folder = open_folder(f"embedded-{uuid.uuid4().hex[:8]}") / "data"
    server = embedded(folder)
    dsn = await server.start()
    assert await value(dsn, "SELECT current_user || '@' || current_database()") == "cmg@cmg"
    assert await value(dsn, "SHOW server_encoding") == "UTF8"
    assert await value(dsn, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(runtime_dir(folder).stat().st_mode) == 0o700
    assert (folder / "postgres").stat().st_uid == runtime_dir(folder).stat().st_uid
    pid = server.pid
    assert await server.stop()
    assert not alive(pid)
    assert not runtime_dir(folder).exists()
    shutil.rmtree(folder.parent)


async def test_vectors_are_at_hand(data_dir):
    server = embedded(data_dir)
    dsn = await server.start()
    await value(dsn, "CREATE EXTENSION vector")
    assert await value(dsn, "SELECT ('[1,2]'::halfvec <-> '[1,4]'::halfvec)::int") == 2
    await server.stop()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="page faults are told by Linux")
async def test_a_statement_finds_the_memory_of_the_one_before(data_dir):
    server = embedded(data_dir)
    connection = await asyncpg.connect(await server.start())
    try:

        def faults() -> int:
            told = Path(f"/proc/{connection.get_server_pid()}/stat").read_text().rpartition(")")[2]
            return int(told.split()[7])

        async def use_a_megabyte() -> None:
            await connection.fetchval("SELECT cardinality(array_agg(n)) FROM generate_series(1, 20000) AS n")

        for _ in range(5):
            await use_a_megabyte()
        before = faults()
        for _ in range(20):
            await use_a_megabyte()
        assert (faults() - before) / 20 < 20  # 90 where it goes back to the system each time
    finally:
        await connection.close()
        await server.stop()


async def test_two_share_a_server_and_the_last_one_stops_it(data_dir):
    one, two = embedded(data_dir), embedded(data_dir)
    dsn = await one.start()
    assert await two.start() == dsn
    assert one.pid == two.pid
    assert not await one.stop()
    assert await value(dsn, "SELECT 1") == 1
    assert await two.stop()
    assert two.pid is None
    assert not await two.stop()


async def test_stopped_server_starts_again_with_its_rows(data_dir):
    server = embedded(data_dir)
    dsn = await server.start()
    await value(dsn, "CREATE TABLE kept AS SELECT 5 AS n")
    await server.stop()
    assert await server.start() == dsn
    assert await value(dsn, "SELECT n FROM kept") == 5
    await server.stop()


async def test_pid_file_of_a_killed_server_does_not_stand_in_the_way(data_dir):
    """The process id in it may belong to anybody by now: here to this test."""
    server = embedded(data_dir)
    dsn = await server.start()
    kill(server.pid)
    wait_until(lambda: server.pid is None, 10, "the server is dead")
    pid_file = data_dir / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    assert await server.start() == dsn
    assert await value(dsn, "SELECT 1") == 1
    await server.stop()


async def test_files_of_another_major_say_how_to_move(data_dir):
    (data_dir / "postgres" / "PG_VERSION").write_text("16\n")
    with pytest.raises(StorageError, match=r"PostgreSQL 16, this release runs 18.*cmg backup.*cmg restore"):
        await embedded(data_dir).start()


async def test_unfinished_first_start_is_begun_anew(data_dir):
    (data_dir / "postgres").rename(data_dir / "postgres.new-1")
    server = embedded(data_dir)
    assert await value(await server.start(), "SELECT 1") == 1
    assert not list(data_dir.glob("postgres.new-*"))
    await server.stop()


async def test_server_that_cannot_start_says_what_its_log_says(data_dir):
    server = EmbeddedPostgres(data_dir, SystemClock(), settings={"shared_buffers": "nonsense"})
    with pytest.raises(StorageError, match="shared_buffers"):
        await server.start()
    # The failed one holds nothing back.
    other = embedded(data_dir)
    await other.start()
    assert await other.stop()


async def test_socket_folder_of_somebody_else_is_not_used(data_dir):
    place = runtime_dir(data_dir)
    place.mkdir()
    os.chown(place, 12345, 12345)
    with pytest.raises(StorageError, match="belongs to somebody else"):
        await embedded(data_dir).start()
    place.rmdir()
    place.symlink_to("/tmp")
    with pytest.raises(StorageError, match="belongs to somebody else"):
        await embedded(data_dir).start()
    place.unlink()


async def test_server_whose_socket_was_cleaned_away_is_started_again(data_dir):
    server = embedded(data_dir)
    dsn = await server.start()
    shutil.rmtree(runtime_dir(data_dir))
    assert await embedded(data_dir).start() == dsn
    assert await value(dsn, "SELECT 1") == 1
    await server.stop()


async def test_running_server_is_found_from_another_temporary_folder(data_dir, tmp_path, monkeypatch):
    server = embedded(data_dir)
    dsn = await server.start()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    other = embedded(data_dir)
    assert await other.start() == dsn
    assert not await other.stop()
    assert await server.stop()


async def test_log_keeps_one_older_part(data_dir):
    server = embedded(data_dir)
    dsn = await server.start()
    log = data_dir / "postgres.log"
    with log.open("ab") as file:
        file.write(b"x" * (11 * 2**20))
    server._shorten_log()
    await value(dsn, "DO $$ BEGIN RAISE WARNING 'still logging'; END $$")
    assert (data_dir / "postgres.log.1").stat().st_size > 11 * 2**20
    assert "still logging" in log.read_text()
    assert log.stat().st_size < 10_000
    await server.stop()


@as_root
async def test_as_root_the_closed_data_dir_is_opened_and_nothing_above_it(data_dir):
    (data_dir).chmod(0o700)
    above = stat.S_IMODE(data_dir.parent.stat().st_mode)
    server = embedded(data_dir)
    await server.start()
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o711
    assert stat.S_IMODE(data_dir.parent.stat().st_mode) == above
    assert owner(server.pid) != 0
    await server.stop()


@as_root
async def test_as_root_below_a_closed_folder_the_error_says_what_to_do(tmp_path):
    tmp_path.chmod(0o700)
    with pytest.raises(StorageError, match="chmod o\\+x"):
        await embedded(tmp_path / "data").start()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@as_root
async def test_as_root_unreachable_programs_are_copied_beside_the_data(data_dir, tmp_path, monkeypatch):
    package = installation._package()
    tmp_path.chmod(0o700)
    hidden = tmp_path / "site-packages"
    hidden.mkdir()
    for part in (package.name, f"{package.name}.libs"):
        shutil.copytree(package.parent / part, hidden / part, ignore=shutil.ignore_patterns("pginstall", "include"))
    monkeypatch.setattr(installation, "_package", lambda: hidden / package.name)
    server = embedded(data_dir)
    assert await value(await server.start(), "SELECT 1") == 1
    assert (data_dir / "postgres-18-programs").is_dir()
    await server.stop()
    monkeypatch.setattr(installation, "_copy", None)  # the copy is used again
    await server.start()
    await server.stop()


@pytest.mark.parametrize("up", [False, True])
async def test_a_start_that_is_called_off_leaves_no_server(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, *, up: bool
):
    server, reached = embedded(data_dir), asyncio.Event()

    async def forever() -> None:
        reached.set()
        await asyncio.sleep(60)

    monkeypatch.setattr(server, "_ensure_database", forever)
    starting = asyncio.create_task(server.start())
    await (reached.wait() if up else asyncio.sleep(0))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await asyncio.sleep(0.5)  # what was begun in a thread goes on to its end
    assert server.pid is None
    again = embedded(data_dir)
    await again.start()
    assert await again.stop(), "nobody else has a share"


async def test_a_server_without_its_database_is_not_left(data_dir: Path, monkeypatch: pytest.MonkeyPatch):
    server = embedded(data_dir)

    async def refused() -> None:
        raise StorageError("no")

    monkeypatch.setattr(server, "_ensure_database", refused)
    with pytest.raises(StorageError, match="no"):
        await server.start()
    assert server.pid is None
