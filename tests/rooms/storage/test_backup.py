"""Backup and restore rehearsed: everything comes back, damage is noticed, nothing is written over."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import asyncpg
import pytest

from cmg.storage.archive.container import ArchiveReader, ArchiveWriter
from cmg.storage.archive.unfinished import Unfinished
from cmg.storage.backup import backup, restore, verify_archive
from cmg.storage.errors import StorageError


@pytest.fixture
async def filled(dsn: str, tmp_path: Path) -> tuple[str, Path]:
    """A database with rows of many kinds (in tables like the rooms'), and a data dir with a spool."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE audit_head SET last_seq = 41")
    await connection.execute(
        "INSERT INTO changes (topic, ids, at) SELECT 'keys', ARRAY['a', E'tab\\t\\\\ \"quoted\" ü', NULL], "
        "'2026-11-24T00:00:00Z' FROM generate_series(1, 500)"
    )
    await connection.execute(
        "INSERT INTO pgqueuer (priority, status, entrypoint, payload, headers) "
        "VALUES (1, 'queued', 'job', '\\x00ff', '{\"a\": [1, null]}')"
    )
    await connection.close()
    data = tmp_path / "data"
    worker = data / "spool" / "0192" / "refused"
    worker.mkdir(parents=True)
    (worker.parent / "0.jnl").write_bytes(bytes(range(256)) * 1000)
    (worker.parent / "owner.lock").touch()
    (worker / "bad.json").write_text("{}")
    return dsn, data


async def contents(dsn: str) -> dict[str, list[str]]:
    """Every row of every table as text."""
    connection = await asyncpg.connect(dsn)
    names = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition AND relname <> 'schema_migrations' ORDER BY 1"
    )
    rows = {
        name: [row["line"] for row in await connection.fetch(f'SELECT t::text AS line FROM "{name}" t ORDER BY 1')]
        for (name,) in names
    }
    await connection.close()
    return rows


async def test_everything_comes_back(filled, empty_dsn, tmp_path):
    dsn, data = filled
    written = await backup(dsn, data, tmp_path / "b.tar")
    assert stat.S_IMODE((tmp_path / "b.tar").stat().st_mode) == 0o600
    assert sorted(path.name for path in data.iterdir()) == ["spool"]
    assert verify_archive(tmp_path / "b.tar") == written
    fresh = tmp_path / "fresh"
    assert await restore(tmp_path / "b.tar", empty_dsn, fresh) == written
    assert await contents(empty_dsn) == await contents(dsn)
    assert written.rows == sum(map(len, (await contents(dsn)).values()))
    segment = Path("spool/0192/0.jnl")
    assert (fresh / segment).read_bytes() == (data / segment).read_bytes()
    assert not (fresh / "spool/0192/owner.lock").exists()


async def test_restored_database_goes_on_where_the_other_was(filled, empty_dsn, tmp_path):
    await backup(*filled, tmp_path / "b.tar")
    await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh")
    connection = await asyncpg.connect(empty_dsn)
    insert = "INSERT INTO changes (topic, ids, at) VALUES ('t', '{}', '2026-11-24T00:00:00Z') RETURNING version"
    assert await connection.fetchval(insert) == 502
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("TRUNCATE audit_entries")
    await connection.close()


async def test_partitions_come_back_as_they_were(filled, empty_dsn, tmp_path):
    dsn, data = filled
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "CREATE TABLE usage_records_p203001 PARTITION OF usage_records FOR VALUES FROM ('2030-01-01') TO ('2030-02-01')"
    )
    await connection.close()
    await backup(dsn, data, tmp_path / "b.tar")
    await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh")
    connection = await asyncpg.connect(empty_dsn)
    bound = "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'usage_records_p203001'"
    assert "2030-01-01" in await connection.fetchval(bound)
    await connection.close()


