"""Each dashboard in a real browser, after a while of load: every panel draws its figures, and quickly."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from cmg.catalogue.dashboards import DASHBOARDS
from support.browser import Tab, chromium, invite, tab
from support.dashboard_load import use
from support.processes import wait_until
from support.service import Service, ServiceOptions

pytestmark = pytest.mark.needs("chromium")
FAST = "[timeseries]\nscrape_interval_s = 1\n"
PANEL = "[data-panel] > [data-drawn]"


@pytest.fixture(scope="module")
def own() -> Iterator[Service]:
    """A service that was used for a while: chats with memory, streams, errors."""
    with Service(ServiceOptions(FAST, workers=2, console=True)) as one:
        key = one.new_key(memory="on", budget={"period": "day", "usd": 10})
        asyncio.run(use(one, key))
        for slug, panel in (("overview", "traffic"), ("application", "drain")):
            path = f"/admin/v1/dashboards/{slug}/panels/{panel}"
            wait_until(lambda path=path: one.call("GET", path)[1]["lines"], 60, f"figures of {panel}")
            asyncio.run(use(one, key))
        yield one


@pytest.fixture(scope="module")
def admin(own: Service) -> Iterator[Tab]:
    with chromium() as browser, tab(browser, own.console_url) as one:
        one.sign_in_well(invite(own, "admin"))
        yield one


@pytest.mark.parametrize("slug", [one.slug for one in DASHBOARDS])
def test_every_panel_draws(admin: Tab, slug: str) -> None:
    panels = {panel.id: panel for one in DASHBOARDS if one.slug == slug for panel in one.panels}
    admin.said.clear()
    started = time.monotonic()
    admin.open(f"/dashboards/{slug}")
    opened_s = time.monotonic() - started
    admin.page.wait_for_function(f"!document.querySelector('{PANEL}[data-drawn=waiting]')")
    drawn_s = time.monotonic() - started
    told = "els => els.map(el => [el.parentElement.dataset.panel, el.dataset.drawn])"
    drawn = dict(admin.page.eval_on_selector_all(PANEL, told))
    assert set(drawn) == set(panels)
    assert [one for one, state in drawn.items() if state not in {"figures", "idle"}] == []
    assert [one for one, state in drawn.items() if state == "idle" and not panels[one].idle] == []
    figures = sum(state == "figures" for state in drawn.values())
    print(f"{slug}: {figures} of {len(drawn)} panels with figures, page {opened_s:.2f} s, drawn {drawn_s:.2f} s")
    assert admin.serious() == []
    assert admin.said == []
    admin.shoot(f"dashboard-{slug}")


def test_a_panel_leads_to_its_runbook_its_traces_and_its_log_lines(admin: Tab) -> None:
    admin.said.clear()
    for title, heading, there in (
        ("Slowest traces of this span", "Traces", "tbody tr"),
        ("Warnings of this span", "Logs", ".cmg-table-holder"),
        ("What to do", "Runbook", ".cmg-text h3"),
    ):
        admin.open("/dashboards/application?span=900")
        admin.page.locator("[data-panel=route-latency]").get_by_role("link", name=title).click()
        expect(admin.page.locator("h1")).to_have_text(heading)
        expect(admin.page.locator(there).first).to_be_visible()
        assert admin.page.locator(".cmg-banner").count() == 0
        assert admin.serious() == []
    assert admin.said == []


def test_a_trace_of_the_list_is_opened(admin: Tab) -> None:
    admin.open("/traces?order=slowest")
    admin.page.locator("td[data-head=Trace] a").first.click()
    expect(admin.page.locator("h1")).to_have_text("Trace")
    expect(admin.page.locator("svg.cmg-bar").first).to_be_visible()
    assert admin.serious() == []


def test_a_choice_stands_in_the_address(admin: Tab) -> None:
    admin.open("/dashboards/application?span=900&upstream=sim")
    admin.page.wait_for_function(f"!document.querySelector('{PANEL}[data-drawn=waiting]')")
    assert admin.page.get_by_label("Upstream").input_value() == "sim"
    assert admin.page.get_by_label("Span").input_value() == "15 minutes"
