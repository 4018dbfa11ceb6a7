"""The ledger's tables stay bounded: months go, events go, spending is folded; what is young stays."""

from datetime import UTC, datetime, timedelta

from cmg.config import RetentionSettings
from cmg.ledger import store
from cmg.ledger.store import BudgetEvent
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from rooms.ledger.spools import usage_payload

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RETENTION = RetentionSettings(usage_days=60, events_days=90)


async def _use(database: Database, *days_ago: float) -> None:
    times = [(NOW - timedelta(days=days)).timestamp() for days in days_ago]
    async with database.transaction() as conn:
        await UsageSink().write(conn, [usage_payload(at=at, cost_nano=1) for at in times])


async def _days_ago(database: Database) -> list[int]:
    rows = await database.fetch("SELECT at FROM usage_records ORDER BY at DESC")
    return [(NOW - row["at"]).days for row in rows]


async def test_usage_is_kept_as_long_as_the_setting_says(database: Database) -> None:
    await store.upkeep(database, RETENTION, NOW - timedelta(days=100))
    await _use(database, 0, 59, 100, 1000)
    await store.upkeep(database, RETENTION, NOW)
    assert await _days_ago(database) == [0, 59]
    await _use(database, 1)
    await store.upkeep(database, RETENTION, NOW)
    assert await _days_ago(database) == [0, 1, 59]


async def test_months_have_their_partitions_ahead(database: Database) -> None:
    await _use(database, 0, -40)
    await store.upkeep(database, RETENTION, NOW)
    await _use(database, 0, -40)
    assert await database.fetchval("SELECT count(*) FROM usage_records_default") == 0
    assert await database.fetchval("SELECT count(*) FROM usage_records") == 4


async def test_folded_spending_keeps_its_sum(database: Database) -> None:
    await _use(database, 0, 1, 399, 401, 402, 2000)
    for _ in range(2):
        await store.upkeep(database, RetentionSettings(), NOW)
        assert await database.fetchval("SELECT count(*) FROM key_spending") == 4
        assert await store.spent(database, {"k1": 0.0}) == {"k1": 6}
        assert await store.spent(database, {"k1": (NOW - timedelta(days=400)).timestamp()}) == {"k1": 3}


async def test_old_events_go_but_those_of_lifetimes(database: Database) -> None:
    for days, period in ((100, "day"), (100, "lifetime"), (10, "month")):
        at = (NOW - timedelta(days=days)).timestamp()
        event = BudgetEvent(
            at=at,
            workspace_id="default",
            key_id="k",
            owner="",
            kind="threshold",
            period=period,
            period_start=0.0,
            budget_nano=1,
            threshold=0.5,
            spent_nano=1,
        )
        async with database.transaction() as conn:
            assert await store.add_budget_event(conn, event)
            assert not await store.add_budget_event(conn, event)
    await store.upkeep(database, RETENTION, NOW)
    left = await store.list_budget_events(database, "default", "k", None, 10)
    assert sorted(event.period for event in left) == ["lifetime", "month"]