async def test_backup_beside_writers_is_of_one_moment(filled, tmp_path):
    dsn, data = filled
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE pairs_a (n int); CREATE TABLE pairs_b (n int)")
    stopped = asyncio.Event()

    async def write():
        n = 0
        while not stopped.is_set():
            n += 1
            async with connection.transaction():
                await connection.execute("INSERT INTO pairs_a VALUES ($1)", n)
                await connection.execute("INSERT INTO pairs_b VALUES ($1)", n)

    writer = asyncio.create_task(write())
    manifest = await backup(dsn, data, tmp_path / "b.tar")
    stopped.set()
    await writer
    await connection.close()
    rows = {table.name: table.rows for table in manifest.database.tables}
    assert rows["pairs_a"] == rows["pairs_b"]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
async def test_damaged_archive_is_refused_before_anything_changes(filled, empty_dsn, tmp_path, place):
    file = tmp_path / "b.tar"
    await backup(*filled, file)
    with tarfile.open(file) as tar:
        members = [one for one in tar.getmembers() if one.size > 20]
        member = members[int(len(members) * place)]
    damaged = bytearray(file.read_bytes())
    damaged[member.offset_data + 12] ^= 0xFF
    file.write_bytes(damaged)
    with pytest.raises(StorageError, match="is damaged or no backup"):
        await restore(file, empty_dsn, tmp_path / "fresh")
    assert await contents(empty_dsn) == {}
    assert not (tmp_path / "fresh").exists()


@pytest.mark.parametrize("kept", [0, 100, 0.5])
async def test_archive_cut_short_is_refused(filled, tmp_path, kept):
    file = tmp_path / "b.tar"
    await backup(*filled, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * kept) if kept < 1 else kept])
    with pytest.raises(StorageError, match="damaged or no backup"):
        verify_archive(file)


async def test_database_with_tables_is_not_written_over(filled, tmp_path):
    await backup(*filled, tmp_path / "b.tar")
    with pytest.raises(StorageError, match="not empty"):
        await restore(tmp_path / "b.tar", filled[0], tmp_path / "fresh")


async def test_spool_with_records_is_not_written_over(filled, empty_dsn, tmp_path):
    await backup(*filled, tmp_path / "b.tar")
    with pytest.raises(StorageError, match="spool is not empty"):
        await restore(tmp_path / "b.tar", empty_dsn, filled[1])
    assert await contents(empty_dsn) == {}


