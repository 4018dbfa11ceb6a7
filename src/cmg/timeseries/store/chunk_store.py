"""The chunks in PostgreSQL: the only caller of this room's SQL."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import msgspec
import numpy as np

from cmg.kit.clock import Clock
from cmg.storage.database import Connection, Database
from cmg.storage.named_sql import load
from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import Labels
from cmg.timeseries.samples import Times, Values
from cmg.timeseries.series import Series, merged, number_of
from cmg.timeseries.store.chunks import DAY_MS, HOUR_MS, WEEK_MS, decode, encode
from cmg.timeseries.store.rollups import rolled_up

_LOCK = 0x636D6714
_BATCH = 500
_TIMEOUT_S = 30.0
_MOST_CHUNKS = 400_000
_READ_AT_ONCE = 1000

Parts = dict[tuple[int, int], list[tuple[Times, Values]]]
"""Runs of samples by series and start of their chunk."""


@dataclass(frozen=True)
class Stored:
    """One chunk as it was read."""

    number: int
    span_ms: int
    start_ms: int
    samples: int
    data: bytes


@dataclass(frozen=True)
class Imports:
    """What was imported so far: `newest` rises with each, `last_ms` is the newest sample of any."""

    newest: int
    last_ms: int


class ChunkStore:
    """Writes samples into chunks and reads chunks. Raises `DatabaseAway`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._sql = database, clock, load("cmg.timeseries.store")

    async def write_hours(self, series: Sequence[Series]) -> None:
        """Add samples to the chunks of their hours."""
        await self._write(series, HOUR_MS)

    async def write_days(self, series: Sequence[Series]) -> None:
        """Add samples to the chunks of their days, and to the weeks at the coarse resolution."""
        await self._write(series, DAY_MS)

    async def _write(self, series: Sequence[Series], span_ms: int) -> None:
        for begin in range(0, len(series), _BATCH):
            batch = series[begin : begin + _BATCH]
            numbers = [number_of(one.labels) for one in batch]
            async with self._database.transaction(_TIMEOUT_S) as conn:
                await self._add_series(conn, batch, numbers)
                parts = _cut(zip(numbers, batch, strict=True), span_ms)
                await self._extend(conn, parts, span_ms)
                if span_ms == DAY_MS:
                    await self._extend(conn, _weeks(zip(numbers, batch, strict=True)), WEEK_MS)

    async def _add_series(self, conn: Connection, batch: Sequence[Series], numbers: Sequence[int]) -> None:
        labels = [msgspec.json.encode([word for pair in one.labels for word in pair]).decode() for one in batch]
        await conn.execute(self._sql["lock_writers"], _LOCK)
        await conn.execute(self._sql["add_series"], numbers, labels, self._clock.now())

    async def _extend(self, conn: Connection, parts: Parts, span_ms: int) -> None:
        keys = list(parts)
        rows = await conn.fetch(
            self._sql["chunks_to_extend"], span_ms, [number for number, _ in keys], [start for _, start in keys]
        )
        for row in rows:
            parts[row["number"], row["start_ms"]].insert(0, decode(row["data"]))
        built = await asyncio.to_thread(lambda: [_built(runs) for runs in parts.values()])
        columns = [list(column) for column in zip(*built, strict=True)]
        starts = ([number for number, _ in keys], [start for _, start in keys])
        await conn.execute(self._sql["put_chunks"], span_ms, *starts, *columns, self._clock.now())

    async def series(self) -> dict[int, Labels]:
        """Every series by its number."""
        rows = await self._database.fetch(self._sql["every_series"], timeout_s=_TIMEOUT_S)
        return {row["number"]: _paired(row["labels"]) for row in rows}

    async def samples_between(self, numbers: Sequence[int], after_ms: int, until_ms: int) -> int:
        """How many samples the chunks hold that `between` would read."""
        spans = [HOUR_MS, DAY_MS, WEEK_MS]
        asked = (self._sql["samples_between"], numbers, spans, after_ms, until_ms)
        return int(await self._database.fetchval(*asked, timeout_s=_TIMEOUT_S))

    async def between(self, numbers: Sequence[int], after_ms: int, until_ms: int) -> list[Stored]:
        """Every chunk that may hold samples in `(after, until]`. Raises `ExecutionError` for too many."""
        found: list[Stored] = []
        for begin in range(0, len(numbers), _READ_AT_ONCE):
            rows = await self._database.fetch(
                self._sql["chunks_between"],
                numbers[begin : begin + _READ_AT_ONCE],
                [HOUR_MS, DAY_MS, WEEK_MS],
                after_ms,
                until_ms,
                _MOST_CHUNKS + 1,
                timeout_s=_TIMEOUT_S,
            )
            found += [Stored(**dict(row)) for row in rows]
            if len(found) > _MOST_CHUNKS:
                raise ExecutionError("query processing would load too many samples into memory in query execution")
        return found

    async def imports(self) -> Imports:
        """What was imported so far."""
        row = await self._database.fetchrow(self._sql["imports_known"])
        return Imports(row["newest"], row["last_ms"])

    async def record_import(self, samples: int, last_ms: int) -> None:
        """Tell whoever answers queries that there are new samples."""
        await self._database.execute(self._sql["record_import"], self._clock.now(), samples, last_ms)

    async def compact_some(self, before_ms: int) -> bool:
        """Join the hours of some series' days that were over before a moment; False when there are none left."""
        async with self._database.transaction(_TIMEOUT_S) as conn:
            await conn.execute(self._sql["lock_writers"], _LOCK)
            last = before_ms // DAY_MS * DAY_MS
            rows = await conn.fetch(self._sql["days_to_compact"], HOUR_MS, DAY_MS, last, _BATCH)
            if not rows:
                return False
            day = rows[0]["day"]
            numbers = sorted({row["number"] for row in rows if row["day"] == day})
            bounds = (HOUR_MS, day * DAY_MS, (day + 1) * DAY_MS)
            hours = await conn.fetch(self._sql["hours_of_day"], numbers, *bounds)
            runs: dict[tuple[int, str], list[tuple[Times, Values]]] = {}
            for row in hours:
                runs.setdefault((row["number"], row["labels"]), []).append(decode(row["data"]))
            joined = [(number, Series(_paired(labels), *merged(found))) for (number, labels), found in runs.items()]
            await self._extend(conn, _cut(joined, DAY_MS), DAY_MS)
            await self._extend(conn, _weeks(joined), WEEK_MS)
            await conn.execute(self._sql["drop_hours"], numbers, *bounds)
        return True

    async def purge_some(self, span_ms: int, before: datetime, limit: int = 5000) -> int:
        """Drop chunks whose time and whose writing lie before a moment; how many went."""
        ms = int(before.timestamp() * 1000)
        done = await self._database.execute(self._sql["purge_chunks"], span_ms, ms, before, limit, timeout_s=_TIMEOUT_S)
        return int(done.rpartition(" ")[2])

    async def purge_rest(self, series_before: datetime, imports_before: datetime) -> None:
        """Drop series without chunks, and what is known of old imports."""
        await self._database.execute(self._sql["purge_series"], series_before, timeout_s=_TIMEOUT_S)
        await self._database.execute(self._sql["purge_imports"], imports_before)


