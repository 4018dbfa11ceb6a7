"""Each dashboard in a real browser, after a while of load: every panel draws its figures, and quickly."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from cmg.catalogue.dashboards import DASHBOARDS
from support.browser import Tab, chromium, invite, tab
from support.dashboard_load import use
from support.service import Service

pytestmark = pytest.mark.needs("chromium")
PANEL = "[data-panel] > [data-drawn]"


@pytest.fixture(scope="module")
def admin(service: Service) -> Iterator[Tab]:
    """An administrator's, while the load of now is on the dashboards, however long ago the first one was."""
    asyncio.run(use(service, service.new_key(memory="on", budget={"period": "day", "usd": 10})))
    with chromium() as browser, tab(browser, service.console_url) as one:
        one.sign_in_well(invite(service, "admin"))
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
