"""Every panel of every dashboard draws something after a load with failures in it, here and in a real Prometheus.

Panels that say when they idle may only be empty where this machine cannot cause it (`SILENT`).
"""

import asyncio
import itertools
import json
import math
import os
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from cmg.analytics.models import Look
from cmg.analytics.panels import bound
from cmg.analytics.watching import DashboardWatch
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.timeseries.api.answers import answer_json
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.engine import Engine
from support.dashboard_load import Watched, get, picture
from support.memory_source import MemorySource
from support.processes import wait_until
from support.prometheus_server import ScrapingPrometheus, ask
from support.service import Service

PANELS = [(dashboard.slug, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]
# What the kernel of a test's machine may not tell, and what needs a second database.
SILENT = {"throttled", "container-memory", "disk-operations", "disk-latency", "sockets", "replication"}
SPAN_S = 300  # covers the whole load
_FEW = 3


@pytest.fixture(scope="module")
def prometheus(watched: Watched) -> ScrapingPrometheus:
    assert watched.prometheus is not None
    wait_until(lambda: _asked(watched.prometheus, 'ALERTS{alertstate="firing"}'), 60, "an alert that fires there")
    return watched.prometheus


@pytest.fixture(scope="module")
def moment(prometheus: ScrapingPrometheus) -> float:
    """A moment between two scrapes: 2.42 has ranges that are closed at both ends, 3 left-open ones."""
    time.sleep(2)  # the last part of the load has been scraped
    newest = float(_asked(prometheus, "max(timestamp(up))")[0]["value"][1])
    time.sleep(1.5)
    return round(newest + 0.5, 3)


@pytest.fixture(scope="module")
def last_s(watched: Watched, moment: float) -> int:
    """A window that covers the last part of the load: every series that it counts in is older."""
    return round(moment - watched.last_at)


@pytest.fixture(scope="module")
def unseen(service: Service, prometheus: ScrapingPrometheus, moment: float, last_s: int) -> float:
    """Cores that may have worked beside what both saw: all of them, for as long as one saw nothing, at either end."""
    form, longest = {"query": f"up[{last_s}s]", "time": moment}, 0.0
    answers = [prometheus.ask("/api/v1/query", **form), ask(service.url, "/api/v1/query", form, service.key)]
    for one in itertools.chain.from_iterable(answer["data"]["result"] for answer in answers):
        seen = [moment - last_s, *(float(at) for at, up in one["values"] if float(up)), moment]
        longest = max(longest, *(later - at for at, later in itertools.pairwise(seen)))
    assert longest > 0
    return 2 * longest * (os.cpu_count() or 1) / last_s


def _asked(server: ScrapingPrometheus, query: str) -> list[dict[str, Any]]:
    return list(server.ask("/api/v1/query", query=query)["data"]["result"])


@pytest.mark.parametrize(("slug", "panel"), PANELS, ids=[f"{slug}/{panel.id}" for slug, panel in PANELS])
def test_panel_draws(service: Service, slug: str, panel: Any):
    shown = picture(service, slug, panel.id)
    drawn = {"lines": shown["lines"], "table": shown["rows"]}.get(panel.form, shown["values"])
    assert drawn or (panel.idle and panel.id in SILENT), shown


PROMQL = pytest.mark.parametrize(
    "panel",
    [panel for _, panel in PANELS if panel.promql],
    ids=[f"{slug}/{panel.id}" for slug, panel in PANELS if panel.promql],
)


def _forms(panel: Any, moment: float, window_s: int) -> list[dict[str, Any]]:
    """What a panel asks at a moment, with a window of rates."""
    look = Look(moment - SPAN_S, moment, SPAN_S)
    asked = [bound(one.expr, look).replace(f"[{SPAN_S}s]", f"[{window_s}s]") for one in panel.promql]
    return [{"query": query, "time": moment} for query in asked]


@pytest.mark.needs("prometheus", "promtool")
@PROMQL
def test_panel_draws_in_a_real_prometheus_and_much_alike_here(
    service: Service, prometheus: ScrapingPrometheus, moment: float, last_s: int, unseen: float, panel: Any
):
    """Both scraped the same service, each at its own moments."""
    drawn = 0
    for form in _forms(panel, moment, SPAN_S):
        expected, found = _both(service, prometheus, form)
        drawn += any(math.isfinite(value) for value in expected.values())
        # Two scrapes do not agree on the tenth of nearly equal ones, two evaluations not on how long something lasts.
        if not re.search("topk|ALERTS", form["query"]):
            assert _large(expected) <= found.keys(), form
            # One that was born at the last scrape has a rate here, as its count began at 0, and none there.
            assert len(_large(found) - expected.keys()) <= 1, form
    assert drawn or panel.id in SILENT
    for form in _forms(panel, moment, last_s):
        expected, found = _both(service, prometheus, form)
        # Other figures go up and down from scrape to scrape; what all programs do to a disk comes in bursts.
        if "rate(" in form["query"] and "cmg_disk_operation" not in form["query"]:
            both = {labels: (value, found[labels]) for labels, value in expected.items() if labels in found}
            if not re.search("_seconds|_bytes|_usd", form["query"]):  # two or three events fall between two samples
                both = {labels: two for labels, two in both.items() if max(two) * last_s >= _FEW}
            most = unseen if "_cpu_seconds" in form["query"] else 0.05
            assert {labels: two for labels, two in both.items() if not _near(*two, most)} == {}, form


Figures = dict[tuple[tuple[str, str], ...], float]


def _large(values: Figures) -> set[tuple[tuple[str, str], ...]]:
    """Series that are no matter of a moment: one that was born between two scrapes is seen by one of the two."""
    most = max((abs(value) for value in values.values() if math.isfinite(value)), default=0.0)
    return {labels for labels, value in values.items() if not abs(value) < most / 100}


def _both(service: Service, prometheus: ScrapingPrometheus, form: dict[str, Any]) -> tuple[Figures, Figures]:
    theirs, ours = prometheus.ask("/api/v1/query", **form), ask(service.url, "/api/v1/query", form, service.key)
    return _values(theirs), _values(ours)


@dataclass
class Samples:
    """Everything that the real Prometheus has, for our engine; `young`: metrics with series that began meanwhile."""

    source: MemorySource
    young: set[str]


@pytest.fixture(scope="module")
def samples(prometheus: ScrapingPrometheus, moment: float, last_s: int) -> Samples:
    told = prometheus.ask("/api/v1/query", query=f'{{__name__=~".+"}}[{SPAN_S}s]', time=moment)["data"]["result"]
    young = {one["metric"]["__name__"] for one in told if float(one["values"][0][0]) > moment - last_s}
    series = {
        labels_of(one["metric"].items()): (
            [round(at * 1000) for at, _ in one["values"]], [float(value) for _, value in one["values"]]
        )
        for one in told
    }  # fmt: skip
    return Samples(MemorySource(series), young)


@pytest.mark.needs("prometheus", "promtool")
@PROMQL
async def test_panel_is_the_same_on_the_same_samples(
    prometheus: ScrapingPrometheus, samples: Samples, moment: float, last_s: int, panel: Any
):
    """To nine digits; but 2.42 goes back a little farther than 3 from the first sample of a counter that is new."""
    engine, at_ms = Engine(samples.source, SystemClock()), round(moment * 1000)
    for form in _forms(panel, moment, last_s):
        expected = _values(prometheus.ask("/api/v1/query", **form))
        answer = answer_json(await engine.instant(form["query"], at_ms), ranged=False, limit=0)
        found = _values(json.loads(answer))
        assert expected.keys() == found.keys(), form
        young = samples.young & set(re.findall(r"\w+", form["query"]))
        far = 0.1 if young and "rate(" in form["query"] else 1e-9
        told = {labels: (value, found[labels]) for labels, value in expected.items()}
        assert {labels: both for labels, both in told.items() if not _same(*both, far)} == {}, form


def _values(answer: dict[str, Any]) -> Figures:
    """Labels without those of the target → value."""
    assert answer["status"] == "success", answer
    return {
        tuple(sorted((name, text) for name, text in one["metric"].items() if name not in {"instance", "job"})):
            float(one["value"][1])
        for one in answer["data"]["result"]
    }  # fmt: skip


def _near(one: float, other: float, most: float) -> bool:
    """What goes on all the time differs by what came between the two scrapes; much of it comes in bursts."""
    return _same(one, other, 0.5) or abs(one - other) <= most


def _same(one: float, other: float, far: float) -> bool:
    if math.isnan(one) or math.isnan(other):
        return math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=far, abs_tol=1e-12)


