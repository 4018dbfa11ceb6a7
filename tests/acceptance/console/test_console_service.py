"""Pages on the service itself, in a real browser: models with their prices, limits, settings."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from support.browser import Tab
from support.processes import wait_until
from support.service import Service

pytestmark = pytest.mark.needs("chromium")


def test_models_are_shown_with_upstreams_routes_and_prices(admin: Tab) -> None:
    admin.open("/models")
    expect(admin.page.locator("tr", has_text="unset").first).to_contain_text("set UNSET_KEY to its API key")
    route = admin.page.locator("tr", has_text="smart").first
    expect(route.locator("li").nth(0)).to_contain_text("sim/echo")
    expect(route.locator("li").nth(1)).to_contain_text("cannot be asked")
    expect(admin.page.locator("td[data-head=Model] a", has_text="sim/echo")).to_be_visible()
    assert admin.serious() == []
    admin.shoot("models")
    admin.page.get_by_label("Words of the name").fill("memory")
    expect(admin.page.locator("td[data-head=Model] a", has_text="sim/echo")).to_have_count(0)
    admin.page.locator("td[data-head=Model] a", has_text="sim/memory").click()
    expect(admin.page.locator("h1")).to_have_text("Playground")
    assert admin.page.get_by_label("Model", exact=True).input_value() == "sim/memory"


def test_a_budget_is_seen_changed_and_lifted(own: Service, admin: Tab) -> None:
    made = own.new_key_full(name="spender", budget={"period": "day", "usd": 0.0001, "alert_at": [0.5]})
    said = {"model": "sim/echo", "messages": [{"role": "user", "content": "many words " * 40}]}
    assert own.call("POST", "/v1/chat/completions", said, key=made["key"])[0] == 200

    def passed() -> bool:
        return own.call("GET", f"/admin/v1/budget-events?key={made['id']}")[1]["items"] != []

    wait_until(passed, 20, "the threshold is passed")
    admin.open("/limits")
    budgets, limits = (admin.page.locator("section", has_text=title).first for title in ("Budgets", "Limits"))
    row = budgets.locator("tr", has_text="spender")
    expect(row).to_contain_text("%")
    expect(admin.page.locator("section", has_text="Thresholds that were passed")).to_contain_text(made["id"])
    assert admin.serious() == []
    admin.shoot("limits")
    row.get_by_role("button", name="Change").click()
    admin.page.get_by_label("Budget in US dollars").fill("7.5")
    admin.page.get_by_label("Told at these shares").fill("0.25, 0.75")
    admin.page.get_by_label("Requests an hour").fill("600")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("$7.50")
    expect(row).to_contain_text("25%, 75%")
    found = own.call("GET", f"/admin/v1/keys/{made['id']}")[1]
    assert (found["limits"]["rph"], found["budget"]["alert_at"]) == (600, [0.25, 0.75])
    row.get_by_role("button", name="No budget").click()
    admin.page.get_by_role("button", name="Take it away").click()
    expect(budgets.locator("tr", has_text="spender")).to_have_count(0)
    assert own.call("GET", f"/admin/v1/keys/{made['id']}")[1]["budget"] is None
    expect(limits.locator("tr", has_text="spender")).to_be_visible()


def test_a_wrong_share_is_told_at_its_field(own: Service, admin: Tab) -> None:
    own.new_key_full(name="asked", budget={"period": "day", "usd": 1})
    admin.open("/limits")
    row = admin.page.locator("section", has_text="Budgets").first.locator("tr", has_text="asked")
    row.get_by_role("button", name="Change").click()
    admin.page.get_by_label("Told at these shares").fill("half")
    admin.page.get_by_role("button", name="Save").click()
    expect(admin.page.locator(".q-field--error")).to_contain_text("is no number")


def test_a_member_sees_limits_and_changes_none(own: Service, seats: Callable[[str], Tab]) -> None:
    own.new_key_full(name="seen", budget={"period": "day", "usd": 1})
    one = seats("member")
    one.open("/limits")
    expect(one.page.locator("tr", has_text="seen").first).to_be_visible()
    assert one.page.get_by_role("button", name="Change").count() == 0
    one.open("/models")
    expect(one.page.locator("tr", has_text="smart").first).to_be_visible()


def test_settings_are_told_with_their_origin_and_without_secrets(own: Service, admin: Tab) -> None:
    admin.open("/settings")
    row = admin.page.locator("tr", has_text="bootstrap_key").first
    expect(row.locator("td[data-head=Value]")).to_have_text("set")
    expect(row.locator("td[data-head=From]")).to_contain_text("CMG_BOOTSTRAP_KEY")
    expect(admin.page.locator("tr", has_text="routes[0].model").first).to_contain_text(".toml:9")
    assert own.key not in admin.page.content()
    assert admin.serious() == []
    admin.shoot("settings")
    admin.page.get_by_label("Words").fill("half-life")
    expect(admin.page.locator("tbody tr")).to_have_count(1)
    assert own.key.rpartition("_")[2] not in str(own.call("GET", "/admin/v1/settings")[1])


def test_settings_are_the_administrators_alone(own: Service, seats: Callable[[str], Tab]) -> None:
    assert own.call("GET", "/admin/v1/settings", key=own.new_key(scopes=["admin"]))[0] == 403
    one = seats("owner")
    one.open("/")
    assert one.page.locator("nav a[href='/settings']").count() == 0
    one.open("/settings")
    expect(one.page.locator(".cmg-banner")).to_be_visible()
