"""The embedded time series of one machine: scrapes, store and API put together."""

import asyncio
from collections.abc import Mapping, Sequence

import aiohttp

from cmg.config import TimeseriesSettings
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.api.embedded import EmbeddedPrometheus
from cmg.timeseries.api.parameters import Form
from cmg.timeseries.labels import Labels
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.scrape.recording import Keeper, keep
from cmg.timeseries.scrape.scraping import Scraping
from cmg.timeseries.scrape.targets import HttpTarget, Target
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.chunks import HOUR_MS
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.sample_source import SampleSource
from cmg.timeseries.store.scrape_log import ScrapeLog
from cmg.timeseries.store.upkeep import Upkeep

_HELD_S = 5400.0


class Monitor:
    """Build it inside the loop. `restore` first, then `run` beside everything else; `answer` is Prometheus' API."""

    def __init__(
        self, settings: TimeseriesSettings, log: ScrapeLog, database: Database, clock: Clock, instruments: Instruments
    ) -> None:
        self._settings, self._clock, self._instruments = settings, clock, instruments
        self._index, self._log = SeriesIndex(), log
        slots = int(_HELD_S / settings.scrape_interval_s) + 8
        self._head = Head(self._index, slots=slots, most=settings.max_series)
        store = ChunkStore(database, clock)
        self.source = SampleSource(self._head, self._index, store)
        self.engine = Engine(self.source, clock)  # of rules: they never wait for what somebody asks
        self._keeper = Keeper(self._head, self._log, instruments)
        self.upkeep = Upkeep(self._head, self._log, store, clock, instruments)
        self.upkeep.raw_days, self.upkeep.coarse_days = settings.raw_days, settings.coarse_days
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        self._targets: list[tuple[Target, float]] = [
            (HttpTarget(one.job, one.url, self._session, most=settings.max_series), one.timeout_s)
            for one in settings.targets
        ]
        self._own: list[Scraping] = []
        self._api = EmbeddedPrometheus(
            self.source, Engine(self.source, clock), lambda: [one.metadata for one, _ in self._targets], clock
        )

    def restore(self) -> None:
        """Take up the scrapes that a run before logged and did not flush."""
        now = int(self._clock.time() * 1000)
        self._head.floor_ms = now
        self._head.flushed_ms = now // HOUR_MS * HOUR_MS
        for scraped in self._log.read():
            hour = scraped.time_ms // HOUR_MS * HOUR_MS
            self._head.floor_ms = min(self._head.floor_ms, hour)
            self._head.flushed_ms = min(self._head.flushed_ms, hour)
            keep(self._head, scraped)

    async def run(self, own: Sequence[Target] = ()) -> None:
        """Scrape and keep for ever: the targets of the settings, and `own` ones of this process."""
        mine = set(map(id, own))
        self._targets += [(one, self._settings.scrape_interval_s) for one in own]
        work = [self.upkeep.run(self._index)]
        for target, timeout_s in self._targets:
            scraping = Scraping(target, self._settings.scrape_interval_s, timeout_s, self._clock)
            if id(target) in mine:
                self._own.append(scraping)
            work.append(scraping.run(self._head, self._log, self._instruments))
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)

    def newest(self) -> float | None:
        """Epoch second of the newest scrape of this process' own targets; None before the first."""
        return max((one.kept_at for one in self._own if one.kept_at is not None), default=None)

    def keep(self, at_ms: int, samples: Mapping[Labels, float]) -> None:
        """Keep what rules gave at a moment, as a scrape is kept."""
        self._keeper.keep(at_ms, samples)

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call of Prometheus' API."""
        started = self._clock.monotonic()
        found = await self._api.answer(endpoint, form)
        name = "label_values" if endpoint.startswith("label/") else endpoint
        took = self._instruments.series("cmg_timeseries_query_duration_seconds", name)
        took.observe(self._clock.monotonic() - started)
        return found

    async def close(self) -> None:
        """Close the log and the connections to targets."""
        self._log.close()
        await self._session.close()
