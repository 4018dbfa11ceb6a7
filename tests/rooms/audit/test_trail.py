"""The audit trail: one chain, recorded with the change, in which nothing is altered or cut off unseen."""

import asyncio
import json
from datetime import timedelta

import asyncpg
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.audit.models import DETAILS_BYTES_MAX, GENESIS, Entry, Head, Walk, details_text, linked
from cmg.audit.trail import RETENTION, AuditTrail, Wanted
from cmg.kit.clock import at
from cmg.kit.errors import InvalidRequest
from cmg.storage.database import Database
from support.manual_clock import ManualClock

BEGIN_AT_2 = "UPDATE audit_head SET first_seq = 2, first_previous = (SELECT previous FROM audit_entries WHERE seq = 2)"
TEXT = st.text(max_size=40)


@pytest.fixture
def trail(database: Database, clock: ManualClock) -> AuditTrail:
    return AuditTrail(database, clock)


async def _record(database: Database, trail: AuditTrail, count: int, workspace: str | None = "default") -> None:
    for number in range(count):
        async with database.transaction() as conn:
            await trail.record(conn, Entry("cli", workspace, "key.create", f"k{number}", {"n": number}, "127.0.0.1"))


async def _by_force(database: Database, sql: str) -> None:
    """What somebody with all rights in the database could do: switch the triggers off first."""
    async with database.transaction() as conn:
        await conn.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await conn.execute(sql)
        await conn.execute("ALTER TABLE audit_entries ENABLE TRIGGER USER")


async def test_an_untouched_trail_verifies(database: Database, trail: AuditTrail) -> None:
    assert (await trail.verify()).ok
    await _record(database, trail, 5)
    verdict = await trail.verify()
    assert (verdict.ok, verdict.entries, verdict.broken_at) == (True, 5, None)
    assert len(verdict.head) == 64


async def test_a_long_trail_is_verified_in_batches(database: Database, trail: AuditTrail, monkeypatch) -> None:
    monkeypatch.setattr("cmg.audit.trail._BATCH", 3)
    await _record(database, trail, 10)
    assert (await trail.verify()).entries == 10


async def test_an_entry_goes_with_its_transaction(database: Database, trail: AuditTrail) -> None:
    async def fail_at_the_end() -> None:
        async with database.transaction() as conn:
            await trail.record(conn, Entry("cli", None, "key.create", "k"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail_at_the_end()
    verdict = await trail.verify()
    assert (verdict.ok, verdict.entries) == (True, 0)


async def test_writers_at_once_make_one_line(database: Database, trail: AuditTrail) -> None:
    await asyncio.gather(*(_record(database, trail, 5) for _ in range(8)))
    verdict = await trail.verify()
    assert (verdict.ok, verdict.entries) == (True, 40)


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit_entries SET actor = 'nobody'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "DELETE FROM audit_head",
        "TRUNCATE audit_head",
    ],
)
async def test_the_table_refuses_all_but_appending(database: Database, trail: AuditTrail, sql: str) -> None:
    await _record(database, trail, 2)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await database.execute(sql)
    assert (await trail.verify()).entries == 2


@pytest.mark.parametrize(
    ("sql", "broken_at", "reason"),
    [
        ("UPDATE audit_entries SET actor = 'nobody' WHERE seq = 3", 3, "altered"),
        ("UPDATE audit_entries SET details = '{}' WHERE seq = 4", 4, "altered"),
        ("UPDATE audit_entries SET at = at - interval '1 day' WHERE seq = 2", 2, "altered"),
        ("UPDATE audit_entries SET workspace_id = NULL WHERE seq = 2", 2, "altered"),
        ("DELETE FROM audit_entries WHERE seq = 3", 3, "missing"),
        ("DELETE FROM audit_entries WHERE seq >= 5", 5, "end"),
        ("DELETE FROM audit_entries", 1, "end"),
        ("DELETE FROM audit_entries WHERE seq = 1", 1, "missing"),
        (f"DELETE FROM audit_entries WHERE seq = 1; {BEGIN_AT_2}", 2, "no purge"),
    ],
)
async def test_tampering_is_found_where_it_was_done(
    database: Database, trail: AuditTrail, sql: str, broken_at: int, reason: str
) -> None:
    await _record(database, trail, 6)
    await _by_force(database, sql)
    verdict = await trail.verify()
    assert (verdict.ok, verdict.broken_at) == (False, broken_at)
    assert reason in str(verdict.reason)


