"""Backup and restore: database and spool in one checked file, into an empty place, by this release or a later one."""

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import asyncpg

from cmg.kit.clock import Clock, SystemClock, rfc3339
from cmg.storage import named_sql
from cmg.storage.archive.container import ArchiveReader, ArchiveWriter, reading, writing
from cmg.storage.archive.manifest import FORMAT, Manifest
from cmg.storage.archive.tables import dump, fill
from cmg.storage.archive.unfinished import Unfinished
from cmg.storage.database import connect_once
from cmg.storage.errors import StorageError
from cmg.storage.migrate import applied, migrate, migrate_on, migrations

__all__ = ["AuditCheck", "Manifest", "backup", "restore", "verify_archive"]

AuditCheck = Callable[[str], Awaitable[str | None]]
"""Checks a restored database, given its DSN: None when all is well, else what is wrong."""

_SQL = named_sql.load("cmg.storage")
_FOLDERS = ("spool",)
_LINKS, _WORK = ".backup-", ".cmg-backup-"
_LEFT_S = 86400.0


async def backup(
    dsn: str, data_dir: Path, target: Path, *, folders: Sequence[str] = _FOLDERS, clock: Clock | None = None
) -> Manifest:
    """Write database and `folders` of the data dir to the new file `target` (tar, mode 0600) while the service runs.

    The tables are of one moment. The journal's files are linked before and after it, so that every record is in the
    tables, or in the files behind the position that the tables hold. `StorageError` when it cannot be written
    or the database cannot be reached.
    """
    connection = await connect_once(dsn)
    work = Path(tempfile.mkdtemp(prefix=_WORK, dir=_existing(target.parent)))
    kept = _Links(data_dir, folders, work)
    try:
        with writing(target, work) as archive:
            kept.take()
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                await connection.execute(_SQL["begin_snapshot"])
                kept.take()
                database = await dump(connection, work, archive.add)
            files = await asyncio.to_thread(kept.add_to, archive)
            created_at = rfc3339((clock or SystemClock()).time())
            manifest = Manifest(FORMAT, version("context-memory-gateway"), created_at, database, files, archive.members)
            archive.seal(manifest)
        return manifest
    finally:
        kept.remove()
        shutil.rmtree(work, ignore_errors=True)
        _remove_left(target.parent, _WORK)
        await connection.close(timeout=5)


def verify_archive(source: Path) -> Manifest:
    """Read the whole file and compare it with its hashes; `StorageError` says what is wrong with it."""
    with reading(source) as archive:
        archive.verify()
        return archive.manifest


async def restore(
    source: Path, dsn: str, data_dir: Path, *, verify: bool = True, audit: AuditCheck | None = None
) -> Manifest:
    """Fill an empty database and the data dir's folders from a backup, then bring the schema to this release's.

    The file is checked before anything is changed, the number of rows of every table before the commit, and, with
    `verify`, the audit trail afterwards by `audit`. Schema and rows are one transaction, whose commit comes behind the
    files: one that fails leaves nothing, one that is killed is done again. `StorageError` says what is wrong and what
    to do.
    """
    unfinished = Unfinished(data_dir)
    with reading(source) as archive:
        await asyncio.to_thread(archive.verify)
        _check_known(archive.manifest)
        await _restore_all(dsn, archive, data_dir, unfinished)
    unfinished.end()
    await migrate(dsn)
    if verify and audit is not None and (wrong := await audit(dsn)) is not None:
        raise StorageError(
            f"everything was restored, but {wrong}. The backup is as it was written: the source was damaged before. "
            "Look at an older backup before you use this one"
        )
    return archive.manifest


def _check_known(manifest: Manifest) -> None:
    known = {one.name: one.sha256 for one in migrations()}
    for name, sha256 in manifest.database.migrations.items():
        if known.get(name) != sha256:
            raise StorageError(
                f"the backup was written by release {manifest.release}, whose schema ({name}) this release does not "
                "know: restore it with that release or a later one"
            )


