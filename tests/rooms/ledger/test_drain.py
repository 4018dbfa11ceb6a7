"""The drain: every record once and in order, whatever dies or is away; what nobody can store is set aside."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from cmg.kit.clock import SystemClock
from cmg.ledger import drain as drain_module
from cmg.ledger.drain import JournalDrain, rest_s
from cmg.ledger.journal import Journal
from cmg.ledger.spool.frames import frame
from cmg.ledger.spool.store import Overtaken
from cmg.ledger.spool.wakeup import knock
from cmg.storage.database import Database, DatabaseAway
from cmg.telemetry.instruments import Instruments
from rooms.ledger.spools import SMALL, TableSink, folders, make_table, stored, until


@pytest.fixture
async def table(database: Database) -> Database:
    await make_table(database)
    return database


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def journal(spool: Path, instruments: Instruments):
    made = Journal(spool, SMALL, instruments)
    yield made
    made.close()


@pytest.fixture
def drain(table: Database, spool: Path, instruments: Instruments) -> JournalDrain:
    return _drain(table, spool, instruments)


def _drain(database: Database, spool: Path, instruments: Instruments) -> JournalDrain:
    return JournalDrain(database, spool, {"usage": TableSink()}, SystemClock(), instruments)


def _count(instruments: Instruments, name: str, *labels: str) -> float:
    return instruments.series(name, *labels)._value.get()


async def test_records_arrive_once_and_in_order(drain: JournalDrain, journal: Journal, table: Database) -> None:
    sent = [f"r{n}" for n in range(300)]
    for payload in sent:
        position = journal.append([("usage", payload.encode())])
    assert await drain.drain_all() == 300
    assert await drain.drain_all() == 0
    assert await stored(table) == sent
    assert journal.drained(position)


async def test_another_drain_goes_on_where_the_first_ended(
    drain: JournalDrain, journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    journal.append([("usage", b"a")])
    await drain.drain_all()
    journal.append([("usage", b"b")])
    await _drain(table, spool, instruments).drain_all()
    with pytest.raises(Overtaken):
        await drain.drain_once()
    journal.append([("usage", b"c")])
    await drain.drain_all()
    assert await stored(table) == ["a", "b", "c"]


async def test_the_torn_tail_of_a_dead_worker_is_passed_over(
    drain: JournalDrain, journal: Journal, table: Database, instruments: Instruments
) -> None:
    journal.append([("usage", b"whole")])
    torn = frame([("usage", b"torn" * 10)])[:-7]
    segment = next(journal.folder.glob("*.jnl"))
    with segment.open("ab") as file:
        file.write(torn)
    await drain.drain_all()
    assert journal.folder.exists()
    journal.close()
    await drain.drain_all()
    assert await stored(table) == ["whole"]
    assert not journal.folder.exists()
    assert _count(instruments, "cmg_journal_damaged_bytes_total") == len(torn)


async def test_a_living_worker_is_waited_for(drain: JournalDrain, journal: Journal, table: Database) -> None:
    """Half a frame of a living worker may become a whole one."""
    whole = frame([("usage", b"in the making")])
    segment = next(journal.folder.glob("*.jnl"))
    segment.write_bytes(whole[:10])
    assert await drain.drain_all() == 0
    segment.write_bytes(whole)
    assert await drain.drain_all() == 1
    assert await stored(table) == ["in the making"]


async def test_the_folder_and_offset_of_a_finished_worker_go(
    drain: JournalDrain, journal: Journal, table: Database, spool: Path
) -> None:
    journal.append([("usage", b"a")])
    await drain.drain_all()
    assert folders(spool) == [journal.folder.name]
    journal.close()
    await drain.drain_once()
    assert folders(spool) == []
    assert await table.fetchval("SELECT count(*) FROM journal_offsets") == 0


async def test_poison_is_set_aside_and_the_rest_is_stored(
    drain: JournalDrain, journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    sent = ["a", "poison 1", "b", "\x00", "boom", "c", "poison 2"]
    for payload in sent:
        journal.append([("usage", payload.encode())])
    assert await drain.drain_all() == 7
    assert await stored(table) == ["a", "b", "c"]
    kept = {path.read_text() for path in (spool / "refused").iterdir() if path.suffix == ".usage"}
    assert kept == {"poison 1", "poison 2", "\x00", "boom"}
    assert len(list((spool / "refused").glob("*.why"))) == 4
    assert _count(instruments, "cmg_journal_records_refused_total", "usage") == 4


async def test_a_kind_without_a_sink_is_kept_aside(drain: JournalDrain, journal: Journal, spool: Path) -> None:
    journal.append([("later/../version", b"new")])
    assert await drain.drain_all() == 1
    (kept,) = (path for path in (spool / "refused").iterdir() if path.suffix != ".why")
    assert kept.read_bytes() == b"new"


async def test_kinds_are_stored_in_one_order_whichever_came_first(
    journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    """Else the drains of two machines could wait for each other's rows."""
    order: list[str] = []

    class Noted(TableSink):
        """A sink that says when its turn was."""

        async def write(self, conn, payloads):
            order.append(payloads[0].decode())
            await super().write(conn, payloads)

    journal.append([("third", b"third"), ("second", b"second")])
    journal.append([("usage", b"usage")])
    sinks = {"usage": Noted(), "second": Noted(), "third": Noted()}
    await JournalDrain(table, spool, sinks, SystemClock(), instruments).drain_all()
    assert order == ["usage", "second", "third"]


