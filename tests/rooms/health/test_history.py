"""The history: written at once while the database is there, afterwards when it was not, and kept for 90 days."""

from datetime import timedelta
from pathlib import Path

import pytest

from cmg.health.history import History, read_kept
from cmg.health.models import Level
from cmg.health.store import HealthStore
from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.storage.migrate import migrate
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock
from support.postgres import OwnPostgres


@pytest.fixture
def make(database: Database, tmp_path: Path, clock: ManualClock, instruments: Instruments):
    def made(machine: str = "one", store: HealthStore | None = None) -> History:
        return History(tmp_path / f"{machine}.history", machine, store or HealthStore(database), clock, instruments)

    return made


async def rows(database: Database) -> list[tuple[str, str, str]]:
    found = await database.fetch("SELECT component, level_before, level_after FROM health_transitions ORDER BY at")
    return [tuple(row) for row in found]


async def test_only_changes_are_written_each_once(database, make, clock: ManualClock) -> None:
    history = make()
    await history.load()
    for level in (Level.HEALTHY, Level.HEALTHY, Level.UNHEALTHY, Level.UNHEALTHY, Level.HEALTHY):
        history.note("cache", level, clock.time(), "why")
        await history.keep()
        clock.advance(30)
    assert await rows(database) == [
        ("cache", "UNKNOWN", "HEALTHY"), ("cache", "HEALTHY", "UNHEALTHY"), ("cache", "UNHEALTHY", "HEALTHY"),
    ]  # fmt: skip
    await HealthStore(database).add(read_kept(history._path).recent)
    assert len(await rows(database)) == 3, "an answer that got lost doubles nothing"


async def test_a_restart_goes_on_where_it_was(database, make, clock: ManualClock) -> None:
    history = make()
    await history.load()
    history.note("cache", Level.DEGRADED, clock.time(), "")
    await history.keep()
    clock.advance(20)
    again = make()
    await again.load()
    again.note("cache", Level.DEGRADED, clock.time(), "")
    await again.keep()
    assert len(await rows(database)) == 1


async def test_a_time_in_which_nobody_looked_is_unknown(database, make, clock: ManualClock) -> None:
    history = make()
    await history.load()
    history.note("cache", Level.HEALTHY, clock.time(), "")
    await history.keep()
    seen_at = clock.time()
    clock.advance(3600)
    again = make()
    await again.load()
    again.note("cache", Level.HEALTHY, clock.time(), "")
    await again.keep()
    assert [after for _, _, after in await rows(database)] == ["HEALTHY", "UNKNOWN", "HEALTHY"]
    gap = await database.fetchval("SELECT at FROM health_transitions WHERE level_after = 'UNKNOWN'")
    assert gap.timestamp() == pytest.approx(seen_at)


async def test_what_changed_while_the_database_was_away_is_written_afterwards(
    tmp_path: Path, clock: ManualClock, instruments: Instruments
) -> None:
    server = OwnPostgres()
    database = Database(server.dsn, clock=SystemClock(), instruments=instruments, max_size=2)
    try:
        await migrate(server.dsn)
        await database.open()
        history = History(tmp_path / "h", "one", HealthStore(database), clock, instruments)
        await history.load()
        history.note("database", Level.HEALTHY, clock.time(), "")
        await history.keep()
        server.stop()
        clock.advance(30)
        history.note("database", Level.UNHEALTHY, clock.time(), "away")
        await history.keep()
        clock.advance(30)
        assert [one.after for one in read_kept(tmp_path / "h").recent] == ["UNHEALTHY", "HEALTHY"], "the file knows"
        again = History(tmp_path / "h", "one", HealthStore(database), clock, instruments)  # killed meanwhile
        await again.load()
        again.note("database", Level.HEALTHY, clock.time(), "")
        await again.keep()
        assert instruments.registry.get_sample_value("cmg_health_unwritten_entries_waiting") == 2
        server.start()
        await again.keep()
        assert [after for _, _, after in await rows(database)] == ["HEALTHY", "UNHEALTHY", "HEALTHY"]
        assert instruments.registry.get_sample_value("cmg_health_unwritten_entries_waiting") == 0
    finally:
        await database.close()
        server.close()


async def test_machines_see_each_others_transitions(make, clock: ManualClock) -> None:
    one, two = make("one"), make("two")
    for history in (one, two):
        await history.load()
        history.note("cache", Level.HEALTHY, clock.time(), "")
        await history.keep()
        clock.advance(1)
    assert [moved.machine for moved in read_kept(two._path).recent] == ["two", "one"]


async def test_the_purge_keeps_the_level_that_holds_on_and_forgets_dead_machines(database, make, clock) -> None:
    store = HealthStore(database)
    for machine in ("alive", "dead"):
        history = make(machine)
        await history.load()
        for level in (Level.HEALTHY, Level.DEGRADED, Level.HEALTHY):
            history.note("cache", level, clock.time(), "")
            clock.advance(60)
        await history.keep()
        await store.beat(machine, clock.now())
    clock.advance(timedelta(days=100).total_seconds())
    await store.beat("alive", clock.now())
    await store.purge(clock.now() - timedelta(days=90))
    left = await database.fetch("SELECT machine, level_after, level_before FROM health_transitions")
    assert [tuple(row) for row in left] == [("alive", "HEALTHY", "DEGRADED")]
    assert list(await store.beats()) == ["alive"]


async def test_a_damaged_file_begins_anew(make, tmp_path: Path) -> None:
    (tmp_path / "one.history").write_bytes(b"\xff\x00 damaged")
    history = make()
    await history.load()
    await history.keep()
    assert read_kept(tmp_path / "one.history").recent == []


async def test_more_than_can_wait_is_counted(make, clock: ManualClock, instruments: Instruments, monkeypatch) -> None:
    from cmg.health import history as module

    monkeypatch.setattr(module, "_UNWRITTEN_MAX", 3)
    nowhere = Database("postgresql:///none?host=/nowhere", clock=clock, instruments=instruments)
    history = make(store=HealthStore(nowhere))
    await history.load()
    for number in range(5):
        history.note("cache", Level(number % 2), clock.time(), "")
    assert instruments.registry.get_sample_value("cmg_health_transitions_lost_total") == 2
    await history.keep()
    assert len(read_kept(history._path).unwritten) == 3
