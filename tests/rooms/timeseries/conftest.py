"""What tests of the store begin with: chunks in a real PostgreSQL, a head, and series to put into them."""

import numpy as np
import pytest

from cmg.storage.database import Database
from cmg.timeseries.labels import Labels, labels_of
from cmg.timeseries.promql.needs import Need
from cmg.timeseries.promql.plan import Matcher
from cmg.timeseries.samples import Samples
from cmg.timeseries.series import Series
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.sample_source import SampleSource
from support.manual_clock import ManualClock

HOUR, DAY = 3_600_000, 86_400_000


def named(name: str, **more: str) -> Labels:
    """Labels of a metric."""
    return labels_of([("__name__", name), *more.items()])


def series(name: str, start_ms: int, count: int, step_ms: int = 15_000) -> Series:
    """A series whose values count from 0 on."""
    return Series(named(name), start_ms + np.arange(count) * step_ms, np.arange(float(count)))


def need(name: str, after_ms: int, until_ms: int) -> Need:
    """The samples of one metric between two times."""
    return Need((Matcher("__name__", "=", name),), after_ms, until_ms)


async def read(source: SampleSource, name: str, after_ms: int, until_ms: int) -> Samples:
    """The samples of one metric."""
    wanted = need(name, after_ms, until_ms)
    return (await source.select([wanted]))[wanted]


@pytest.fixture
def store(database: Database, clock: ManualClock) -> ChunkStore:
    return ChunkStore(database, clock)


@pytest.fixture
def head(clock: ManualClock) -> Head:
    """Room for 20 series of 100 samples; nothing before now is in it."""
    made = Head(SeriesIndex(), slots=100, most=20)
    made.floor_ms = int(clock.time() * 1000)
    made.flushed_ms = made.floor_ms // HOUR * HOUR
    return made


@pytest.fixture
def source(head: Head, store: ChunkStore) -> SampleSource:
    return SampleSource(head, head._index, store)
