"""Bringing a database to this release's schema: plain SQL files, each applied once under an advisory lock.

Migrations expand before they contract, so that the previous release goes on working on the new schema: a database
that knows migrations of a later release is accepted.
"""

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable

import asyncpg

from cmg.kit.clock import Clock, SystemClock
from cmg.storage import named_sql
from cmg.storage.database import connect_once
from cmg.storage.errors import StorageError

_SQL = named_sql.load("cmg.storage")
_FILE = re.compile(r"^\d{4}_[a-z0-9_]+\.sql$")
_LOCK = 0x636D6701  # "cmg", 1: nobody else's advisory lock in this database


@dataclass(frozen=True)
class Migration:
    """One file: its name without `.sql`, its text, and the hash that its applied form must keep."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        """Hash of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """The files of a folder (the release's own unless told otherwise), in the order of their numbers."""
    where = folder or resources.files("cmg.storage.migrations")
    files = sorted((file for file in where.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    wrong = [file.name for file in files if not _FILE.match(file.name)]
    if wrong:
        raise StorageError(f"migration {wrong[0]!r} is not named NNNN_name.sql")
    return [Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")) for file in files]


async def migrate(
    dsn: str,
    *,
    folder: Traversable | None = None,
    only: Collection[str] | None = None,
    clock: Clock | None = None,
    stored: bool = False,
    direct: bool = False,
) -> list[str]:
    """Apply what is missing and return the names applied; several processes may do so at once.

    `only` leaves out every migration whose name is not in it (to reach the schema of an older backup). `stored`: a
    database where nothing ever was is refused. `direct`: no pooler can stand before it. `StorageError` when an applied
    file has changed since, a file fails (its transaction is rolled back), or the database cannot be reached.
    """
    connection = await connect_once(dsn, direct=direct)
    try:
        if stored and not await applied(connection):
            raise StorageError("nothing was ever stored in this database: is CMG_DATABASE_URL right?")
        return await migrate_on(connection, folder=folder, only=only, clock=clock)
    finally:
        await connection.close(timeout=5)


async def migrate_on(
    connection: asyncpg.Connection,
    *,
    folder: Traversable | None = None,
    only: Collection[str] | None = None,
    clock: Clock | None = None,
) -> list[str]:
    """The same on a connection: each file in a transaction of its own, or all in the caller's."""
    wanted = [one for one in migrations(folder) if only is None or one.name in only]
    async with connection.transaction():
        await connection.execute(_SQL["lock_migrations"], _LOCK)
        await connection.execute(_SQL["create_schema_migrations"])
    missing = [one for one in wanted if not _is_applied(one, await applied(connection))]
    return [one.name for one in missing if await _apply(connection, one, clock or SystemClock())]


async def applied(connection: asyncpg.Connection) -> dict[str, str]:
    """Name → hash of every applied migration, in order; empty for a database that was never migrated."""
    if await connection.fetchval(_SQL["schema_migrations_exists"]) is None:
        return {}
    return {row["name"]: row["sha256"] for row in await connection.fetch(_SQL["applied_migrations"])}


def _is_applied(migration: Migration, known: dict[str, str]) -> bool:
    sha256 = known.get(migration.name)
    if sha256 is not None and sha256 != migration.sha256:
        raise StorageError(
            f"migration {migration.name} was applied in another form than this release holds; "
            "an applied file must never change: restore the file, and put the change into a new one"
        )
    return sha256 is not None


async def _apply(connection: asyncpg.Connection, migration: Migration, clock: Clock) -> bool:
    """Run one file in its transaction; false when another process was faster."""
    try:
        async with connection.transaction():
            await connection.execute(_SQL["set_lock_timeout"])
            await connection.execute(_SQL["lock_migrations"], _LOCK)
            if _is_applied(migration, await applied(connection)):
                return False
            await connection.execute(migration.sql)
            await connection.execute(_SQL["record_migration"], migration.name, migration.sha256, clock.now())
    except asyncpg.PostgresError as error:
        raise StorageError(f"migration {migration.name} failed and was rolled back: {error}") from error
    return True
