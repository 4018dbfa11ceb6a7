"""Partitions made ahead and dropped, and deletes in batches."""

from datetime import UTC, datetime

import pytest

from cmg.storage.retention import drop_old, ensure_partitions, purge_batch, spans, until_nothing_goes

NOW = datetime(2026, 12, 30, 15, tzinfo=UTC)


@pytest.fixture
async def table(database) -> str:
    """A partitioned table like the ledger's, with a default partition."""
    await database.execute(
        "CREATE TABLE calls (at timestamptz NOT NULL, id int NOT NULL DEFAULT 7, PRIMARY KEY (at, id)) "
        "PARTITION BY RANGE (at); CREATE TABLE calls_default PARTITION OF calls DEFAULT"
    )
    return "calls"


async def where(database, table: str) -> list[str]:
    """In which partition each row is, by time."""
    rows = await database.fetch(f"SELECT tableoid::regclass::text AS part FROM {table} ORDER BY at")
    return [row["part"] for row in rows]


async def make(database, table: str, **options) -> list[str]:
    async with database.transaction() as connection:
        return await ensure_partitions(connection, table, **{"now": NOW, **options})


def test_spans_of_months_and_days_go_over_the_years_end():
    assert [span.suffix for span in spans("month", NOW, 2)] == ["p202612", "p202701", "p202702"]
    assert [span.suffix for span in spans("day", NOW, 2)] == ["p20261230", "p20261231", "p20270101"]


async def test_partitions_are_made_ahead_once(database, table):
    assert await make(database, table, period="month") == ["calls_p202612", "calls_p202701", "calls_p202702"]
    assert await make(database, table, period="month") == []
    await database.execute("INSERT INTO calls (at) VALUES ($1), ($2)", NOW, NOW.replace(year=2027, month=1, day=1))
    assert await where(database, table) == ["calls_p202612", "calls_p202701"]
    assert await database.fetchval("SELECT min(id) FROM calls") == 7


async def test_rows_that_waited_in_the_default_partition_move(database, table):
    await database.execute("INSERT INTO calls VALUES ($1, 1), ($2, 2)", NOW, NOW.replace(year=2020))
    await make(database, table, period="day")
    assert await where(database, table) == ["calls_default", "calls_p20261230"]


async def test_old_partitions_are_dropped_and_only_whole_ones(database, table):
    await make(database, table, period="month")
    async with database.transaction() as connection:
        before = datetime(2027, 2, 1, tzinfo=UTC)
        assert await drop_old(connection, table, before=before) == ["calls_p202612", "calls_p202701"]
        assert await drop_old(connection, table, before=before.replace(day=28)) == []
    assert await database.fetchval("SELECT to_regclass('calls_default')") is not None


async def test_plain_table_is_refused(database):
    with pytest.raises(ValueError, match="not a partitioned table"):
        await make(database, "changes", period="day")


async def test_a_purge_of_one_batch_is_run_until_it_finds_nothing():
    left, found = [1000, 1000, 7, 0, 5], list[int]()

    async def purge() -> int:
        found.append(left[len(found)])
        return found[-1]

    await until_nothing_goes(purge)
    assert found == [1000, 1000, 7, 0]


async def test_purge_goes_in_batches_until_nothing_is_left(database):
    await database.execute("CREATE TABLE lines AS SELECT n FROM generate_series(1, 25) n")
    sql = "DELETE FROM lines WHERE n IN (SELECT n FROM lines WHERE n <= $1 LIMIT $2)"
    assert await purge_batch(database, sql, 22, batch=10) == 22
    assert (
        await purge_batch(database, "DELETE FROM lines WHERE n IN (SELECT n FROM lines LIMIT $1)", batch=1, rounds=2)
        == 2
    )
    assert await database.fetchval("SELECT count(*) FROM lines") == 1