async def test_what_is_older_than_the_retention_goes_and_the_rest_verifies(
    database: Database, trail: AuditTrail, clock: ManualClock
) -> None:
    await _record(database, trail, 4)
    clock.advance(RETENTION.total_seconds() - 60)
    await _record(database, trail, 3)
    assert await trail.purge() == 0
    clock.advance(120)
    assert await trail.purge() == 4
    assert await trail.purge() == 0
    verdict = await trail.verify()
    assert (verdict.ok, verdict.entries) == (True, 4), verdict
    newest = (await trail.list(Wanted(None))).items[0]
    assert (newest.action, newest.actor) == ("audit.purge", "system")


async def test_a_purge_takes_a_bounded_batch(
    database: Database, trail: AuditTrail, clock: ManualClock, monkeypatch
) -> None:
    monkeypatch.setattr("cmg.audit.trail._PURGE_BATCH", 2)
    await _record(database, trail, 5)
    clock.advance((RETENTION + timedelta(days=1)).total_seconds())
    assert [await trail.purge() for _ in range(4)] == [2, 2, 1, 0]
    assert (await trail.verify()).ok


async def test_a_workspace_sees_only_its_own_entries_page_by_page(database: Database, trail: AuditTrail) -> None:
    for workspace in ("a", "b", None):
        await _record(database, trail, 3, workspace)
    first = await trail.list(Wanted("a", limit=2))
    rest = await trail.list(Wanted("a", limit=2, cursor=first.next))
    assert [entry.target for entry in (*first.items, *rest.items)] == ["k2", "k1", "k0"]
    assert {entry.workspace_id for entry in first.items} == {"a"}
    assert rest.next is None
    assert len((await trail.list(Wanted(None))).items) == 9
    assert len((await trail.list(Wanted(None, target="k1", action="key.create", actor="cli"))).items) == 3


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 30, "\0", "²"])
async def test_an_odd_cursor_is_refused(trail: AuditTrail, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        await trail.list(Wanted(None, cursor=cursor))


async def test_secrets_are_cut_out_wherever_they_stand(database: Database, trail: AuditTrail) -> None:
    secret = "cmg_abc_" + "S3cr3t" * 6
    async with database.transaction() as conn:
        await trail.record(conn, Entry(secret, None, "key.create", secret, {"note": f"it is {secret}"}, secret))
    entry = (await trail.list(Wanted(None))).items[0]
    assert "S3cr3t" not in repr(entry)
    assert "cmg_abc_***" in entry.details


@given(TEXT, TEXT, st.dictionaries(TEXT, st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1), max_size=3))
def test_any_entry_links_and_any_change_of_it_breaks_the_walk(actor: str, target: str, details: dict) -> None:
    head = Head(1, GENESIS, 0, GENESIS)
    entry = linked(Entry(actor, None, "a.b", target, details), head, at(1_800_000_000.123456))
    assert "\0" not in entry.actor
    assert Walk(head).step(entry)
    for field in ("actor", "target", "details", "client", "action"):
        assert not Walk(head).step(msgspec.structs.replace(entry, **{field: getattr(entry, field) + "x"}))


def test_huge_details_are_left_out_but_named() -> None:
    told = json.loads(details_text({"description": "x" * DETAILS_BYTES_MAX}))
    assert told["fields"] == ["description"]
    assert told["left_out_bytes"] > DETAILS_BYTES_MAX
