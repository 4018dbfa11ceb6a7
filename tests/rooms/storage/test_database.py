"""The pool: deadlines, one error for "away", recovery, transactions."""

import asyncio
import contextlib
import secrets

import asyncpg
import pytest

from cmg.kit.clock import SystemClock
from cmg.kit.errors import Unavailable
from cmg.storage.database import Database, DatabaseAway

CUT_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


async def test_transaction_commits_at_its_end(database):
    async with database.transaction() as connection:
        await connection.execute("CREATE TABLE t (n int)")
        await connection.execute("INSERT INTO t VALUES (1)")
    assert await database.fetchval("SELECT n FROM t") == 1
    assert await database.execute("UPDATE t SET n = 2") == "UPDATE 1"
    assert (await database.fetchrow("SELECT n FROM t"))["n"] == 2


async def test_transaction_rolls_back_when_the_block_fails(database):
    await database.execute("CREATE TABLE t (n int)")
    with contextlib.suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError
    assert await database.fetch("SELECT * FROM t") == []


async def test_statement_past_its_deadline_is_cancelled_and_reported_as_away(database):
    with pytest.raises(DatabaseAway, match=r"did not answer within 0\.2 s"):
        await database.execute("SELECT pg_sleep(30)", timeout_s=0.2)
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    assert await database.fetchval(sleeping) == 0


async def test_connection_cut_in_a_transaction_comes_back_clean(database):

    async def too_long():
        async with database.transaction(timeout_s=0.2) as connection:
            await connection.execute("CREATE TABLE half (n int)")
            await connection.execute("SELECT pg_sleep(30)")

    with pytest.raises(DatabaseAway):
        await too_long()
    for _ in range(3):
        assert await database.fetchval("SELECT to_regclass('half')") is None


async def test_waiting_for_a_free_connection_counts_into_the_deadline(dsn, instruments):
    database = Database(dsn, clock=SystemClock(), instruments=instruments, max_size=1)
    await database.open()
    async with database.connection():
        with pytest.raises(DatabaseAway):
            await database.fetchval("SELECT 1", timeout_s=0.1)
    assert await database.fetchval("SELECT 1") == 1
    await database.close()


@pytest.fixture
async def crowded(database, dsn, instruments):
    """On a server that gives this user two connections, asked by a pool that would have eight."""
    user = f"crowded_{secrets.token_hex(4)}"
    await database.execute(f"CREATE ROLE {user} LOGIN CONNECTION LIMIT 2")
    made = Database(dsn.replace("user=cmg", f"user={user}"), clock=SystemClock(), instruments=instruments, max_size=8)
    await made.open()
    yield made
    await made.close()
    await database.execute(f"DROP ROLE {user}")


async def test_where_the_server_has_no_room_its_connections_are_waited_for(crowded):
    answers = await asyncio.gather(*(crowded.fetchval(f"SELECT {n}, pg_sleep(0.02)") for n in range(40)))
    assert answers == list(range(40))
    assert crowded.pool_use() == (0, 16)
    assert await crowded.fetchval("SELECT 1") == 1
    assert not crowded.spare()  # for a while nobody takes two


async def test_who_waits_where_the_server_has_no_room_waits_no_longer_than_its_deadline(crowded):
    async with crowded.connection(), crowded.connection():
        with pytest.raises(DatabaseAway, match=r"within 0\.3 s"):
            await crowded.fetchval("SELECT 1", timeout_s=0.3)


async def test_who_has_no_connection_on_a_server_without_room_is_told_before_its_deadline(crowded):
    async with crowded.connection(), crowded.connection():
        with pytest.raises(DatabaseAway, match="has no room for another connection"):
            async with crowded.connection(keeps_plans=True):
                raise AssertionError("there was room")


async def test_who_holds_a_connection_may_ask_for_a_second_one_while_that_is_had_without_waiting(dsn, instruments):
    database = Database(dsn, clock=SystemClock(), instruments=instruments, max_size=2)
    await database.open()
    async with database.connection():
        assert database.spare()
        async with database.connection():
            assert not database.spare()
            assert database.spare(keeps_plans=True)  # of another pool
            third = asyncio.ensure_future(database.fetchval("SELECT 1"))
            await asyncio.sleep(0)
        assert not database.spare()  # the third takes what has come free
        assert await third == 1
        assert database.spare()
    await database.close()


async def test_own_timeout_of_the_caller_is_not_taken_for_the_databases(database):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), database.connection():
            await asyncio.sleep(5)
    async with database.connection():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.sleep(5)


async def test_error_of_the_statement_stays_what_it_is(database):
    with pytest.raises(asyncpg.UndefinedTableError):
        await database.fetch("SELECT * FROM nowhere")
    with pytest.raises(FileNotFoundError):
        async with database.connection():
            raise FileNotFoundError


@pytest.mark.parametrize("code", ["53100", "53200", "25006"], ids=["disk full", "out of memory", "a standby"])
async def test_a_server_that_can_write_nothing_is_away(database, code):
    with pytest.raises(DatabaseAway):
        await database.execute(f"DO $$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END $$")


async def test_lost_connections_are_replaced_by_themselves(database, dsn):
    async with database.connection(), database.connection():
        pass
    other = await asyncpg.connect(dsn)
    await other.execute(CUT_OTHERS)
    await other.close()
    await asyncio.sleep(0.05)
    assert await asyncio.gather(*(database.fetchval("SELECT $1::int", n) for n in range(5))) == list(range(5))


async def test_connection_lost_in_use_is_away(database, dsn):
    other = await asyncpg.connect(dsn)

    async def cut():
        await asyncio.sleep(0.1)
        await other.execute(CUT_OTHERS)

    cutting = asyncio.create_task(cut())
    with pytest.raises(DatabaseAway) as caught:
        await database.execute("SELECT pg_sleep(30)")
    await cutting
    assert isinstance(caught.value, Unavailable)
    assert caught.value.status == 503
    await other.close()


async def test_open_works_while_nobody_is_there_and_use_says_away(instruments, tmp_path):
    database = Database(f"postgresql:///cmg?host={tmp_path}&user=cmg", clock=SystemClock(), instruments=instruments)
    await database.open()
    with pytest.raises(DatabaseAway):
        await database.ping()
    with pytest.raises(DatabaseAway):
        await database.dedicated()
    await database.close()
    with pytest.raises(DatabaseAway):
        await database.fetchval("SELECT 1")


async def test_prepared_statement_survives_a_migration_beside_it(database, dsn):
    await database.execute("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
    assert dict(await database.fetchrow("SELECT * FROM t")) == {"n": 1}
    other = await asyncpg.connect(dsn)
    await other.execute("ALTER TABLE t ADD COLUMN m text DEFAULT 'x'")
    await other.close()
    assert dict(await database.fetchrow("SELECT * FROM t")) == {"n": 1, "m": "x"}
