"""The daily look at dashboards: panels that are empty, slow, failing or ask for what nobody has are found."""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from cmg.analytics.watching import DashboardWatch, Finding
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.manual_clock import ManualClock

PROMQL = [(one.slug, panel) for one in DASHBOARDS for panel in one.panels if panel.promql]
EXPRESSIONS = [one.expr for _, panel in PROMQL for one in panel.promql]
NAMES = sorted({name for expr in EXPRESSIONS for name in re.findall(r"cmg_[a-z0-9_]+", expr)})
NONE = "nothing of this name"


class Scripted:
    """A Prometheus that has every metric but `without`, and answers nothing for expressions with `silent` in them."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock, self.without, self.silent, self.failing, self.slow = clock, NONE, NONE, NONE, NONE
        self.calls = 5.0

    async def answer(self, endpoint: str, form: Mapping[str, list[str]]) -> tuple[int, bytes]:
        """As Prometheus would."""
        if endpoint.startswith("label/"):
            return 200, _told([name for name in NAMES if name != self.without])
        expr = form["query"][0]
        if self.failing in expr:
            return 422, msgspec.json.encode({"status": "error", "error": "no"})
        if self.slow in expr:
            self.clock.advance(3)
        value = [self.clock.time(), str(self.calls)]
        series: dict[str, Any] = {"metric": {}, "value": value}
        if endpoint == "query_range":
            series = {"metric": {}, "values": [value]}
        return 200, _told({"result": [] if self.silent in expr else [series]})


def _told(data: Any) -> bytes:
    return msgspec.json.encode({"status": "success", "data": data})


def _of(found: list[Finding], state: str) -> set[tuple[str, str]]:
    return {(one.dashboard, one.panel) for one in found if one.state == state and (one.dashboard, one.panel) in EVERY}


EVERY = {(slug, panel.id) for slug, panel in PROMQL}
STRICT = {(slug, panel.id) for slug, panel in PROMQL if panel.idle is None}


def _with(text: str) -> set[tuple[str, str]]:
    return {(slug, panel.id) for slug, panel in PROMQL if any(text in one.expr for one in panel.promql)}


async def test_each_kind_of_trouble_is_found_logged_and_counted(database: Database, clock, instruments: Instruments):
    source = Scripted(clock)
    watch = DashboardWatch(database, lambda: source, clock, instruments)
    assert _of(await watch.check(), "ok") == EVERY
    metric = "cmg_http_request_duration_seconds_bucket"
    source.without = metric
    found = await watch.check()
    assert _of(found, "missing") == _with(metric) & STRICT != set()
    assert {one.detail for one in found if one.state == "missing"} == {metric}
    count = len([one for one in found if one.state == "missing"])
    assert instruments.registry.get_sample_value("cmg_dashboard_panels", {"state": "missing"}) == count
    source.without, source.slow = NONE, metric
    assert _of(await watch.check(), "slow") == _with(metric)
    source.slow, source.failing = NONE, metric
    assert _of(await watch.check(), "failed") == _with(metric)
    assert instruments.registry.get_sample_value("cmg_dashboard_panels", {"state": "missing"}) == 0


async def test_an_empty_panel_is_found_where_somebody_called_and_it_may_not_idle(
    database: Database, clock, instruments: Instruments
):
    source = Scripted(clock)
    watch = DashboardWatch(database, lambda: source, clock, instruments)
    source.silent = "cmg_http_request_duration_seconds"
    empty = _of(await watch.check(), "empty")
    assert empty
    assert empty <= _with(source.silent) & STRICT
    source.calls = 0
    assert _of(await watch.check(), "empty") == set(), "nobody called: there is nothing to show"


async def test_without_time_series_the_ledgers_panels_are_looked_at(database: Database, clock, instruments):
    found = await DashboardWatch(database, lambda: None, clock, instruments).check()
    assert found
    assert not {(one.dashboard, one.panel) for one in found} & EVERY
    assert {one.state for one in found} == {"ok"}
