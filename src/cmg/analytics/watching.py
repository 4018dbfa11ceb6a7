"""Looks at every panel once a day: whether it is empty, slow, or asks for a metric that nobody has."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Literal

import msgspec

from cmg.analytics.models import Look, look
from cmg.analytics.panels import Panels, Prometheus
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.catalogue.dashboards.models import Dashboard, Panel, Report
from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

SLOW_S = 2.0
_DAY_S = 86_400.0
_STATES = ("ok", "empty", "slow", "missing", "failed")
_METRIC = re.compile(r"\bcmg_[a-z0-9_]+")
_CALLS = "sum(increase(cmg_llm_calls_total[1d]))"
_log = get_logger("cmg.analytics.watching")
State = Literal["ok", "empty", "slow", "missing", "failed"]


class Finding(msgspec.Struct, frozen=True):
    """What was found of one panel; `detail` says more of what is not ok."""

    dashboard: str
    panel: str
    state: State
    detail: str = ""


class DashboardWatch:
    """The daily look. `prometheus` is asked for when it begins; None: panels of PromQL are left out there."""

    def __init__(
        self, database: Database, prometheus: Callable[[], Prometheus | None], clock: Clock, instruments: Instruments
    ) -> None:
        self._database, self._prometheus, self._clock = database, prometheus, clock
        self._instruments = instruments

    async def check(self) -> list[Finding]:
        """Draw every panel for the last day, log what is wrong and count it; a panel that says when it idles may."""
        source, now = self._prometheus(), self._clock.time()
        panels, span = Panels(self._database, source), look({"from": str(now - _DAY_S)}, now)
        names, used = await _names(source, span), await _used(source, span)
        found = []
        for dashboard in DASHBOARDS:
            for panel in dashboard.panels:
                if source is None and not isinstance(panel.source, Report):
                    continue
                finding = await self._looked(panels, (dashboard, panel), span, names)
                if finding.state == "empty" and not used:
                    continue  # nobody called: there is nothing to show
                found.append(finding)
        self._tell(found)
        return found

    async def _looked(
        self, panels: Panels, shown: tuple[Dashboard, Panel], span: Look, names: frozenset[str]
    ) -> Finding:
        dashboard, panel = shown
        absent = sorted(name for one in panel.promql for name in _METRIC.findall(one.expr) if name not in names)
        if absent and panel.idle is None:
            return Finding(dashboard.slug, panel.id, "missing", ", ".join(dict.fromkeys(absent)))
        started = self._clock.monotonic()
        try:
            picture = await panels.picture(panel, span)
        except CmgError as error:
            return Finding(dashboard.slug, panel.id, "failed", str(error))
        took = self._clock.monotonic() - started
        if took > SLOW_S:
            return Finding(dashboard.slug, panel.id, "slow", f"{took:.1f} s")
        empty = picture.empty and panel.idle is None
        return Finding(dashboard.slug, panel.id, "empty" if empty else "ok")

    def _tell(self, found: list[Finding]) -> None:
        counted = Counter[str](one.state for one in found)
        for state in _STATES:
            self._instruments.series("cmg_dashboard_panels", state).set(counted[state])
        for one in found:
            if one.state != "ok":
                told = {"dashboard": one.dashboard, "panel": one.panel, "state": one.state, "detail": one.detail}
                _log.warning("a panel of a dashboard is not as it should be", **told)


async def _names(source: Prometheus | None, span: Look) -> frozenset[str]:
    """The names of all metrics of the span."""
    if source is None:
        return frozenset()
    times = {"start": [str(span.since)], "end": [str(span.until)]}
    status, body = await source.answer("label/__name__/values", times)
    return frozenset(msgspec.json.decode(body)["data"]) if status == 200 else frozenset()


async def _used(source: Prometheus | None, span: Look) -> bool:
    """Whether anybody called in the span; without time series nobody knows."""
    if source is None:
        return False
    status, body = await source.answer("query", {"query": [_CALLS], "time": [str(span.until)]})
    result = msgspec.json.decode(body)["data"]["result"] if status == 200 else []
    return any(float(one["value"][1]) > 0 for one in result)