def test_variables_offer_what_there_is(service: Service):
    assert "default" in get(service, "/admin/v1/dashboards/usage")["variables"]["workspace"]
    assert "sim" in get(service, "/admin/v1/dashboards/application")["variables"]["upstream"]
    assert get(service, "/admin/v1/dashboards/infrastructure")["variables"]["instance"]


async def test_the_daily_look_finds_nothing_wrong_after_the_load(service: Service):
    """The job itself, on the service's own database and time series."""
    instruments, clock = Instruments(), SystemClock()
    database = Database(service.database_url(), clock=clock, instruments=instruments)
    await database.open()
    try:
        found = await DashboardWatch(database, lambda: _Api(service), clock, instruments).check()
    finally:
        await database.close()
    wrong = [one for one in found if one.state != "ok"]
    assert not wrong, wrong
    assert len(found) == len(PANELS)
    _, text = service.call("GET", "/metrics")
    assert 'cmg_jobs_total{job="dashboards.check"' in str(text), "the job is one of the service's"


class _Api:
    """Prometheus' API of a service, as its own processes see it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, endpoint: str, form: Mapping[str, list[str]]) -> tuple[int, bytes]:
        """By HTTP."""
        url = f"{self._service.url}/api/v1/{endpoint}?{urllib.parse.urlencode(form, doseq=True)}"
        asked = urllib.request.Request(url, headers={"Authorization": f"Bearer {self._service.key}"})
        with await asyncio.to_thread(urllib.request.urlopen, asked, timeout=30) as answer:
            return answer.status, answer.read()
