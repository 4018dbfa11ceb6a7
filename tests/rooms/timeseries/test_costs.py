"""What would take the process' memory, its stack or its time is refused, and nothing waits for it."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.api.embedded import EmbeddedPrometheus
from cmg.timeseries.errors import BadData, ExecutionError, QueryTimeout
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.budget import MOST_CELLS, Budget
from cmg.timeseries.promql.engine import Engine, Limits
from cmg.timeseries.promql.parsing import selectors
from cmg.timeseries.store.chunk_store import ChunkStore
from cmg.timeseries.store.index import SeriesIndex
from support.memory_source import MemorySource
from support.promql_attacks import INSTANT, RANGED, ROOM_BYTES, TIMEOUT_S

TESTS = Path(__file__).parents[2]
NOW_MS = 1_700_000_000_000


@pytest.fixture(scope="module")
def told() -> dict[str, list[Any]]:
    """What became of each attack, in a process of 3 GB."""
    command = [sys.executable, "-m", "support.promql_attacks"]
    done = subprocess.run(command, cwd=TESTS, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("expression", [*INSTANT, *dict.fromkeys(RANGED)], ids=lambda text: text[:50])
def test_what_costs_too_much_is_refused_or_answered_in_time(told: dict[str, list[Any]], expression: str):
    outcome, took_s = told[expression]
    assert not outcome.startswith("broke"), outcome
    assert took_s < TIMEOUT_S * 4, "of a core: how long it takes on a busy machine says nothing"


def test_attacks_stay_within_the_memory(told: dict[str, list[Any]]):
    assert told[""][0] < ROOM_BYTES / 2


def test_of_two_large_queries_the_second_waits_until_its_time_is_over():
    large = threading.Semaphore()
    first, second = Budget(lambda: True, large), Budget(lambda: False, large)
    first.charge(MOST_CELLS // 2)
    second.charge(100)
    with pytest.raises(QueryTimeout):
        second.charge(MOST_CELLS // 2)
    first.close()
    Budget(lambda: False, large).charge(MOST_CELLS // 2)


def _source(series: int) -> MemorySource:
    times = [NOW_MS - 15_000 * ago for ago in range(10, 0, -1)]
    return MemorySource({labels_of([("__name__", "m"), ("n", str(n))]): (times, [1.0] * 10) for n in range(series)})


async def test_an_answer_is_written_while_others_go_on():
    """Writing two million numbers takes a second; the loop must not wait for it."""
    source: Any = _source(400)
    api = EmbeddedPrometheus(source, Engine(source, SystemClock()), list, SystemClock())
    form = {"query": ["sum_over_time(m[5m])"], "start": [str(NOW_MS / 1000 - 100)], "end": [str(NOW_MS / 1000)]}
    asked = asyncio.create_task(api.answer("query_range", {**form, "step": ["0.025"]}))
    longest, loop = 0.0, asyncio.get_running_loop()
    while not asked.done():
        began = loop.time()
        await asyncio.sleep(0.005)
        longest = max(longest, loop.time() - began)
    status, body = await asked
    assert (status, len(body) > 20_000_000) == (200, True)
    assert longest < 1.5  # writing alone takes several seconds on a busy machine


async def test_an_answer_that_fills_memory_is_refused():
    source: Any = _source(1400)
    api = EmbeddedPrometheus(source, Engine(source, SystemClock()), list, SystemClock())
    form = {"query": ["m"], "start": [str(NOW_MS / 1000 - 100)], "end": [str(NOW_MS / 1000)], "step": ["0.025"]}
    status, body = await api.answer("query_range", form)
    assert status == 422, body[:200]
    assert b"numbers" in body


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", "9" * 5000), ("limit", "²"), ("timeout", "9" * 5000 + "s"), ("lookback_delta", "1" * 4400 + "m")],
)
async def test_numbers_that_python_cannot_read_are_refused(name: str, value: str):
    source: Any = _source(1)
    api = EmbeddedPrometheus(source, Engine(source, SystemClock()), list, SystemClock())
    status, _ = await api.answer("query", {"query": ["m"], name: [value]})
    assert status == 400


async def test_selectors_without_end_are_refused():
    source: Any = _source(1)
    api = EmbeddedPrometheus(source, Engine(source, SystemClock()), list, SystemClock())
    for endpoint in ("series", "labels", "label/n/values"):
        status, body = await api.answer(endpoint, {"match[]": ["m"] * 101})
        assert (status, b"match[]" in body) == (400, True)


async def test_who_asks_for_years_of_everything_is_refused_before_it_is_read(store: ChunkStore, source: Any, database):
    """A year of ten thousand series is gigabytes: the sum of its samples is asked first."""
    await database.execute(
        'INSERT INTO timeseries_series (number, labels, created_at) VALUES (7, \'["__name__","m"]\', now())'
    )
    await database.execute(
        "INSERT INTO timeseries_chunks (number, span_ms, start_ms, samples, last_ms, data, written_at) "
        "SELECT 7, 86400000, day * 86400000, 1000000, 0, 'no chunk', now() FROM generate_series(0, 12) AS day"
    )
    await store.record_import(1, 1)
    engine = Engine(source, SystemClock())
    with pytest.raises(ExecutionError, match="too many samples"):
        await engine.instant("count_over_time(m[12d])", 12 * 86_400_000)


async def test_nesting_that_python_cannot_follow_is_refused():
    engine = Engine(_source(1), SystemClock())
    for expression in ("-" * 990 + "m", "abs(" * 330 + "m" + ")" * 330):
        with pytest.raises((BadData, ExecutionError), match="nested"):
            await engine.instant(expression, NOW_MS)


async def test_a_query_without_time_ends_at_once():
    with pytest.raises(QueryTimeout):
        await Engine(_source(1), SystemClock()).instant("m", NOW_MS, Limits(timeout_s=0))


def test_selections_are_kept_within_a_bound():
    index = SeriesIndex()
    for number in range(2000):
        index.add(number, labels_of([("__name__", "m"), ("n", str(number))]))
    for one in range(400):
        index.select(selectors(f'm{{other!="{one}"}}').matchers)
    assert 400_000 < index.rows_kept <= 500_000
