"""Tables out of a database in one snapshot, and into a database whose schema was just made.

COPY text over the ordinary driver: it works with every server and every way to reach it (the bundled `pg_dump` has no
TLS and refuses newer servers), and the schema comes from the migrations, so old backups go into new releases.
"""

import gzip
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import asyncpg

from cmg.storage import named_sql
from cmg.storage.archive.manifest import Database, Partition, SequenceValue, TableDump
from cmg.storage.errors import StorageError
from cmg.storage.migrate import applied

_SQL = named_sql.load("cmg.storage")


async def dump(connection: asyncpg.Connection, folder: Path, add: Callable[[str, Path], None]) -> Database:
    """Write every table to a file and hand it to `add(member, path)`. Call it inside the snapshot's transaction."""
    tables = []
    for name in await _names(connection):
        columns = [row["name"] for row in await connection.fetch(_SQL["columns_of"], name)]
        member, path = f"database/{name}.copy.gz", folder / "table.copy.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            select = f"SELECT {_list(columns)} FROM {_quoted(name)}"  # noqa: S608 - names out of the catalogue, quoted
            tag = await connection.copy_from_query(select, output=cast("BinaryIO", file), format="text")
        add(member, path)
        path.unlink()
        tables.append(TableDump(name, columns, int(str(tag).rsplit(" ", 1)[1]), member))
    return Database(
        server=str(await connection.fetchval("SHOW server_version")),
        migrations=await applied(connection),
        tables=tables,
        partitions=[Partition(**row) for row in await connection.fetch(_SQL["partition_bounds"])],
        sequences=[SequenceValue(**row) for row in await connection.fetch(_SQL["sequence_values"])],
    )


async def fill(connection: asyncpg.Connection, database: Database, read: Callable[[str], IO[bytes]]) -> None:
    """Put a dump's rows in place of those the migrations made. Call it inside a transaction.

    `StorageError` when a table takes more or fewer rows than the manifest says.
    """
    for row in await connection.fetch(_SQL["removable_partitions"], [one.name for one in database.partitions]):
        await connection.execute(f"DROP TABLE {_quoted(row['name'])}")
    there = {row["name"] for row in await connection.fetch(_SQL["partition_bounds"])}
    for one in database.partitions:
        if one.name not in there:
            await connection.execute(f"CREATE TABLE {_quoted(one.name)} PARTITION OF {_quoted(one.parent)} {one.bound}")
    names = [table.name for table in database.tables]
    # Triggers would refuse (the audit trail only grows) or announce what is no news.
    for name in names:
        await connection.execute(f"ALTER TABLE {_quoted(name)} DISABLE TRIGGER USER")
    await connection.execute(f"TRUNCATE {_list(names)}")
    for table in database.tables:
        await _fill_table(connection, table, read(table.member))
    for sequence in database.sequences:
        if sequence.last_value is not None:
            await connection.execute(_SQL["set_sequence"], sequence.name, sequence.last_value)
    for name in names:
        await connection.execute(f"ALTER TABLE {_quoted(name)} ENABLE TRIGGER USER")


async def _fill_table(connection: asyncpg.Connection, table: TableDump, source: IO[bytes]) -> None:
    with gzip.open(source) as rows:
        await connection.copy_to_table(table.name, source=cast("BinaryIO", rows), columns=table.columns, format="text")
    count = await connection.fetchval(f"SELECT count(*) FROM {_quoted(table.name)}")  # noqa: S608 - quoted
    if count != table.rows:
        raise StorageError(f"table {table.name} took {count} rows, the backup says {table.rows}")


async def _names(connection: asyncpg.Connection) -> list[str]:
    """Every table but the record of migrations, referenced ones before those that refer to them."""
    waiting = {row["name"] for row in await connection.fetch(_SQL["tables_to_dump"])}
    references = [tuple(row) for row in await connection.fetch(_SQL["references"])]
    ordered: list[str] = []
    while waiting:
        held = {child for child, parent in references if child != parent and parent in waiting}
        free = sorted(waiting - held)
        if not free:
            raise StorageError(f"tables {sorted(waiting)} refer to each other in a circle: they cannot be restored")
        ordered += free
        waiting -= set(free)
    return ordered


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _list(names: Iterable[Any]) -> str:
    return ", ".join(_quoted(name) for name in names)
