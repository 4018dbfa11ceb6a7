"""The tests' own databases: one that a test has used is as new for the next, or is not given again."""

import asyncpg
import pytest

USES = {
    "rows": "INSERT INTO pgqueuer (priority, status, entrypoint) VALUES (1, 'queued', 'job')",
    "rows that others refer to": "INSERT INTO workspaces VALUES ('w', 'w', 'UTC', '2026-11-29Z', '2026-11-29Z')",
    "a row that was there": "UPDATE audit_head SET last_seq = 41",
    "a row that is missing": "DELETE FROM incident_watch",
    "a counter alone": "SELECT nextval('log_line_numbers')",
    "a partition": "CREATE TABLE more PARTITION OF usage_records FOR VALUES FROM ('2031-01-01Z') TO ('2031-02-01Z')",
    "an index": "CREATE INDEX more ON pgqueuer (headers)",
    "what was found out about rows": "ANALYZE",
}
CHANGES = {
    "a column": "ALTER TABLE changes ADD COLUMN more int",
    "a column less": "ALTER TABLE changes DROP COLUMN ids CASCADE",
    "a table less": "DROP TABLE audit_head",
    "a function": "CREATE FUNCTION more() RETURNS int LANGUAGE sql RETURN 1",
    "a switched trigger": "ALTER TABLE audit_entries DISABLE TRIGGER ALL",
    "a schema": "CREATE SCHEMA more",
    "a setting": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET jit = off', current_database()); END $$",
}
RELATIONS = """
SELECT relname AS name, relkind::text AS kind FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1
"""
FOUND_OUT = "SELECT count(*) FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid WHERE c.oid >= 16384"


async def look(dsn: str) -> list[object]:
    """Every relation with its rows, every counter, and how many columns the planner knows."""
    connection = await asyncpg.connect(dsn)
    seen: list[object] = [await connection.fetchval(FOUND_OUT)]
    try:
        for name, kind in await connection.fetch(RELATIONS):
            columns = {"r": "*", "S": "last_value, is_called"}.get(kind)
            rows = await connection.fetch(f'SELECT {columns} FROM "{name}"') if columns else []
            seen.append((name, kind, [tuple(row) for row in rows]))
        return seen
    finally:
        await connection.close()


async def use(dsn: str, sql: str) -> None:
    """Leave something behind."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


@pytest.mark.parametrize("sql", USES.values(), ids=USES)
async def test_nothing_of_a_test_is_left_for_the_next(postgres, sql):
    first = await postgres.create()
    before = await look(first)
    await use(first, sql)
    await postgres.drop(first)
    second = await postgres.create()
    assert second == first, "it was made as new, not dropped"
    assert await look(second) == before
    await postgres.drop(second)


@pytest.mark.parametrize("sql", CHANGES.values(), ids=CHANGES)
async def test_a_database_with_other_definitions_is_not_given_again(postgres, sql):
    first = await postgres.create()
    before, free = await look(first), len(postgres.free)
    await use(first, sql)
    await postgres.drop(first)
    assert len(postgres.free) == free
    second = await postgres.create()
    assert await look(second) == before
    await postgres.drop(second)


async def test_who_is_still_connected_is_sent_away(postgres):
    first = await postgres.create()
    connection = await asyncpg.connect(first)
    await connection.execute("BEGIN; LOCK TABLE changes")
    await postgres.drop(first)
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")


async def test_a_database_is_as_new_after_a_test_that_cut_every_connection(postgres):
    first = await postgres.create()
    await postgres.drop(first)
    again = await postgres.create()
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    await use(again, USES["rows"])
    await use(again, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    await postgres.drop(again)
    last = await postgres.create()
    assert last == first
    connection = await asyncpg.connect(last)
    assert await connection.fetchval("SELECT count(*) FROM pgqueuer") == 0
    await connection.close()
    await postgres.drop(last)


async def test_a_database_that_somebody_came_back_to_is_not_given_again(postgres):
    first = await postgres.create()
    await postgres.drop(first)
    connection = await asyncpg.connect(first)
    second = await postgres.create()
    assert second != first
    await postgres.drop(second)
    with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError, asyncpg.InterfaceError)):
        await connection.fetchval("SELECT 1")