def _paired(written: str) -> Labels:
    words: list[str] = msgspec.json.decode(written)
    return tuple(zip(words[::2], words[1::2], strict=True))


def _built(runs: Sequence[tuple[Times, Values]]) -> tuple[int, int, bytes]:
    times, values = merged(runs)
    return len(times), int(times[-1]), encode(times, values)


def _cut(series: Iterable[tuple[int, Series]], span_ms: int) -> Parts:
    """Samples by the chunk that they belong to."""
    parts: Parts = {}
    for number, one in series:
        for start, run in _spans(one.times, one.values, one.times // span_ms, span_ms):
            parts[number, start] = [run]
    return parts


def _weeks(series: Iterable[tuple[int, Series]]) -> Parts:
    """What the coarse resolution keeps of samples, by week."""
    parts: Parts = {}
    for number, one in series:
        times, values = rolled_up(one.labels, one.times, one.values)
        for start, run in _spans(times, values, (times - 1) // WEEK_MS, WEEK_MS):
            parts[number, start] = [run]
    return parts


def _spans(times: Times, values: Values, of: Times, span_ms: int) -> Iterator[tuple[int, tuple[Times, Values]]]:
    edges = np.concatenate(([0], np.nonzero(np.diff(of))[0] + 1, [len(times)]))
    for low, high in pairwise(edges.tolist()):
        yield int(of[low]) * span_ms, (times[low:high], values[low:high])
