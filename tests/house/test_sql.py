"""Every named query of every room: it fits the schema, is used, is described, and keeps to its tenant."""

import pkgutil
import re
from collections.abc import AsyncIterator, Iterator
from importlib import resources
from pathlib import Path

import asyncpg
import pytest

import cmg
from cmg.storage import named_sql
from cmg.storage.named_sql import NamedQuery
from support.apart import run_apart
from support.postgres import TestServer

SOURCES = Path(cmg.__file__).parent
_WORD = re.compile(r"[a-z_][a-z0-9_]*")
_COMMENT = re.compile(r"--[^\n]*")
_STRING = re.compile(r"'(?:[^']|'')*'")
# The session's own settings cannot be prepared with everything else gone; they are run as they are.
_NOT_PREPARED = ("SET ", "LOCK ", "LISTEN ", "COPY ", "CREATE ", "ALTER ", "DROP ", "TRUNCATE ")
_CLOCK = re.compile(r"\b(now\(\)|current_timestamp|clock_timestamp\(\)|current_date|localtimestamp)", re.IGNORECASE)


def rooms_with_sql() -> list[str]:
    """Every package that has a `queries.sql`."""
    packages = [name for _, name, is_package in pkgutil.walk_packages([str(SOURCES)], "cmg.") if is_package]
    return sorted(name for name in packages if resources.files(name).joinpath("queries.sql").is_file())


ROOMS = rooms_with_sql()
QUERIES = [(room, query) for room in ROOMS for query in named_sql.described(room)]
NAMED = pytest.mark.parametrize(("room", "query"), QUERIES, ids=[f"{room}:{query.name}" for room, query in QUERIES])


def words(sql: str) -> set[str]:
    """Every word of a statement outside comments and strings."""
    return set(_WORD.findall(_STRING.sub("''", _COMMENT.sub("", sql)).lower()))


def unused(room: str) -> list[str]:
    """Names of a room's queries that none of its modules (sub-rooms included) and no dashboard mentions as a string."""
    folders = (SOURCES.joinpath(*room.split(".")[1:]), SOURCES / "catalogue" / "dashboards")
    text = "\n".join(file.read_text() for folder in folders for file in folder.rglob("*.py"))
    return [query.name for query in named_sql.described(room) if f'"{query.name}"' not in text]


@pytest.fixture(scope="module")
def schema(postgres: TestServer) -> Iterator[str]:
    """One migrated database for all of these tests."""
    dsn = run_apart(postgres.create())
    yield dsn
    run_apart(postgres.drop(dsn))


@pytest.fixture
async def connection(schema: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the migrated schema."""
    one = await asyncpg.connect(schema)
    yield one
    await one.close()


async def tenant_tables(connection: asyncpg.Connection) -> set[str]:
    """Tables with a column `workspace_id`."""
    rows = await connection.fetch(
        "SELECT DISTINCT table_name FROM information_schema.columns "
        "WHERE table_schema = 'public' AND column_name = 'workspace_id'"
    )
    return {row["table_name"] for row in rows}


def test_rooms_with_sql_are_found():
    assert "cmg.storage" in ROOMS


@NAMED
async def test_query_can_be_prepared_on_the_schema(connection, room: str, query: NamedQuery):
    assert query.sql, room
    if query.sql.upper().startswith(_NOT_PREPARED):
        async with connection.transaction():
            await connection.execute(query.sql)
    else:
        await connection.prepare(query.sql)


@pytest.mark.parametrize("room", ROOMS)
def test_every_query_of_the_room_is_used(room: str):
    assert unused(room) == [], f"{room}/queries.sql has queries that nobody calls"


@NAMED
def test_query_is_described_in_a_sentence(room: str, query: NamedQuery):
    assert query.description[0].isupper(), f"{room}: {query.name}"
    assert query.description.rstrip().endswith("."), f"{room}: {query.name}"


@NAMED
async def test_query_on_a_tenants_table_takes_the_workspace(connection, room: str, query: NamedQuery):
    mentioned = words(query.sql)
    tables = sorted(mentioned & await tenant_tables(connection))
    if tables and "workspace_id" not in mentioned:
        assert query.cross_workspace, (
            f"{room}: {query.name} touches {', '.join(tables)} without workspace_id: add it to the statement, "
            "or a line '-- cross-workspace: <why that is right>' above it"
        )


@NAMED
def test_time_comes_from_the_clock(room: str, query: NamedQuery):
    assert not _CLOCK.search(_COMMENT.sub("", query.sql)), f"{room}: {query.name} asks the database for the time"


def test_only_stores_and_migrations_hold_sql():
    """SQL stands in `queries.sql`; a statement in Python is found by its first words."""
    statement = re.compile(r"""["'](SELECT |INSERT INTO |UPDATE \w+ SET |DELETE FROM |WITH \w+ AS )""")
    allowed = {
        "storage/database.py": "SELECT 1 of the ping",
        "storage/embedded.py": "on a database without a schema",
        "storage/retention.py": "names of partitions cannot be arguments",
        "storage/archive/tables.py": "names of tables cannot be arguments",
    }
    found = {
        path.relative_to(SOURCES).as_posix() for path in SOURCES.rglob("*.py") if statement.search(path.read_text())
    }
    assert found <= set(allowed), f"SQL outside queries.sql: {sorted(found - set(allowed))}"