async def test_only_the_newest_refused_records_are_kept(
    drain: JournalDrain, journal: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.spool.refusal.MAX_FILES", 3)
    for n in range(10):
        journal.append([("unknown", str(n).encode())])
    await drain.drain_all()
    assert len(list((spool / "refused").iterdir())) == 6


async def test_a_database_that_is_away_loses_nothing(
    journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    away = Database("postgresql:///none?host=/nowhere", clock=SystemClock(), instruments=instruments)
    await away.open()
    blind = _drain(away, spool, instruments)
    journal.append([("usage", b"a")])
    with pytest.raises(DatabaseAway):
        await blind.drain_all()
    await away.close()
    await _drain(table, spool, instruments).drain_all()
    assert await stored(table) == ["a"]


async def test_records_larger_than_a_piece_come_through(
    drain: JournalDrain, journal: Journal, table: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.spool.folder.PIECE", 64)
    sent = ["s", "l" * 5000, "t", "m" * 3000]
    for payload in sent:
        journal.append([("usage", payload.encode())])
    await drain.drain_all()
    assert await stored(table) == sent


async def test_batches_are_bounded_and_every_worker_has_its_turn(
    table: Database, spool: Path, instruments: Instruments, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.ledger.drain.MAX_RECORDS", 10)
    journals = [Journal(spool, SMALL, instruments) for _ in range(3)]
    for journal in journals:
        for n in range(20):
            journal.append([("usage", f"{journal.folder.name}:{n}".encode())])
    drain = _drain(table, spool, instruments)
    assert [await drain.drain_once() for _ in range(3)] == [10, 10, 10]
    assert len({payload.split(":")[0] for payload in await stored(table)}) == 3
    assert await drain.drain_all() == 30
    for journal in journals:
        journal.close()


async def test_a_running_drain_is_woken_and_a_second_one_waits(
    drain: JournalDrain, journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    spare = _drain(table, spool, instruments)
    tasks = [asyncio.create_task(drain.run()), asyncio.create_task(spare.run())]
    for n in range(30):
        position = journal.append([("usage", str(n).encode())])
        await until(lambda at=position: journal.drained(at))
    assert await stored(table) == [str(n) for n in range(30)]
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks)


@pytest.mark.parametrize(
    ("records", "took_s", "rounds", "rests_s"),
    [
        (1, 0.001, 1, 0.02),
        (1, 0.01, 1, 0.04),
        (1, 0.001, 3, 0.045),
        (1, 0.001, 10**9, 0.2),
        (1999, 2.0, 1, 0.2),
        (2000, 2.0, 9, 0.0),
    ],
    ids=["a short round", "in proportion", "longer each time", "while load lasts", "never very long", "more is there"],
)
def test_rounds_rest_longer_the_longer_they_take(records: int, took_s: float, rounds: int, rests_s: float) -> None:
    assert rest_s(records, took_s, rounds) == pytest.approx(rests_s)


async def test_who_waits_for_a_turn_ends_a_rest(
    drain: JournalDrain, journal: Journal, spool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "_REST_S", (0.02, 60.0))
    monkeypatch.setattr(drain_module, "_REST", 1e9)
    task = asyncio.create_task(drain.run())
    first = journal.append([("usage", b"1")])
    await until(lambda: journal.drained(first))
    second = journal.append([("usage", b"2")])
    await asyncio.sleep(0.3)
    assert not journal.drained(second)
    knock(spool)
    await until(lambda: journal.drained(second))
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_database_set_back_behind_deleted_segments_goes_on(
    journal: Journal, table: Database, spool: Path, instruments: Instruments
) -> None:
    for n in range(20):
        journal.append([("usage", str(n).encode() * 500)])
    await _drain(table, spool, instruments).drain_all()
    await table.execute("UPDATE journal_offsets SET position = 0")
    await table.execute("TRUNCATE stored")
    journal.append([("usage", b"new")])
    await _drain(table, spool, instruments).drain_all()
    assert (await stored(table))[-1] == "new"


async def test_a_journal_shorter_than_its_offset_is_finished(
    drain: JournalDrain, journal: Journal, table: Database, spool: Path
) -> None:
    """Power was lost: the database kept what the file system did not."""
    journal.append([("usage", b"a")])
    journal.close()
    await table.execute(
        "INSERT INTO journal_offsets VALUES ($1::text::uuid, 10000, '2026-01-01T00:00Z')", journal.folder.name
    )
    await drain.drain_all()
    assert await stored(table) == []
    assert folders(spool) == []