def _check_free(manifest: Manifest, data_dir: Path) -> None:
    for folder in sorted({name.split("/", 1)[0] for name in manifest.files}):
        target = data_dir / folder
        if target.exists() and any(path.is_file() for path in target.rglob("*")):
            raise StorageError(f"{target} is not empty: restore into a new CMG_DATA_DIR, or move it away first")


async def _restore_all(dsn: str, archive: ArchiveReader, data_dir: Path, unfinished: Unfinished) -> None:
    connection = await connect_once(dsn)
    try:
        existing = await connection.fetch(_SQL["existing_tables"])
        if existing and unfinished.is_of(archive.manifest):
            return  # it was killed behind its commit, so that all is there
        if existing:
            raise StorageError(
                f"the database is not empty (it has {existing[0]['name']} and {len(existing) - 1} other tables): "
                "restore into a new database or a new CMG_DATA_DIR"
            )
        if unfinished.is_there():
            _remove_files(data_dir)  # nothing was served since: they are those of the one that was killed
        _check_free(archive.manifest, data_dir)
        unfinished.begin(archive.manifest)
        try:
            async with connection.transaction():
                await _restore_database(connection, archive)
                await asyncio.to_thread(_restore_files, archive, data_dir)
        except BaseException:
            _remove_files(data_dir)
            unfinished.end()
            raise
    except asyncpg.PostgresError as error:
        raise StorageError(f"the tables could not be restored: {error}. Start again with an empty database") from error
    finally:
        await connection.close(timeout=5)


async def _restore_database(connection: asyncpg.Connection, archive: ArchiveReader) -> None:
    wanted = archive.manifest.database.migrations
    await migrate_on(connection, only=wanted)
    if set(await applied(connection)) != set(wanted):
        raise StorageError("another process uses this database: stop it, and restore into an empty one")
    await fill(connection, archive.manifest.database, archive.open)


def _restore_files(archive: ArchiveReader, data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    archive.extract(archive.manifest.files, data_dir)


def _remove_files(data_dir: Path) -> None:
    """Take the folders of a restore away again, which were empty or not there before it."""
    for folder in _FOLDERS:
        shutil.rmtree(data_dir / folder, ignore_errors=True)


class _Links:
    """Further names for the files of some folders: deleting the first name does not take the content away."""

    def __init__(self, data_dir: Path, folders: Sequence[str], work: Path) -> None:
        self._data_dir = data_dir
        self._folders = folders
        # Beside the files, for links do not cross file systems.
        self._place = Path(tempfile.mkdtemp(prefix=_LINKS, dir=data_dir)) if data_dir.exists() else work
        self._names: dict[str, Path] = {}

    def take(self) -> None:
        """Link every regular file that is not linked yet, but locks."""
        for folder in self._folders:
            for path in sorted((self._data_dir / folder).rglob("*")):
                name = path.relative_to(self._data_dir).as_posix()
                if name not in self._names and path.suffix != ".lock" and path.is_file() and not path.is_symlink():
                    self._link(path, name)

    def _link(self, path: Path, name: str) -> None:
        linked = self._place / str(len(self._names))
        try:
            os.link(path, linked)
        except FileNotFoundError:
            return  # drained and deleted since it was listed: its records are in the tables
        except OSError:
            shutil.copyfile(path, linked)  # a file system without links
        self._names[name] = linked

    def add_to(self, archive: ArchiveWriter) -> list[str]:
        """Add the linked files as `data/<path>`; returns their paths in the data dir."""
        for name, path in sorted(self._names.items()):
            archive.add(f"data/{name}", path)
        return sorted(self._names)

    def remove(self) -> None:
        """Take the names away, and those that a killed backup left a day ago or earlier."""
        shutil.rmtree(self._place, ignore_errors=True)
        _remove_left(self._data_dir, _LINKS)


def _remove_left(folder: Path, prefix: str) -> None:
    """Remove the folders that a killed backup left a day ago or earlier."""
    for left in folder.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if left.is_dir() and left.stat().st_mtime < SystemClock().time() - _LEFT_S:
                shutil.rmtree(left, ignore_errors=True)


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder: make it first, or choose another place for the backup")
    return folder
