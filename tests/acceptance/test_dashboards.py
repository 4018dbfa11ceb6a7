"""Every panel of every dashboard draws something after a while of load, but those that say why they may not."""

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from cmg.catalogue.dashboards import DASHBOARDS
from support.api import Api
from support.processes import wait_until
from support.service import Service, ServiceOptions

FAST = "[timeseries]\nscrape_interval_s = 1\n"
PANELS = [(dashboard.slug, panel) for dashboard in DASHBOARDS for panel in dashboard.panels]


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A service that was used for a while: chats with memory, streams, errors."""
    with Service(ServiceOptions(FAST, workers=2)) as one:
        key = one.new_key(memory="on", budget={"period": "day", "usd": 10})
        asyncio.run(_load(one, key))
        wait_until(lambda: _picture(one, "overview", "traffic")["lines"], 60, "rates of the load")
        asyncio.run(_load(one, key))
        wait_until(lambda: _picture(one, "application", "drain")["lines"], 60, "rates of the journal's drain")
        yield one


async def _load(service: Service, key: str) -> None:
    async with Api(service.url, key) as api:
        for number in range(60):
            model = ("sim/echo", "sim/memory", "sim/echo", "sim/fail-503")[number % 4]
            said = {"role": "user", "content": f"We decided to use Postgres {number}, my dog is called Bruno."}
            body = {"model": model, "user": f"u{number % 5}", "thread_id": f"t{number % 5}", "messages": [said]}
            await api.post("/v1/chat/completions", {**body, "stream": number % 2 == 0})
            await asyncio.sleep(0.05)


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
