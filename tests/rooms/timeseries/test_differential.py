"""The same samples in a real Prometheus and here: every expression answers alike, or is an error in both."""

import asyncio
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.api.answers import answer_json
from cmg.timeseries.errors import QueryError
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.promql.needs import Span
from support.memory_source import MemorySource
from support.metric_world import START_S, openmetrics
from support.prometheus_server import PrometheusServer
from support.promql_expressions import grown, picked

pytestmark = pytest.mark.needs("prometheus", "promtool")
INSTANTS = (START_S + 7207, START_S + 4607)
RANGE = (START_S + 307, START_S + 10507, 105)
CLOSE = 1e-9
TINY = 1e-12  # what is left where equal numbers cancel each other


@pytest.fixture(scope="module")
def prometheus() -> Iterator[PrometheusServer]:
    with PrometheusServer(openmetrics()) as server:
        yield server


@pytest.fixture(scope="module")
def source() -> MemorySource:
    return MemorySource.of_text(openmetrics())


def ours(source: MemorySource, expression: str, moments: tuple[int, ...]) -> dict[str, Any]:
    """What our engine answers, as JSON: at one moment, or over (start, end, step)."""
    engine = Engine(source, SystemClock())
    ranged = len(moments) > 1
    ms = [moment * 1000 for moment in moments]
    asked = engine.over(expression, Span(*ms[:2]), ms[2]) if ranged else engine.instant(expression, ms[0])
    try:
        return dict(json.loads(answer_json(asyncio.run(asked), ranged=ranged, limit=0)))
    except QueryError as error:
        return {"status": "error", "error": str(error)}


def close(one: str, other: str) -> bool:
    a, b = float(one), float(other)
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= max(CLOSE * max(abs(a), abs(b)), TINY)


def by_series(data: dict[str, Any]) -> dict[tuple[tuple[str, str], ...], list[list[Any]]]:
    """Series → [[time, value], …]; a scalar or string is one series without labels."""
    if data["resultType"] in {"scalar", "string"}:
        return {(): [data["result"]]}
    found = {tuple(sorted(one["metric"].items())): one.get("values") or [one["value"]] for one in data["result"]}
    assert len(found) == len(data["result"]), "a series is there twice"
    return found


def compare(theirs: dict[str, Any], mine: dict[str, Any]) -> None:
    assert theirs["status"] == mine["status"], (theirs.get("error"), mine.get("error"))
    if theirs["status"] == "error":
        return
    assert theirs["data"]["resultType"] == mine["data"]["resultType"]
    expected, found = by_series(theirs["data"]), by_series(mine["data"])
    assert expected.keys() == found.keys()
    for labels, samples in expected.items():
        assert [time for time, _ in samples] == [time for time, _ in found[labels]], labels
        for (time, value), (_, other) in zip(samples, found[labels], strict=True):
            assert value == other or close(value, other), (labels, time, value, other)


@pytest.mark.parametrize("expression", [*picked(), *grown(400, seed=14)])
def test_answers_are_those_of_prometheus(prometheus: PrometheusServer, source: MemorySource, expression: str):
    for moment in INSTANTS:
        compare(prometheus.ask("/api/v1/query", query=expression, time=moment), ours(source, expression, (moment,)))
    start, end, step = RANGE
    theirs = prometheus.ask("/api/v1/query_range", query=expression, start=start, end=end, step=step)
    compare(theirs, ours(source, expression, RANGE))
