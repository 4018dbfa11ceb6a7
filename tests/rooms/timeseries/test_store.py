"""Samples on their way: head, hours, days, weeks; what is old goes, what is asked for is whole."""

import asyncio
import time

import numpy as np
import pytest

from cmg.storage.errors import DatabaseAway
from cmg.telemetry.disk import DiskGuard
from cmg.timeseries.errors import ExecutionError, SourceAway
from cmg.timeseries.exposition import ExpositionError
from cmg.timeseries.importing import Import
from cmg.timeseries.samples import STALE, is_stale
from cmg.timeseries.scrape.recording import Keeper
from cmg.timeseries.store.chunk_store import Imports
from cmg.timeseries.store.chunks import HOUR_MS, WEEK_MS
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.scrape_log import ScrapeLog
from cmg.timeseries.store.upkeep import Upkeep
from rooms.timeseries.conftest import DAY, HOUR, named, read, series
from support.disks import GB, Disk

T = 20_000 * DAY  # a midnight long before the clock's time


async def spans(database) -> dict[int, int]:
    """How many chunks there are of each span."""
    rows = await database.fetch("SELECT span_ms, count(*) AS n FROM timeseries_chunks GROUP BY span_ms")
    return {row["span_ms"]: row["n"] for row in rows}


@pytest.fixture
def upkeep(head, store, clock, instruments, tmp_path) -> Upkeep:
    return Upkeep(head, ScrapeLog(tmp_path), store, clock, instruments)


async def test_while_the_disk_is_full_samples_stay_in_memory_and_are_written_later(
    head, store, database, clock, instruments, tmp_path
):
    disk = Disk()
    disk.free = GB // 2
    log = ScrapeLog(tmp_path, DiskGuard(tmp_path, clock, disk))
    keeper, upkeep = Keeper(head, log, instruments), Upkeep(head, log, store, clock, instruments)
    keeper.keep(head.flushed_ms + 1000, {named("m"): 1.0})
    clock.advance(HOUR / 1000 + 120)
    await upkeep.once(SeriesIndex())
    assert (await spans(database), list(log.read())) == ({}, [])
    assert instruments.registry.get_sample_value("cmg_timeseries_samples_shed_total") == 1
    assert instruments.registry.get_sample_value("cmg_disk_shedding_ratio", {"kind": "series"}) == 1
    disk.free = 50 * GB
    clock.advance(2)
    await upkeep.once(SeriesIndex())
    assert await spans(database) == {HOUR_MS: 1}
    assert instruments.registry.get_sample_value("cmg_disk_shedding_ratio", {"kind": "series"}) == 0


async def test_a_database_elsewhere_gets_samples_although_our_disk_is_full(
    head, store, database, clock, instruments, tmp_path
):
    disk = Disk()
    disk.free = 0
    log = ScrapeLog(tmp_path, DiskGuard(tmp_path, clock, disk))
    upkeep = Upkeep(head, log, store, clock, instruments)
    upkeep.beside_database = False
    Keeper(head, log, instruments).keep(head.flushed_ms + 1000, {named("m"): 1.0})
    clock.advance(HOUR / 1000 + 120)
    await upkeep.once(SeriesIndex())
    assert await spans(database) == {HOUR_MS: 1}


async def test_days_are_read_back_whole_over_their_edges(store, source):
    await store.write_days([series("m", T + HOUR, 12_000)])
    found = await read(source, "m", 0, T + 10 * DAY)
    assert found.times.tolist() == (T + HOUR + np.arange(12_000) * 15_000).tolist()
    assert found.values.tolist() == list(range(12_000))
    part = await read(source, "m", T + DAY, T + DAY + 60_000)
    assert part.times.tolist() == [T + DAY + n * 15_000 for n in range(1, 5)]


async def test_writing_again_adds_and_corrects(store, source, database):
    await store.write_days([series("m", T, 10)])
    await store.record_import(10, T)
    again = series("m", T + 75_000, 10)
    await store.write_days([again])
    found = await read(source, "m", 0, T + DAY)
    assert found.values.tolist() == [0, 1, 2, 3, 4, *range(10)]
    assert (await spans(database)) == {DAY: 1, WEEK_MS: 1}


