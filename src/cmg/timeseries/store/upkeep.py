"""What keeps the store bounded: hours go from the head into chunks, hours become days, what is old goes."""

from collections.abc import Callable
from datetime import timedelta

import asyncpg

from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.chunks import DAY_MS, HOUR_MS, WEEK_MS, DamagedChunk
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.scrape_log import ScrapeLog

EVERY_S = 30.0
_GRACE_MS = 60_000  # a scrape of the hour's last moment may still be on its way
_COMPACTED_AT_ONCE = 4
_log = get_logger("cmg.timeseries.upkeep")


class Upkeep:
    """Runs beside the scrapes. `raw_days` and `coarse_days` say how long each resolution is kept.

    While the disk is nearly full, and the database is on it (`beside_database`), nothing is written: what is recent
    stays in memory, so that rules go on, and is written when there is room again, as far as it is there still.
    """

    def __init__(self, head: Head, log: ScrapeLog, store: ChunkStore, clock: Clock, instruments: Instruments) -> None:
        self._head, self._scrapes, self._store, self._clock = head, log, store, clock
        self._failures = instruments.series("cmg_timeseries_upkeep_failures_total")
        self._lost = instruments.series("cmg_timeseries_samples_lost_total")
        self._series = instruments.series("cmg_timeseries_series")
        self._shedding = instruments.series("cmg_disk_shedding_ratio", "series")
        self._bytes = instruments.series("cmg_timeseries_memory_bytes")
        self._told_lost = 0
        self.raw_days, self.coarse_days = 30, 365
        self.beside_database = True
        self.deletes_nothing: Callable[[], bool] = lambda: False  # as while the clock was put ahead

    async def run(self, index: SeriesIndex) -> None:
        """Work for ever; what fails is tried again."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                await self.once(index)
            except (DatabaseAway, asyncpg.PostgresError, DamagedChunk, OSError) as error:
                self._failures.inc()
                _log.warning("the upkeep of the time series failed and is tried again", error=repr(error))

    async def once(self, index: SeriesIndex) -> None:
        """Everything that is due now. Raises `DatabaseAway`."""
        self._series.set(len(self._head))
        self._bytes.set(self._head.bytes)
        self._lost.inc(self._head.lost - self._told_lost)
        self._told_lost = self._head.lost
        self._shedding.set(self._scrapes.sheds)
        if not (self.beside_database and self._scrapes.sheds):
            await self._write()
        await self._purge(index)

    async def _write(self) -> None:
        await self.flush()
        for _ in range(_COMPACTED_AT_ONCE):
            if not await self._store.compact_some(self._now() - _GRACE_MS):
                break

    async def flush(self) -> None:
        """Write every hour that is over. Raises `DatabaseAway`; then nothing is forgotten."""
        while self._head.flushed_ms + HOUR_MS + _GRACE_MS <= self._now():
            begin = self._head.flushed_ms
            series = list(self._head.flushable(begin - 1, begin + HOUR_MS - 1))
            await self._store.write_hours(series)
            self._head.flushed_ms = begin + HOUR_MS if series else self._next_hour(begin)
            self._scrapes.forget(self._head.flushed_ms)

    def _next_hour(self, begin: int) -> int:
        """The hour that is to be written after an empty one: going through months without samples takes minutes."""
        over = (self._now() - _GRACE_MS) // HOUR_MS * HOUR_MS
        return min(over, self._head.first_after(begin) // HOUR_MS * HOUR_MS)

    async def _purge(self, index: SeriesIndex) -> None:
        if self.deletes_nothing():
            return
        now = self._clock.now()
        kept = {HOUR_MS: self.raw_days, DAY_MS: self.raw_days, WEEK_MS: self.coarse_days}
        gone = [await self._store.purge_some(span, now - timedelta(days=days)) for span, days in kept.items()]
        if any(gone):
            await self._store.purge_rest(now - timedelta(days=1), now - timedelta(days=self.coarse_days))
        idle = set(self._head.free_idle(min(self._head.flushed_ms, self._now() - 2 * HOUR_MS)))
        if idle or any(gone):
            kept_series = await self._store.series()
            index.remove([one for one in index.numbers() if one not in kept_series and one not in self._head])

    def _now(self) -> int:
        return int(self._clock.time() * 1000)
