"""Carries the spool of a machine's processes into the database, each line exactly once.

A part of a file and its offset are committed together, so a killed drain, writer or database leaves a part wholly
stored or wholly not. While the database is away lines wait in the spool, which is bounded.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import asyncpg

from cmg.kit.clock import Clock
from cmg.logbook.hot import spool_reader
from cmg.logbook.hot.line_store import LineStore, Overtaken
from cmg.logbook.models import Line, parsed
from cmg.logbook.patterns.keeping import Patterns
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.lines.spool import waiting_bytes
from cmg.telemetry.logs import get_logger

MOST_LINES = 1000
IDLE_S, BUSY_S = 0.5, 0.1
_BACKOFF_S = (0.5, 10.0)
_UPKEEP_S = 3600.0
_log = get_logger("cmg.logbook.drain")


class LogDrain:
    """One per machine. `stored` lists who is told of every committed batch, on the event loop: it must be quick."""

    def __init__(
        self,
        store: LineStore,
        spool: Path,
        clock: Clock,
        instruments: Instruments,
        patterns: Patterns | None = None,
    ) -> None:
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._store, self._spool, self._clock, self._patterns = store, spool, clock, patterns
        self.stored: list[Callable[[Sequence[Line]], None]] = []
        self._instruments = instruments
        self._positions: dict[str, int] = {}
        self._turn = asyncio.Lock()
        self._kept_up_at = float("-inf")

    async def run(self) -> None:
        """Drain until cancelled."""
        backoff = _BACKOFF_S[0]
        while True:
            try:
                count = await self.drain_once()
            except (DatabaseAway, Overtaken, OSError, asyncpg.PostgresError) as error:
                self._positions.clear()
                self._instruments.series("cmg_log_drain_failures_total").inc()
                if backoff == _BACKOFF_S[0]:
                    _log.warning("log lines wait for the database", error=repr(error))
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, _BACKOFF_S[1])
                continue
            backoff = _BACKOFF_S[0]
            await asyncio.sleep(0 if count >= MOST_LINES else BUSY_S if count else IDLE_S)

    async def drain_once(self) -> int:
        """A round over all files, a bounded part of each; returns how many lines were stored. Raises `DatabaseAway`."""
        async with self._turn:
            await self._keep_up()
            files = spool_reader.segments(self._spool)
            self._instruments.series("cmg_log_spool_bytes").set(waiting_bytes(self._spool))
            count = 0
            for file in files:
                with contextlib.suppress(FileNotFoundError):
                    count += await self._drain_file(file, files)
            return count

    async def drain_all(self) -> int:
        """Everything that is in the spool now."""
        total = 0
        while count := await self.drain_once():
            total += count
        return total

    async def _drain_file(self, file: Path, files: Sequence[Path]) -> int:
        over = spool_reader.finished(file, list(files))
        position = self._positions.get(file.name)
        if position is None:
            position = self._positions[file.name] = await self._store.offset(file.name)
        piece = spool_reader.read(file, position, MOST_LINES, over=over)
        if piece.end == position:
            if over:
                await self._remove(file)
            return 0
        now = self._clock.now()
        lines = await asyncio.to_thread(self._parsed, piece.lines, now)
        started = self._clock.monotonic()
        refused = await self._store.write_segment(file.name, position, piece.end, lines)
        self._positions[file.name] = piece.end
        self._count(len(lines) - refused, refused, piece.damaged, self._clock.monotonic() - started)
        for tell in self.stored:
            tell(lines)
        return len(lines)

    def _parsed(self, told: Sequence[bytes], now: datetime) -> list[Line]:
        lines = [parsed(line, now) for line in told]
        if self._patterns is not None:
            self._patterns.mine(lines)
        return lines

    async def _remove(self, file: Path) -> None:
        spool_reader.remove(file)
        self._positions.pop(file.name, None)
        await self._store.forget(file.name)

    async def _keep_up(self) -> None:
        """Once an hour: the partitions of the days to come, and what killed processes left."""
        now = self._clock.monotonic()
        if now - self._kept_up_at < _UPKEEP_S:
            return
        await self._store.ensure_days()
        if self._patterns is not None:
            await self._patterns.load()
        await self._store.purge_offsets()
        spool_reader.tidy(self._spool)
        self._kept_up_at = now

    def _count(self, stored: int, refused: int, damaged: int, took_s: float) -> None:
        self._instruments.series("cmg_log_lines_stored_total", "spool").inc(stored)
        self._instruments.series("cmg_log_write_duration_seconds").observe(took_s)
        if refused:
            self._instruments.series("cmg_log_lines_dropped_total", "refused").inc(refused)
        if damaged:
            _log.warning("bytes of a log file that are no whole line were passed over", bytes=damaged)
