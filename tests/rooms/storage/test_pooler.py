"""A database behind pgbouncer: by session it serves, by transaction it is refused with the reason."""

import asyncpg
import pytest

from cmg.kit.clock import SystemClock
from cmg.storage.database import Database, connect_once
from cmg.storage.errors import DatabaseUnreachable, StorageError
from cmg.storage.migrate import migrate
from support.pooler import pooler

pytestmark = pytest.mark.needs("pgbouncer")


async def test_pool_that_keeps_plans_works_where_a_pooler_takes_no_settings_with_a_connection(dsn, instruments):
    with pooler(dsn, "session") as through:
        database = Database(through, clock=SystemClock(), instruments=instruments)
        await database.open()
        async with database.connection(keeps_plans=True) as connection:
            assert await connection.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
            assert await connection.fetchval("SHOW enable_seqscan") == "off"
        async with database.connection() as connection:
            assert await connection.fetchval("SHOW enable_seqscan") == "on"
        await database.close()


@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_pooler_that_keeps_no_session_is_refused_with_the_mode_that_works(dsn, mode):
    with pooler(dsn, mode) as through:
        with pytest.raises(StorageError, match=r"pool_mode = session") as caught:
            await connect_once(through)
        assert not isinstance(caught.value, DatabaseUnreachable)  # a start on what was known before would not help


async def test_nobody_looks_for_a_pooler_before_a_server_of_our_own(dsn, monkeypatch):
    """Two connections more with each command, of which a small server has few."""
    opened = []
    connect = asyncpg.connect

    async def counting(*args: object, **options: object) -> asyncpg.Connection:
        opened.append(args)
        return await connect(*args, **options)

    monkeypatch.setattr(asyncpg, "connect", counting)
    await migrate(dsn, direct=True)
    assert len(opened) == 1
    await migrate(dsn)
    assert len(opened) == 1 + 3


async def test_pooler_by_session_is_taken(dsn):
    with pooler(dsn, "session") as through:
        connection = await connect_once(through)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