async def test_hours_are_compacted_to_days_and_nothing_is_lost(store, source, database):
    for hour in range(24):
        await store.write_hours([series("m", T + hour * HOUR, 240), series("n", T + hour * HOUR, 240)])
    assert await spans(database) == {HOUR_MS: 48}
    assert not await store.compact_some(T + DAY - 1)
    assert await store.compact_some(T + DAY)
    assert not await store.compact_some(T + DAY)
    assert await spans(database) == {DAY: 2, WEEK_MS: 2}
    found = await read(source, "n", 0, T + DAY)
    assert found.values.tolist() == list(range(240)) * 24


async def test_markers_of_ended_series_survive(store, source):
    ended = series("m", T, 3)
    ended.values[2] = STALE
    await store.write_hours([ended])
    assert is_stale((await read(source, "m", 0, T + DAY)).values).tolist() == [False, False, True]


async def test_head_and_chunks_are_joined_without_seam_or_doubling(head, store, source):
    now = head.flushed_ms
    row = np.array([head.row(named("m"))])
    await store.write_hours([series("m", now - HOUR, 240)])
    for n in range(20):
        head.append(row, head.floor_ms + 1 + n * 15_000, np.array([1000.0 + n]))
    found = await read(source, "m", now - HOUR - 1, now + DAY)
    assert found.values.tolist() == [*range(240), *(1000 + n for n in range(20))]
    await store.write_hours(list(head.flushable(0, now + DAY)))
    again = await read(source, "m", now - HOUR - 1, now + DAY)
    assert again.values.tolist() == found.values.tolist()


async def test_an_hour_is_flushed_once_it_is_over_and_its_log_forgotten(head, source, upkeep, clock, database):
    begin = head.flushed_ms
    row = np.array([head.row(named("m"))])
    for n in range(90):
        head.append(row, begin + (n + 1) * 60_000, np.array([float(n)]))
        upkeep._scrapes.append((named("m"),), begin + (n + 1) * 60_000, np.array([float(n)]))
    await upkeep.once(head._index)
    assert await spans(database) == {}
    clock.advance(HOUR / 1000 + 61)
    await upkeep.once(head._index)
    assert await spans(database) == {HOUR_MS: 1}
    assert head.flushed_ms == begin + HOUR
    assert {one.time_ms // HOUR for one in upkeep._scrapes.read()} == {begin // HOUR + 1}
    head.floor_ms = begin + 2 * HOUR  # as if all of it had left the head
    assert len((await read(source, "m", begin - 1, begin + HOUR - 1)).values) == 59


async def test_hours_without_samples_are_not_gone_through_one_by_one(head, upkeep, clock, database, monkeypatch):
    """As after the clock was put ahead by two years: the event loop stood still for minutes."""
    looks, flushable = [], head.flushable

    def counted(after_ms: int, until_ms: int):
        looks.append(after_ms)
        return flushable(after_ms, until_ms)

    monkeypatch.setattr(head, "flushable", counted)
    begin, row = head.flushed_ms, np.array([head.row(named("m"))])
    head.append(row, begin + HOUR - 1, np.array([1.0]))
    clock.advance(800 * DAY / 1000)
    head.append(row, begin + 800 * DAY + 1, np.array([2.0]))
    clock.advance(2 * HOUR / 1000)
    await upkeep.flush()
    assert await spans(database) == {HOUR_MS: 2}
    assert head.flushed_ms == (int(clock.time() * 1000) - 60_000) // HOUR * HOUR
    assert len(looks) <= 4


async def test_nothing_old_goes_while_it_is_said_that_nothing_is_to_be_deleted(store, upkeep, clock, database):
    await store.write_days([series("m", T, 10)])
    clock.advance(400 * DAY / 1000)
    upkeep.deletes_nothing = lambda: True
    await upkeep.once(upkeep._head._index)
    assert sum((await spans(database)).values()) > 0
    upkeep.deletes_nothing = lambda: False
    await upkeep.once(upkeep._head._index)
    assert await spans(database) == {}


async def test_coarse_samples_answer_for_days_whose_fine_ones_are_gone(store, source, database, clock, upkeep, head):
    now = int(clock.time() * 1000) // DAY * DAY
    await store.write_days([series("m", now - 40 * DAY, 5760), series("m2", now - 40 * DAY, 5760)])
    await store.write_days([series("m", now - 3 * DAY, 5760)])
    clock.advance(31 * 86_400)
    await store.write_days([series("m", now - DAY, 10)])
    await upkeep.once(head._index)
    assert (await spans(database))[DAY] == 1
    found = await read(source, "m", now - 41 * DAY, now)
    old = found.times < now - DAY
    assert (np.diff(found.times[old][:289]) == 300_000).all()
    assert found.values[old][:3].tolist() == [0, 20, 40]  # that of midnight, the last ones of five minutes
    assert len(found.times) == 2 * 289 + 10
    clock.advance(366 * 86_400)
    await upkeep.once(head._index)
    assert await spans(database) == {}
    assert await database.fetchval("SELECT count(*) FROM timeseries_series") == 0


async def test_imported_samples_of_any_age_are_kept_from_their_import_on(store, source, upkeep, head):
    await Import(store, most_series=10).load(["m 1 1000", "m 2 1015", "# EOF"])
    await upkeep.once(head._index)
    assert (await read(source, "m", 0, 10**7)).values.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["m 1"], "no timestamp"),
        (["m 1 1"], "# EOF"),
        ([f"m{n} 1 1" for n in range(11)] + ["# EOF"], "more than 10 series"),
    ],
)
async def test_an_import_says_what_is_wrong(store, lines: list[str], told: str):
    with pytest.raises(ExpositionError, match=told):
        await Import(store, most_series=10).load([*lines, "# EOF"] if told == "no timestamp" else lines)


