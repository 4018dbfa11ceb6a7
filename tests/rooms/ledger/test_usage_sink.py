"""Usage rows and spending are written together, whatever callers put into their names."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from cmg.identity.models import ApiKey, Workspace
from cmg.kit.clock import SystemClock
from cmg.ledger.drain import JournalDrain
from cmg.ledger.journal import Journal
from cmg.ledger.quota.periods import starts
from cmg.ledger.spending import Spending
from cmg.ledger.usage_sink import UsageSink
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import AT, SMALL, usage_payload
from support.manual_clock import ManualClock

BERLIN = "Europe/Berlin"
KATHMANDU = "Asia/Kathmandu"


async def _store(database: Database, *payloads: bytes, timezone: str = "UTC") -> UsageSink:
    await database.execute("UPDATE workspaces SET timezone = $1 WHERE id = 'default'", timezone)
    sink = UsageSink()
    async with database.transaction() as conn:
        await sink.write(conn, payloads)
    return sink


def _moment(text: str, timezone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(timezone)).timestamp()


async def test_every_field_reaches_its_column(database: Database) -> None:
    fields = {
        "user_id": "u",
        "thread_id": "t",
        "agent_id": "a",
        "app_id": "p",
        "tags": ("x", "y"),
        "upstream": "up",
        "model_answered": "real",
        "status": "cut",
        "http_status": 502,
        "error_type": "upstream_error",
        "finish_reason": "length",
        "stream": True,
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "cached_tokens": 3,
        "cache_write_tokens": 4,
        "reasoning_tokens": 5,
        "cost_nano": 6,
        "cost_origin": "catalogue",
        "latency_ms": 7.5,
        "ttft_ms": 1.25,
        "attempts": 2,
        "memory_items": 8,
        "memory_tokens": 9,
        "memory_status": "ok",
        "trace_id": "f" * 32,
        "replayed": True,
    }
    await _store(database, usage_payload(id="0" * 31 + "1", **fields))
    row = dict(await database.fetchrow("SELECT * FROM usage_records"))
    assert row.pop("id").hex == "0" * 31 + "1"
    assert row.pop("at") == datetime.fromtimestamp(AT, UTC)
    assert [row.pop(name) for name in ("workspace_id", "key_id", "route", "model_asked")] == [
        "default",
        "k1",
        "chat",
        "m",
    ]
    assert {**row, "tags": tuple(row["tags"])} == fields


async def test_absurd_values_do_not_lose_a_call(database: Database) -> None:
    await _store(
        database,
        usage_payload(
            user_id="a\x00b",
            thread_id="\ud800",
            model_asked="m" * 5000,
            tags=("\x00",),
            prompt_tokens=2**70,
            cost_nano=-5,
        ),
        usage_payload(
            completion_tokens=-1, attempts=10**6, http_status=10**9, latency_ms=float("inf"), cost_nano=2**64
        ),
    )
    rows = await database.fetch("SELECT * FROM usage_records ORDER BY prompt_tokens DESC")
    assert (rows[0]["user_id"], len(rows[0]["model_asked"]), rows[0]["tags"]) == ("a\ufffdb", 512, ["\ufffd"])
    assert (rows[0]["prompt_tokens"], rows[0]["cost_nano"]) == (2**31 - 1, 0)
    assert (rows[1]["completion_tokens"], rows[1]["attempts"], rows[1]["cost_nano"]) == (0, 32767, 10**15)


async def test_a_row_of_any_month_finds_a_place(database: Database) -> None:
    await _store(database, usage_payload(at=0.0), usage_payload(at=AT), usage_payload(at=4e9))
    assert await database.fetchval("SELECT count(*) FROM usage_records") == 3


async def test_what_is_no_usage_record_is_set_aside(
    database: Database, tmp_path: Path, instruments: Instruments
) -> None:
    journal = Journal(tmp_path, SMALL, instruments)
    same = usage_payload(cost_nano=5)
    for payload in (usage_payload(cost_nano=1), b"\xff", same, same, usage_payload(id="none")):
        journal.append([("usage", payload)])
    journal.close()
    sink = UsageSink()
    drain = JournalDrain(database, tmp_path, {"usage": sink}, SystemClock(), instruments, sink.committed)
    await drain.drain_all()
    assert await database.fetchval("SELECT count(*) FROM usage_records") == 2
    assert await database.fetchval("SELECT sum(spent_nano) FROM key_spending") == 6
    assert len(list((tmp_path / "refused").glob("*.usage"))) == 3


async def test_keys_that_spent_are_told_after_the_commit(database: Database) -> None:
    told: list[set[str]] = []
    sink = UsageSink(told.append)
    async with database.transaction() as conn:
        await sink.write(conn, [usage_payload(key_id="a", cost_nano=1), usage_payload(key_id="free")])
    assert told == []
    sink.committed()
    sink.committed()
    assert told == [{"a"}]


@pytest.mark.parametrize(
    ("timezone", "period", "inside", "outside"),
    [
        (BERLIN, "day", "2026-10-25T00:00", "2026-10-24T23:59:59"),  # a day of 25 hours
        (BERLIN, "day", "2026-10-25T23:59:59", "2026-10-24T12:00"),
        (BERLIN, "week", "2026-10-19T00:00", "2026-10-18T23:59:59"),
        (BERLIN, "month", "2026-10-01T00:00", "2026-09-30T23:59:59"),
        (BERLIN, "lifetime", "2001-01-01T00:00", None),
        (KATHMANDU, "day", "2026-10-25T00:00", "2026-10-24T23:59:59"),  # 5 hours 45 minutes ahead
    ],
)
async def test_a_period_holds_the_days_of_the_workspaces_calendar(
    database: Database, clock: ManualClock, timezone: str, period, inside: str, outside: str | None
) -> None:
    payloads = [usage_payload(at=_moment(inside, timezone), cost_nano=5)]
    if outside:
        payloads.append(usage_payload(at=_moment(outside, timezone), cost_nano=100))
    await _store(database, *payloads, timezone=timezone)
    key, workspace = (
        ApiKey(id="k1", workspace_id="default", name="k"),
        Workspace(id="default", name="d", timezone=timezone),
    )
    now = _moment("2026-10-25T23:59:59", timezone)
    assert await Spending(database, clock).spent_nano(key, workspace, period, now) == 5


async def test_spending_before_a_moment_leaves_out_what_came_later(database: Database, clock: ManualClock) -> None:
    now = _moment("2026-11-25T12:00", BERLIN)
    days = {"2026-11-25T11:59": 1, "2026-11-25T12:00": 1000, "2026-11-26T09:00": 5000}
    days |= {"2026-11-24T23:59": 20, "2026-11-22T10:00": 300, "2026-10-31T10:00": 40_000}
    payloads = [usage_payload(at=_moment(day, BERLIN), cost_nano=nano) for day, nano in days.items()]
    await _store(database, *payloads, usage_payload(key_id="other", cost_nano=7), timezone=BERLIN)
    key = ApiKey(id="k1", workspace_id="default", name="k")
    assert await Spending(database, clock).before(key, starts(BERLIN, now), now) == (1, 21, 321, 40_321)
    fresh = ApiKey(id="new", workspace_id="default", name="k")
    assert await Spending(database, clock).before(fresh, starts(BERLIN, now), now) == (0, 0, 0, 0)


async def test_spending_counts_in_a_zone_that_this_machine_does_not_know(database: Database) -> None:
    await _store(
        database, usage_payload(cost_nano=5), usage_payload(workspace_id="gone", cost_nano=6), timezone="Mars/X"
    )
    assert await database.fetchval("SELECT sum(spent_nano) FROM key_spending") == 11
