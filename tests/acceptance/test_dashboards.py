"""Every panel of every dashboard draws something after a while of load, but those that say why they may not."""

import asyncio
import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from cmg.analytics.watching import DashboardWatch
from cmg.catalogue.dashboards import DASHBOARDS
from cmg.kit.clock import SystemClock
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from support.dashboard_load import use
from support.processes import wait_until
from support.service import Service, ServiceOptions

FAST = "[timeseries]\nscrape_interval_s = 1\n"
PANELS = [(dashboard.slug, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service that was used for a while: chats with memory, streams, errors."""
    with Service(ServiceOptions(FAST, workers=2)) as one:
        key = one.new_key(memory="on", budget={"period": "day", "usd": 10})
        asyncio.run(use(one, key))
        wait_until(lambda: _picture(one, "overview", "traffic")["lines"], 60, "rates of the load")
        asyncio.run(use(one, key))
        wait_until(lambda: _picture(one, "application", "drain")["lines"], 60, "rates of the journal's drain")
        yield one


def _get(service: Service, path: str) -> Any:
    asked = urllib.request.Request(f"{service.url}{path}", headers={"Authorization": f"Bearer {service.key}"})
    with urllib.request.urlopen(asked, timeout=30) as answer:
        return json.load(answer)


def _picture(service: Service, slug: str, panel: str) -> dict[str, Any]:
    return dict(_get(service, f"/admin/v1/dashboards/{slug}/panels/{panel}"))


@pytest.mark.parametrize(("slug", "panel"), PANELS, ids=[f"{slug}/{panel.id}" for slug, panel in PANELS])
def test_panel_draws(service: Service, slug: str, panel: Any):
    picture = _picture(service, slug, panel.id)
    drawn = {"lines": picture["lines"], "table": picture["rows"]}.get(panel.form, picture["values"])
    assert drawn or panel.idle, picture


def test_variables_offer_what_there_is(service: Service):
    assert "default" in _get(service, "/admin/v1/dashboards/usage")["variables"]["workspace"]
    assert "sim" in _get(service, "/admin/v1/dashboards/application")["variables"]["upstream"]
    assert _get(service, "/admin/v1/dashboards/infrastructure")["variables"]["instance"]


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