async def test_queries_see_an_import_of_present_time_at_once(head, store, source):
    now = head.floor_ms
    assert len((await read(source, "m", now, now + HOUR)).values) == 0
    await Import(store, most_series=10).load([f"m 7 {now / 1000 + 30:.3f}", "# EOF"])
    assert (await read(source, "m", now, now + HOUR)).values.tolist() == [7]


async def test_a_slow_database_does_not_hold_up_who_asks_for_the_present(head, store, source, monkeypatch):
    """Rules ask some hundred times a minute; what an import brought is known as soon as the database has said so."""
    head.append(np.array([head.row(named("m"))]), head.floor_ms + 1000, np.array([5.0]))
    real, asked = store.imports, []

    async def slowly() -> Imports:
        asked.append(time.monotonic())
        await asyncio.sleep(1.5)
        return await real()

    monkeypatch.setattr(store, "imports", slowly)
    await Import(store, most_series=10).load([f"n 7 {head.floor_ms / 1000 + 30:.3f}", "# EOF"])
    began = time.monotonic()
    for _ in range(3):
        assert (await read(source, "m", head.floor_ms, head.floor_ms + HOUR)).values.tolist() == [5]
    assert time.monotonic() - began < 1.2
    assert len(asked) == 1, "one look at a time"
    await asyncio.sleep(began + 2 - time.monotonic())
    assert (await read(source, "n", head.floor_ms, head.floor_ms + HOUR)).values.tolist() == [7]


async def test_without_the_database_the_present_is_answered_and_the_past_says_why(head, source, database):
    row = np.array([head.row(named("m"))])
    head.append(row, head.floor_ms + 1000, np.array([5.0]))
    await read(source, "m", head.floor_ms, head.floor_ms + HOUR)
    await database.close()
    assert (await read(source, "m", head.floor_ms, head.floor_ms + HOUR)).values.tolist() == [5]
    with pytest.raises(SourceAway):
        await read(source, "m", head.floor_ms - HOUR, head.floor_ms)


async def test_a_failed_flush_forgets_nothing(head, upkeep, database, clock):
    begin = head.flushed_ms
    head.append(np.array([head.row(named("m"))]), begin + 1000, np.array([5.0]))
    upkeep._scrapes.append((named("m"),), begin + 1000, np.array([5.0]))
    clock.advance(2 * HOUR / 1000)
    await database.close()
    with pytest.raises(DatabaseAway):
        await upkeep.flush()
    assert head.flushed_ms == begin
    assert len(list(upkeep._scrapes.read())) == 1


async def test_a_damaged_chunk_is_an_error_and_never_a_number(store, source, database):
    await store.write_days([series("m", T, 10)])
    await database.execute("UPDATE timeseries_chunks SET data = substr(data, 1, 40)")
    with pytest.raises(ExecutionError, match="is damaged"):
        await read(source, "m", 0, T + DAY)
