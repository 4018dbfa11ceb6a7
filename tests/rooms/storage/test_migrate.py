"""Migrations: once each, whole or not at all, by several processes at once, over the previous release's schema."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from cmg.storage import named_sql
from cmg.storage.errors import StorageError
from cmg.storage.migrate import applied, migrate, migrations

FIXTURES = Path(__file__).parents[2] / "fixtures"
RELEASES, STATEMENTS = (
    [pytest.param(file.read_text(), id=file.stem) for file in sorted(FIXTURES.glob(f"{kind}-*.sql"))]
    for kind in ("schema", "statements")
)
NOT_PREPARED = ("SET ", "LOCK ", "LISTEN ", "COPY ", "CREATE ", "ALTER ", "DROP ", "TRUNCATE ")
# Table, column, and whether a row cannot be written without a value of it.
WRITTEN = """
    SELECT relname, attname, attnotnull AND NOT atthasdef AND attidentity = '' FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped
"""
SCHEMA = """
    SELECT relname, attname, format_type(atttypid, atttypmod), attnotnull::text,
        coalesce(pg_get_expr(adbin, adrelid), '') FROM pg_attribute
    JOIN pg_class ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT conname, pg_get_constraintdef(oid), conrelid::regclass::text, '', '' FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname, pg_get_triggerdef(oid), '', '', '' FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT viewname, definition, '', '', '' FROM pg_views WHERE schemaname = 'public'
    UNION ALL SELECT proname, prosrc, '', '', '' FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace AND probin IS NULL
    ORDER BY 1, 2, 3, 4, 5
"""


def write(folder: Path, **files: str) -> Path:
    """Migration files `_NNNN_name=text` in a folder."""
    for name, text in files.items():
        (folder / f"{name.lstrip('_')}.sql").write_text(text)
    return folder


async def one(dsn: str, sql: str):
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_every_migration_is_applied_once_from_empty(empty_dsn):
    names = [migration.name for migration in migrations()]
    assert await migrate(empty_dsn) == names
    assert await migrate(empty_dsn) == []
    connection = await asyncpg.connect(empty_dsn)
    assert list(await applied(connection)) == names
    await connection.close()


async def test_two_processes_may_migrate_at_once(empty_dsn):
    done = await asyncio.gather(*(migrate(empty_dsn) for _ in range(4)))
    assert sorted(name for names in done for name in names) == [migration.name for migration in migrations()]


async def test_failing_file_leaves_nothing_behind(empty_dsn, tmp_path):
    write(tmp_path, _0001_a="CREATE TABLE a (n int);", _0002_b="CREATE TABLE b (n int); SELECT 1 / 0;")
    with pytest.raises(StorageError, match="0002_b failed and was rolled back"):
        await migrate(empty_dsn, folder=tmp_path)
    assert await one(empty_dsn, "SELECT to_regclass('a')") == "a"
    assert await one(empty_dsn, "SELECT to_regclass('b')") is None


async def test_file_changed_after_it_was_applied_is_an_error(empty_dsn, tmp_path):
    await migrate(empty_dsn, folder=write(tmp_path, _0001_a="CREATE TABLE a (n int);"))
    write(tmp_path, _0001_a="CREATE TABLE a (n bigint);")
    with pytest.raises(StorageError, match="applied in another form"):
        await migrate(empty_dsn, folder=tmp_path)


async def test_database_of_a_later_release_is_accepted(empty_dsn, tmp_path):
    write(tmp_path, _0001_a="CREATE TABLE a (n int);", _0002_b="CREATE TABLE b (n int);")
    await migrate(empty_dsn, folder=tmp_path)
    (tmp_path / "0002_b.sql").unlink()
    assert await migrate(empty_dsn, folder=tmp_path) == []


async def test_file_with_a_lower_number_that_came_later_is_applied(empty_dsn, tmp_path):
    await migrate(empty_dsn, folder=write(tmp_path, _0002_b="CREATE TABLE b (n int);"))
    assert await migrate(empty_dsn, folder=write(tmp_path, _0001_a="CREATE TABLE a (n int);")) == ["0001_a"]


async def test_only_named_migrations_reach_an_older_schema(empty_dsn, tmp_path):
    write(tmp_path, _0001_a="CREATE TABLE a (n int);", _0002_b="CREATE TABLE b (n int);")
    assert await migrate(empty_dsn, folder=tmp_path, only={"0001_a"}) == ["0001_a"]


@pytest.mark.parametrize("dsn", ["postgresql://cmg@127.0.0.1:1/cmg", "nonsense", "postgresql:///x?host=/nowhere"])
async def test_database_that_cannot_be_reached_names_the_setting(dsn):
    with pytest.raises(StorageError, match="is CMG_DATABASE_URL right"):
        await migrate(dsn)


async def test_database_that_does_not_exist_names_the_setting(empty_dsn):
    with pytest.raises(StorageError, match="does not exist"):
        await migrate(empty_dsn.replace("///test_", "///other_"))


async def test_badly_named_file_is_refused(tmp_path):
    with pytest.raises(StorageError, match="NNNN_name"):
        migrations(write(tmp_path, _x="SELECT 1;"))


@pytest.mark.parametrize("release", RELEASES)
async def test_earlier_releases_schema_is_brought_to_the_same_as_a_fresh_one(empty_dsn, dsn, release: str):
    """The files are made by `tests/support/snapshot_schema.py`, one for each release."""
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(release)
    await connection.close()
    await migrate(empty_dsn)
    assert await columns(empty_dsn) == await columns(dsn)


@pytest.mark.parametrize("release", STATEMENTS)
async def test_the_previous_releases_statements_run_on_this_schema(dsn, release: str):
    """Both releases work on one database while machines are upgraded one after the other."""
    queries = [one for one in named_sql.parse(release) if not one.sql.startswith(NOT_PREPARED)]
    assert len(queries) > 200
    connection = await asyncpg.connect(dsn)
    broken = []
    for query in queries:
        try:
            await connection.prepare(query.sql)
        except asyncpg.PostgresError as error:
            broken.append(f"{query.name}: {error}")
    await connection.close()
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("release", RELEASES)
async def test_the_previous_release_can_write_rows_without_the_columns_that_came_later(empty_dsn, release: str):
    connection = await asyncpg.connect(empty_dsn)
    await connection.execute(release)
    before = {tuple(row) for row in await connection.fetch(WRITTEN)}
    tables = {table for table, *_ in before}
    await migrate(empty_dsn)
    after = {tuple(row) for row in await connection.fetch(WRITTEN)}
    await connection.close()
    demanded = [f"{table}.{column}" for table, column, must in after - before if must and table in tables]
    assert not demanded, "a new column must have a default, or take nothing, until the release after"


async def columns(dsn: str) -> list[tuple[str, ...]]:
    """Every column with its type and default, every index, constraint, trigger and function, of a database."""
    connection = await asyncpg.connect(dsn)
    rows = await connection.fetch(SCHEMA)
    await connection.close()
    return [tuple(row) for row in rows]
