"""What the server says of itself, on a real one: sizes, locks that wait, connections; and statements by name."""

import asyncio
from collections.abc import Callable

import asyncpg
import pytest

from cmg.kit.clock import SystemClock
from cmg.storage import named_sql
from cmg.storage.database import Database
from cmg.storage.figures import DatabaseFigures
from cmg.telemetry.instruments import Instruments
from support.replica import ReplicatedPostgres


def value(instruments: Instruments, name: str, **labels: str) -> float:
    """What the registry shows."""
    found = instruments.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


async def test_sizes_and_connections_are_told(database: Database, instruments: Instruments):
    figures = DatabaseFigures(database, SystemClock(), instruments)
    await figures.look()
    await figures.look_at_sizes()
    assert value(instruments, "cmg_database_server_connections") >= 1
    assert value(instruments, "cmg_database_server_max_connections") > 10
    assert value(instruments, "cmg_database_locks_waiting") == 0
    assert value(instruments, "cmg_database_size_bytes") > 1e6
    assert value(instruments, "cmg_database_table_bytes", table="api_keys") > 0
    assert value(instruments, "cmg_database_table_rows", table="usage_records") >= 0, (
        "a partitioned table is told whole"
    )


async def test_a_lock_that_is_waited_for_is_seen(database: Database, instruments: Instruments):
    figures = DatabaseFigures(database, SystemClock(), instruments)
    async with database.transaction() as holding:
        await holding.execute("SELECT pg_advisory_xact_lock(77)")

        async def wait() -> None:
            async with database.transaction() as waiting:
                await waiting.execute("SELECT pg_advisory_xact_lock(77)")

        task = asyncio.create_task(wait())
        for _ in range(100):
            await asyncio.sleep(0.05)
            await figures.look()
            if value(instruments, "cmg_database_locks_waiting"):
                break
        assert value(instruments, "cmg_database_locks_waiting") == 1
        assert value(instruments, "cmg_database_lock_wait_seconds") > 0
        assert value(instruments, "cmg_database_transaction_age_seconds") > 0
    await task


async def test_statements_are_counted_by_their_name(database: Database, instruments: Instruments):
    sql = named_sql.load("cmg.storage")
    await database.fetchval(sql["database_size"])
    async with database.transaction() as connection:
        await connection.fetchval(sql["database_size"])
    await database.fetchval("SELECT 'a secret'")
    await asyncio.sleep(0.05)
    assert value(instruments, "cmg_database_queries_total", query="storage.database_size") == 2
    assert value(instruments, "cmg_database_query_duration_seconds_count", room="storage") == 2
    assert value(instruments, "cmg_database_queries_total", query="SELECT") == 1


async def test_slow_and_failed_statements_are_counted(database: Database, instruments: Instruments):
    await database.fetchval("SELECT pg_sleep(1.05)")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.fetchval("SELECT 1/0")
    await asyncio.sleep(0.05)
    assert value(instruments, "cmg_database_slow_queries_total", query="SELECT") == 1
    assert value(instruments, "cmg_database_query_failures_total", query="SELECT") == 1


async def test_who_waits_for_a_connection_is_seen(dsn: str, instruments: Instruments):
    database = Database(dsn, clock=SystemClock(), instruments=instruments, max_size=1)
    await database.open()
    try:
        async with database.connection():
            task = asyncio.create_task(database.fetchval("SELECT 1"))
            await asyncio.sleep(0.1)
            assert value(instruments, "cmg_database_connections_waiting") == 1
            assert value(instruments, "cmg_database_connections_in_use") == 1
            assert value(instruments, "cmg_database_pool_use_ratio") == 1
        assert await task == 1
        assert value(instruments, "cmg_database_connections_waiting") == 0
        assert value(instruments, "cmg_database_pool_use_ratio") == 0
    finally:
        await database.close()


async def test_a_replica_that_stands_still_is_behind_more_and_more_and_one_that_caught_up_is_not(
    instruments: Instruments,
):
    """PostgreSQL's own figure stays as it was, in both cases."""
    place = await asyncio.to_thread(ReplicatedPostgres)
    clock = SystemClock()
    database = Database(place.dsn, clock=clock, instruments=instruments)
    figures = DatabaseFigures(database, clock, instruments)

    async def lag(wanted: Callable[[float], bool]) -> float:
        for _ in range(100):
            await figures.look()
            if wanted(found := value(instruments, "cmg_database_replication_lag_seconds")):
                return found
            await asyncio.sleep(0.1)
        raise AssertionError(f"never: the lag is {found} s")

    try:
        await database.open()
        await database.execute("CREATE TABLE t (n integer)")
        assert await lag(lambda found: found < 0.5) < 0.5
        assert value(instruments, "cmg_database_replicas") == 1
        place.hold()
        await database.execute("INSERT INTO t SELECT generate_series(1, 1000)")
        assert await lag(lambda found: found > 2) > 2
        place.go_on()
        assert await lag(lambda found: found < 0.5) < 0.5
        place.hold()
        await database.execute("INSERT INTO t SELECT generate_series(1, 1000)")
        await lag(lambda found: found > 1)
        await asyncio.to_thread(place.stop_replica)
        assert await lag(lambda found: found == 0) == 0
        assert value(instruments, "cmg_database_replicas") == 0
    finally:
        await database.close()
        await asyncio.to_thread(place.close)
