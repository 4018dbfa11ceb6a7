"""What time series cost: rules over 10,000 series, a panel over 30 days, memory, bytes a sample.

    python tests/bench/timeseries_scale.py

Scrapes are written into a real head, days into a real PostgreSQL; queries go through the engine, without HTTP.
Under two minutes. Times are of the process's CPU, on one core, and of the wall where the database is asked.
"""

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from cmg.kit.clock import SystemClock  # noqa: E402
from cmg.storage.database import Database  # noqa: E402
from cmg.telemetry.instruments import Instruments  # noqa: E402
from cmg.timeseries.labels import Labels, labels_of  # noqa: E402
from cmg.timeseries.promql.engine import Engine  # noqa: E402
from cmg.timeseries.promql.needs import Span  # noqa: E402
from cmg.timeseries.series import Series  # noqa: E402
from cmg.timeseries.store.chunk_store import ChunkStore  # noqa: E402
from cmg.timeseries.store.head import Head  # noqa: E402
from cmg.timeseries.store.index import SeriesIndex  # noqa: E402
from cmg.timeseries.store.sample_source import SampleSource  # noqa: E402
from support.postgres import TestServer  # noqa: E402

METRICS, EACH, STEP_MS = 20, 500, 15_000
DAYS, PANEL = 30, 20
DAY_MS = 86_400_000


def labels(metric: int, number: int) -> Labels:
    """One of the 500 series of a metric."""
    last = ("le" if metric % 4 == 0 else "path", str(number % 50))
    named = [("__name__", f"metric_{metric}_total"), ("m", str(metric)), ("job", f"j{number % 5}")]
    return labels_of([*named, ("instance", f"h{number % 50}:1"), ("code", str(200 + number // 50)), last])


def rules() -> Iterator[str]:
    """100 rules as they are written, each over the series of one metric."""
    for metric in range(METRICS):
        name = f"metric_{metric}_total"
        yield f"sum by (job) (rate({name}[5m]))"
        few = f'sum by (instance) (rate({name}{{code="205"}}[5m]))'
        yield f"{few} / on (instance) sum by (instance) (rate({name}[5m])) > 0.5"
        yield (
            f"histogram_quantile(0.95, sum by (le, job) (rate({name}[5m])))" if metric % 4 == 0 else f"topk(5, {name})"
        )
        yield f"avg_over_time({name}[10m]) > 1e9"
        yield f"increase({name}[1h]) == 0"


def filled(head: Head, now_ms: int) -> float:
    """Ten thousand series with 75 minutes of samples; ms of CPU a scrape."""
    rows = np.array([head.row(labels(metric, number)) for metric in range(METRICS) for number in range(EACH)])
    chance, values = np.random.default_rng(1), np.zeros(METRICS * EACH)
    head.floor_ms = now_ms - 300 * STEP_MS - 1
    head.flushed_ms = head.floor_ms
    started = time.process_time()
    for n in range(300):
        values += chance.poisson(5, len(values))
        head.append(rows, now_ms - (299 - n) * STEP_MS, values)
    return (time.process_time() - started) / 300 * 1000


async def asked(engine: Engine, expressions: Iterable[str], now_ms: int) -> dict[str, float]:
    """Seconds of CPU and of the wall for all of them, the second time they are asked."""
    everything = list(expressions)
    for again in range(2):
        cpu, wall = time.process_time(), time.perf_counter()
        for one in everything:
            await engine.instant(one, now_ms + again * 1000)
    return {"cpu_s": round(time.process_time() - cpu, 2), "wall_s": round(time.perf_counter() - wall, 2)}


async def seed_panel(store: ChunkStore, now_ms: int) -> None:
    """Twenty counters with 30 days of samples."""
    chance, count = np.random.default_rng(2), DAYS * DAY_MS // STEP_MS
    times = now_ms - (count - 1 - np.arange(count)) * STEP_MS
    for number in range(PANEL):
        values = np.cumsum(chance.poisson(7, count)).astype(float)
        await store.write_days([Series(labels_of([("__name__", "panel_total"), ("n", str(number))]), times, values)])


async def panel(engine: Engine, now_ms: int) -> dict[str, float]:
    """Seconds of the wall for each expression over 30 days at a step of an hour."""
    found = {}
    for one in ("panel_total", "rate(panel_total[5m])", "sum(rate(panel_total[1h]))", "max_over_time(panel_total[1h])"):
        started = time.perf_counter()
        await engine.over(one, Span(now_ms - DAYS * DAY_MS + 3_600_000, now_ms), 3_600_000)
        found[one] = round(time.perf_counter() - started, 2)
    return found


async def bytes_per_sample(database: Database) -> dict[str, float]:
    """What chunks take, rows and indexes included."""
    rows = await database.fetch(
        "SELECT span_ms, sum(samples) AS n, sum(length(data)) AS b FROM timeseries_chunks GROUP BY 1"
    )
    whole = await database.fetchval("SELECT pg_total_relation_size('timeseries_chunks')")
    fine = sum(row["n"] for row in rows if row["span_ms"] <= DAY_MS)
    return {"data": round(sum(row["b"] for row in rows) / fine, 2), "with_table": round(whole / fine, 2)}


async def measured(server: TestServer) -> dict[str, object]:
    """Everything, by name."""
    clock, now_ms = SystemClock(), int(time.time() * 1000)
    database = Database(await server.create(), clock=clock, instruments=Instruments())
    await database.open()
    index, before = SeriesIndex(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    head, store = Head(index, slots=368, most=20_000), ChunkStore(database, clock)
    found: dict[str, object] = {"scrape_of_10000_cpu_ms": round(filled(head, now_ms), 2)}
    engine = Engine(SampleSource(head, index, store), clock)
    found["100_rules_500_series_each"] = await asked(engine, rules(), now_ms)
    found["100_rules_10000_series_each"] = await asked(engine, ['sum by (job) (rate({job=~".+"}[5m]))'] * 100, now_ms)
    found["memory_mb"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    await seed_panel(store, now_ms - 3_600_000)
    await store.record_import(1, now_ms)
    found["panel_30_days_20_series_1h_s"] = await panel(engine, now_ms - 3_600_000)
    found["bytes_per_sample"] = await bytes_per_sample(database)
    await database.close()
    return found


def main() -> None:
    """Measure and print as JSON."""
    server = TestServer("timeseries-bench")
    try:
        print(json.dumps(asyncio.run(measured(server)), indent=2))
    finally:
        server.close()


if __name__ == "__main__":
    main()
