"""People in the ledger: a pseudonym takes their place, late records lose them, refused ones and old segments go."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cmg.kit.clock import SystemClock, at
from cmg.ledger.drain import JournalDrain
from cmg.ledger.journal import Journal
from cmg.ledger.people import ledger_users
from cmg.ledger.people.ledger_users import LedgerUsers
from cmg.ledger.people.refused_records import RefusedRecords
from cmg.ledger.spool.settling import settled
from cmg.ledger.usage_sink import UsageSink
from cmg.memory.control.models import Tombstone, digest_of
from cmg.memory.text.cleaning import bounded_id
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import AT, SMALL, TableSink, make_table, usage_payload


async def _store(database: Database, *payloads: bytes, sink: UsageSink | None = None) -> None:
    async with database.transaction() as conn:
        await (sink or UsageSink()).write(conn, payloads)


async def _people(database: Database) -> list[tuple[str | None, str | None]]:
    rows = await database.fetch("SELECT user_id, thread_id FROM usage_records ORDER BY at, id")
    return [(row[0], row[1]) for row in rows]


async def test_a_pseudonym_takes_the_place_of_one_user_in_every_month(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_users, "_STEP", 2)
    times = [AT + 40 * 86_400 * number for number in range(5)]
    payloads = [usage_payload(at=moment, user_id="ana", thread_id="t", cost_nano=7) for moment in times]
    await _store(database, *payloads, usage_payload(at=AT, user_id="bob", thread_id="t"))
    users = LedgerUsers(database)
    assert set(await users.users("default")) == {"ana", "bob"}
    assert await users.erase("other", "ana", "erased-1") == 0
    assert await users.erase("default", "ana", "erased-1") == 5
    people = await _people(database)
    assert people.count(("erased-1", None)) == 5
    assert ("bob", "t") in people
    assert await database.fetchval("SELECT sum(cost_nano) FROM usage_records WHERE user_id = 'erased-1'") == 35


async def test_a_record_that_comes_late_loses_its_person(database: Database) -> None:
    async def erased(_conn: Any, users: Any) -> dict[tuple[str, str], Any]:
        assert set(users) == {("default", "ana"), ("default", "bob")}
        return {("default", "ana"): at(AT) + timedelta(seconds=1)}

    payloads = [usage_payload(at=AT + late, user_id="ana", thread_id="t") for late in (0, 2)]
    await _store(database, *payloads, usage_payload(at=AT + 1, user_id="bob"), sink=UsageSink(erased=erased))
    assert await _people(database) == [("erased", None), ("bob", None), ("ana", "t")]


async def test_the_longest_id_meets_its_tombstone(database: Database) -> None:
    longest = "x" * 512
    stone = Tombstone("default", b"salt", digest_of(b"salt", bounded_id(longest)), at(AT))
    await _store(database, usage_payload(at=AT, user_id=longest, thread_id="t"))
    (user,) = await LedgerUsers(database).users("default")
    assert stone.names(user)


async def test_refused_records_of_one_user_are_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "refused"
    folder.mkdir()
    (folder / "1.usage").write_bytes(usage_payload(user_id="ana"))
    (folder / "2.usage").write_bytes(usage_payload(user_id="bob"))
    (folder / "3.usage").write_bytes(usage_payload(user_id="ana", workspace_id="other"))
    (folder / "4.strange").write_bytes(b"nobody can read what ana said")
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.why").write_text("because")
    refused = RefusedRecords(tmp_path, {})
    assert sorted(await refused.users("default")) == ["ana", "bob"]
    assert await refused.erase("default", "ana", "erased-1") == 2
    assert sorted(path.name for path in folder.iterdir()) == ["2.usage", "2.usage.why", "3.usage", "3.usage.why"]
    assert await RefusedRecords(tmp_path / "nothing", {}).erase("default", "ana", "erased-1") == 0


async def test_a_segment_that_was_ended_is_deleted_once_it_is_drained(
    database: Database, tmp_path: Path, instruments: Instruments
) -> None:
    await make_table(database)
    spool, clock = tmp_path / "spool", SystemClock()
    journal = Journal(spool, SMALL, instruments)
    drain = JournalDrain(database, spool, {"row": TableSink()}, clock, instruments)
    journal.append([("row", b"secret words")])
    assert not await settled(spool, clock, 0.05)
    await drain.drain_all()
    assert await settled(spool, clock, 0.05)
    held = [path for path in journal.folder.glob("*.jnl") if b"secret" in path.read_bytes()]
    assert len(held) == 1
    await journal.begin_segment([])
    await journal.begin_segment([])  # nothing new in it: it stays
    await drain.drain_all()
    assert not held[0].exists()
    journal.append([("row", b"later")])
    await drain.drain_all()
    assert len(list(journal.folder.glob("*.jnl"))) == 1
    journal.close()
    await drain.drain_all()
    await asyncio.sleep(0)
    assert await settled(spool, clock, 0.05)