async def killed(where: str, *args: str) -> None:
    """Restore up to a point, and kill -9."""
    script = Path(__file__).with_name("killed_restore.py")
    process = await asyncio.create_subprocess_exec(sys.executable, script, *args, where, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"hanging\n"
    process.kill()
    await process.wait()


@pytest.mark.parametrize("where", ["rows", "files", "commit"])
async def test_a_killed_restore_is_named_and_can_be_done_again(filled, empty_dsn, tmp_path, where):
    dsn, data = filled
    file, fresh = tmp_path / "b.tar", tmp_path / "fresh"
    written = await backup(dsn, data, file)
    await killed(where, str(file), empty_dsn, str(fresh))
    with pytest.raises(StorageError, match="cut off"):
        Unfinished(fresh).refuse()
    assert await restore(file, empty_dsn, fresh) == written
    Unfinished(fresh).refuse()
    assert await contents(empty_dsn) == await contents(dsn)
    segment = Path("spool/0192/0.jnl")
    assert (fresh / segment).read_bytes() == (data / segment).read_bytes()


@pytest.mark.parametrize("where", ["rows", "files"])
async def test_another_backup_may_take_the_place_of_one_whose_restore_was_killed(filled, empty_dsn, tmp_path, where):
    dsn, data = filled
    fresh = tmp_path / "fresh"
    await backup(dsn, data, tmp_path / "first.tar")
    await killed(where, str(tmp_path / "first.tar"), empty_dsn, str(fresh))
    (data / "spool/0192/0.jnl").rename(data / "spool/0192/1.jnl")
    await backup(dsn, data, tmp_path / "second.tar")
    await restore(tmp_path / "second.tar", empty_dsn, fresh)
    assert [path.name for path in (fresh / "spool/0192").glob("*.jnl")] == ["1.jnl"]


async def test_a_killed_restore_of_another_backup_is_not_taken_for_this_one(filled, empty_dsn, tmp_path):
    await backup(*filled, tmp_path / "first.tar")
    await killed("commit", str(tmp_path / "first.tar"), empty_dsn, str(tmp_path / "fresh"))
    (filled[1] / "spool/0192/0.jnl").write_bytes(b"later")
    await backup(*filled, tmp_path / "second.tar")
    with pytest.raises(StorageError, match="not empty"):
        await restore(tmp_path / "second.tar", empty_dsn, tmp_path / "fresh")


async def test_a_restore_that_fails_leaves_nothing(filled, empty_dsn, tmp_path, monkeypatch):
    await backup(*filled, tmp_path / "b.tar")
    files = []

    def full(archive: ArchiveReader, data_dir: Path) -> None:
        archive.extract(archive.manifest.files[:1], data_dir)
        files.extend(path for path in data_dir.rglob("*") if path.is_file())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("cmg.storage.backup._restore_files", full)
        with pytest.raises(OSError, match="No space left"):
            await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh")
    assert len(files) == 2, "the mark and a file"
    assert await contents(empty_dsn) == {}
    assert list((tmp_path / "fresh").iterdir()) == []
    await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh")


async def test_backup_never_writes_over_a_file_and_leaves_nothing_when_it_fails(filled, tmp_path):
    (tmp_path / "b.tar").write_text("mine")
    with pytest.raises(StorageError, match="exists already"):
        await backup(*filled, tmp_path / "b.tar")
    with pytest.raises(StorageError, match="no folder"):
        await backup(*filled, tmp_path / "nowhere" / "b.tar")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar", "data"]
    assert (tmp_path / "b.tar").read_text() == "mine"


async def test_backup_of_a_later_release_is_refused(filled, empty_dsn, tmp_path):
    connection = await asyncpg.connect(filled[0])
    await connection.execute("INSERT INTO schema_migrations VALUES ('9999_future', 'x', '2030-01-01T00:00:00Z')")
    await connection.close()
    await backup(*filled, tmp_path / "b.tar")
    with pytest.raises(StorageError, match="9999_future"):
        await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh")


async def test_audit_check_has_the_last_word(filled, empty_dsn, tmp_path):
    await backup(*filled, tmp_path / "b.tar")
    asked = []

    async def audit(dsn: str) -> str | None:
        asked.append(dsn)
        return "the audit trail is broken at entry 7"

    with pytest.raises(StorageError, match="broken at entry 7"):
        await restore(tmp_path / "b.tar", empty_dsn, tmp_path / "fresh", audit=audit)
    assert asked == [empty_dsn]


async def test_what_a_killed_backup_left_goes_with_a_later_one(filled, tmp_path, monkeypatch):
    """After kill -9 in its middle: tables in plain text, and most of the archive, lie beside the backups."""
    folder, (dsn, data) = tmp_path / "backups", filled
    folder.mkdir()
    (folder / ".cmg-backup-of-mine").write_text("no folder of a backup")

    def killed(*_: object, **__: object) -> None:
        shutil.copytree(folder, tmp_path / "at the kill")
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(ArchiveWriter, "seal", killed)
        with pytest.raises(RuntimeError):
            await backup(dsn, data, folder / "b.tar")
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "at the kill", folder)
    left = {path.name for path in folder.iterdir()} - {".cmg-backup-of-mine"}
    assert left, "the files of the kill"
    await backup(dsn, data, folder / "now.tar")
    assert left <= {path.name for path in folder.iterdir()}, "it may run still"
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    await backup(dsn, data, folder / "later.tar")
    assert sorted(path.name for path in folder.iterdir()) == [".cmg-backup-of-mine", "later.tar", "now.tar"]
