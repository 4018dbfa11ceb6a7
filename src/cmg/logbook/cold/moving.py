"""Moves days of lines out of the database into files, files on into the archive, and lets what is old go.

Each step can be cut off at any moment: a file counts when its row says so, and a day's rows go in the same
transaction in which its files begin to be read.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec

from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7
from cmg.logbook.cold.file_store import FileStore, StoredFile
from cmg.logbook.cold.file_writer import INDEX, write_file
from cmg.logbook.cold.shelf import Shelves
from cmg.logbook.models import Line
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_BATCH = 2000
_FILES = 100
_TRIES = 3  # of a day into which lines come while it is moved; then the next hour's
_DAY = timedelta(days=1)
_GRACE = timedelta(minutes=10)  # a search that reads a doomed file has ended by then
_log = get_logger("cmg.logbook.moving")


class Kept(msgspec.Struct, frozen=True):
    """For how many days lines are in each tier, counted from their own day on."""

    hot_days: int
    cold_days: int
    archive_days: int


class Mover:
    """The jobs of the tiers. Raises `DatabaseAway` and what the store of files raises; then it is tried again."""

    def __init__(self, store: FileStore, shelves: Shelves, kept: Kept, clock: Clock, instruments: Instruments) -> None:
        self._store, self._shelves, self._kept, self._clock = store, shelves, kept, clock
        self._instruments = instruments

    async def move(self) -> int:
        """Move every day that has been over for `hot_days`; returns how many lines went."""
        async with self._store.alone() as alone:
            lines = await self._move_all() if alone else 0
        await self._measure()
        return lines

    async def _move_all(self) -> int:
        lines, tries = 0, _TRIES
        before = self._today() - timedelta(days=self._kept.hot_days)
        while (oldest := await self._store.oldest_line()) is not None and tries:
            day = oldest.astimezone(UTC).date()
            if day >= before:
                break
            moved = await self._move_day(day)
            tries = _TRIES if moved else tries - 1
            lines += moved
        return lines

    async def archive(self) -> int:
        """Move files on whose days have been over for `cold_days`; returns how many."""
        before, count = self._today() - timedelta(days=self._kept.cold_days), 0
        while files := await self._store.to_archive(before, _FILES):
            for file in files:
                await self._archive_file(file)
                count += 1
        return count

    async def expire(self) -> int:
        """Doom files that are too old and not held, and delete what was doomed before; returns how many went."""
        before = self._today() - timedelta(days=self._kept.archive_days)
        while await self._store.expire(before, _FILES) == _FILES:
            continue
        count = 0
        while files := await self._store.doomed(self._clock.now() - _GRACE, _FILES):
            for file in files:
                await self._delete(file)
                count += 1
        return count

    async def _move_day(self, day: date) -> int:
        bounds = (_midnight(day), _midnight(day) + _DAY)
        newest = await self._store.newest_number()
        done = [file for file in await self._store.of_day(day) if file.state == "written"]
        await self._drop_unfinished(day)
        place = _end_of(done, bounds[0])
        lines = sum(file.lines for file in done)
        while True:
            batches = self._batches(bounds, place, newest)
            first = await anext(batches, None)
            if first is None:
                break
            place, count = await self._write(day, first, batches)
            lines += count
        if not await self._store.finish_day(day, bounds, newest):
            # Lines of that day came in while it was moved. They may belong between those that are written: again.
            await self._store.doom([file.file_id for file in await self._store.of_day(day)])
            return 0
        _log.info("a day of log lines is in files now", day=str(day), lines=lines)
        return lines

    async def _write(
        self, day: date, first: Sequence[Line], batches: AsyncIterator[Sequence[Line]]
    ) -> tuple[tuple[datetime, int], int]:
        """One file; returns the place of its last line and how many lines it has."""
        file_id = uuid7()
        name = f"{day:%Y/%m/%d}/{file_id.hex}.ndjson.zst"
        await self._store.begin(file_id, day, name)
        written = await write_file(self._shelves["cold"], name, _before(first, batches))
        assert written.first is not None
        assert written.last is not None
        ends = (written.first, written.last)
        await self._store.written(file_id, ends, written.severity, written.lines, written.size)
        return (written.last.at, written.last.line_no), written.lines

    async def _batches(
        self, bounds: tuple[datetime, datetime], place: tuple[datetime, int], newest: int
    ) -> AsyncIterator[Sequence[Line]]:
        while lines := await self._store.lines_of_day(bounds, place, newest, _BATCH):
            yield lines
            place = (lines[-1].at, lines[-1].line_no)

    async def _drop_unfinished(self, day: date) -> None:
        """What a move that was cut off has left half written."""
        half = [file for file in await self._store.of_day(day) if file.state == "writing"]
        await self._store.doom([file.file_id for file in half])

    async def _archive_file(self, file: StoredFile) -> None:
        cold, archive = self._shelves["cold"], self._shelves["archive"]
        name = file.name if cold is not archive else f"archive/{file.name}"
        async with archive.writing(name) as target:
            async for piece in cold.pieces(file.name):
                await target.write(piece)
        await archive.put(name + INDEX, await cold.get(file.name + INDEX))
        await self._store.archived(file.file_id, name)
        await cold.delete(file.name)
        await cold.delete(file.name + INDEX)

    async def _delete(self, file: StoredFile) -> None:
        shelf = self._shelves[file.tier]
        await shelf.delete(file.name)
        await shelf.delete(file.name + INDEX)
        await self._store.forget(file.file_id)

    async def _measure(self) -> None:
        for tier, sums in (await self._store.sums()).items():
            self._instruments.series("cmg_log_files_bytes", tier).set(sums["bytes"])
            self._instruments.series("cmg_log_files_records", tier).set(sums["lines"])

    def _today(self) -> date:
        return self._clock.now().astimezone(UTC).date()


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end_of(files: Sequence[StoredFile], otherwise: datetime) -> tuple[datetime, int]:
    """The place of the last line that is in a file already."""
    ends = [(file.last_at, file.last_no) for file in files if file.last_at is not None and file.last_no is not None]
    return max(ends, default=(otherwise, -1))


async def _before(first: Sequence[Line], rest: AsyncIterator[Sequence[Line]]) -> AsyncIterator[Sequence[Line]]:
    yield first
    async for batch in rest:
        yield batch
