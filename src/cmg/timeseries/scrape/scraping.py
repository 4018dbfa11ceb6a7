"""Asking every target at its pace: planned moments a whole interval apart, a deadline for each."""

import asyncio
import zlib
from collections.abc import Sequence

from cmg.kit.clock import Clock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.timeseries.exposition import Point
from cmg.timeseries.scrape.recording import Keeper, Recorder
from cmg.timeseries.scrape.targets import ScrapeFailed, Target
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.scrape_log import ScrapeLog

_PUT_BACK_MS = 60_000
_log = get_logger("cmg.timeseries.scrape")


class Scraping:
    """One target, for ever."""

    def __init__(self, target: Target, interval_s: float, timeout_s: float, clock: Clock) -> None:
        self._target, self._clock = target, clock
        self._interval_ms = max(1, round(interval_s * 1000))
        self._timeout_s = min(timeout_s, interval_s)
        # Targets are asked one after the other within the interval, each always at the same moment of it.
        name = f"{target.job} {target.instance}".encode()
        self._phase_ms = zlib.crc32(name) % self._interval_ms
        self._failing = False
        self.kept_at: float | None = None  # epoch seconds of the last scrape that brought samples

    async def run(self, head: Head, log: ScrapeLog, instruments: Instruments) -> None:
        """Ask, record, wait for the next moment. A moment that passed meanwhile is left out."""
        recorder = Recorder(self._target, Keeper(head, log, instruments))
        good, bad = (instruments.series("cmg_timeseries_scrapes_total", outcome) for outcome in ("good", "failed"))
        while True:
            planned = await self._next()
            if head.newest_ms > self._clock.time() * 1000 + _PUT_BACK_MS:
                lost = head.rewind(planned - 1)
                _log.warning("the clock was put back: samples of times to come are forgotten", samples=lost)
            started = self._clock.monotonic()
            points = await self._fetched()
            (bad if points is None else good).inc()
            recorder.record(planned, points, self._clock.monotonic() - started)
            if points is not None:
                self.kept_at = planned / 1000

    async def _next(self) -> int:
        """Sleep until the next planned moment; that moment, ms."""
        now = int(self._clock.time() * 1000)
        planned = (now - self._phase_ms) // self._interval_ms * self._interval_ms + self._phase_ms + self._interval_ms
        await self._clock.sleep((planned - self._clock.time() * 1000) / 1000)
        return planned

    async def _fetched(self) -> Sequence[Point] | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                points = await self._target.fetch()
        except Exception as error:  # noqa: BLE001  whatever a target does, the others are scraped on
            late = f"it did not answer within {self._timeout_s:g} s"
            told = {ScrapeFailed: str(error), TimeoutError: late}.get(type(error), repr(error))
            if not self._failing:
                _log.warning("a target cannot be scraped", job=self._target.job, url=self._target.instance, error=told)
            self._failing = True
            return None
        self._failing = False
        return points
