"""What people on duty do in a real browser: acknowledge an alert, silence one, declare an incident and read it."""

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from support.browser import Tab
from support.processes import wait_until
from support.service import Service

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module", autouse=True)
def reported(own: Service) -> None:
    """An alert was reported."""
    labels = {"alertname": "DiskAlmostFull", "severity": "critical", "instance": "db-1"}
    alert = {"labels": labels, "annotations": {"summary": "9 % left"}, "startsAt": datetime.now(UTC).isoformat()}
    body = {"version": "4", "status": "firing", "alerts": [{**alert, "status": "firing", "fingerprint": "a" * 16}]}
    status, told = own.call("POST", "/hooks/alertmanager", body)
    assert status == 200, told
    wait_until(lambda: _groups(own), 30, "the alert has a group")


def _groups(own: Service) -> list[dict[str, Any]]:
    return [one for one in own.call("GET", "/admin/v1/alert-groups")[1]["items"] if "DiskAlmostFull" in str(one)]


def test_an_alert_is_acknowledged_and_says_why(own: Service, admin: Tab) -> None:
    admin.open("/alerts")
    admin.page.get_by_role("link", name="DiskAlmostFull").first.click()
    expect(admin.page.locator("h1")).to_have_text("Why was I (not) paged?")
    expect(admin.page.locator("section", has_text="Decisions").locator("tbody tr").first).to_be_visible()
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Acknowledge").click()
    expect(admin.page.locator(".cmg-facts", has_text="acknowledged").first).to_be_visible()
    assert [one["status"] for one in _groups(own)] == ["acknowledged"]
    admin.open("/alerts")
    assert admin.serious() == []
    assert admin.said == []
    admin.shoot("alerts")


def test_an_alert_is_called_noise_from_its_page(own: Service, admin: Tab) -> None:
    admin.open("/alerts")
    admin.page.get_by_role("link", name="DiskAlmostFull").first.click()
    admin.page.get_by_role("button", name="It was noise").click()
    expect(admin.page.get_by_text("Kept: noise.")).to_be_visible()
    (told,) = [one for one in own.call("GET", "/admin/v1/alert-noise")[1]["items"] if one["rule"] == "DiskAlmostFull"]
    assert (told["noise"], told["useful"]) == (1, 0)


def test_alerts_are_silenced_for_a_time(own: Service, admin: Tab) -> None:
    admin.open("/alerts")
    admin.page.get_by_role("button", name="Silence alerts").click()
    send = admin.page.get_by_role("button", name="Silence", exact=True)
    send.click()
    expect(admin.page.get_by_text("Name: fill this in")).to_be_visible()
    admin.page.get_by_label("Name", exact=True).fill("disk")
    send.click()  # an empty value would silence what has no such label
    expect(admin.page.get_by_text("Its value: fill this in")).to_be_visible()
    admin.page.get_by_label("Its value").fill("DiskAlmostFull")
    send.click()
    expect(admin.page.locator("table", has_text="alertname=DiskAlmostFull")).to_be_visible()
    assert own.call("GET", "/admin/v1/silences")[1]["items"][0]["id"] == "disk"
    assert admin.said == []


def test_an_incident_is_declared_and_read(admin: Tab) -> None:
    admin.open("/incidents")
    admin.page.get_by_role("button", name="Declare an incident").click()
    admin.page.get_by_label("Title").fill("Calls fail")
    admin.page.get_by_role("button", name="Declare", exact=True).click()
    expect(admin.page.locator("h2", has_text="Calls fail")).to_be_visible()
    admin.page.get_by_role("button", name="Note").click()
    admin.page.get_by_label("Note").last.fill("The upstream is slow")
    admin.page.get_by_role("button", name="Add", exact=True).click()
    expect(admin.page.locator("section", has_text="Timeline")).to_contain_text("The upstream is slow")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Post-mortem").click()
    expect(admin.page.locator(".q-dialog .cmg-pre")).to_contain_text("Calls fail")
    assert admin.said == []
    admin.shoot("incident")


def _on_call(own: Service) -> None:
    for name in ("ada", "bob"):
        status, told = own.call("PUT", f"/admin/v1/responders/{name}", {"name": name.capitalize()})
        assert status == 200, told
    nobodys = (datetime.now(UTC).hour + 12) % 24
    hours = f"{(nobodys + 1) % 24:02}:00-{nobodys:02}:00"
    layer = {"people": ["ada"], "kind": "daily", "starts_on": "2026-01-01", "hours": hours}
    schedule = {"name": "First line", "timezone": "UTC", "layers": [layer]}
    status, told = own.call("PUT", "/admin/v1/schedules/first", schedule)
    assert status == 200, told


def test_who_is_on_call_is_told_and_somebody_stands_in(own: Service, admin: Tab) -> None:
    _on_call(own)
    admin.open("/oncall")
    line = admin.page.locator("section", has_text="First line")
    expect(line).to_contain_text("there are hours in which nobody is on call")
    expect(line.locator("td[data-head=Until]").first).to_be_visible()
    expect(line.locator(".cmg-facts").first).to_contain_text("cannot be reached")
    assert admin.serious() == []
    line.get_by_role("button", name="Override").click()
    admin.page.get_by_label("Who stands in").click()
    admin.page.get_by_role("option", name="Bob").click()
    admin.page.get_by_label("For how many hours").fill("-1")
    admin.page.get_by_role("button", name="Override", exact=True).last.click()
    expect(admin.page.locator(".q-field--error")).to_contain_text("more than 0 hours")
    admin.page.get_by_label("For how many hours").fill("3")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Override", exact=True).last.click()
    expect(line.locator(".cmg-facts").first).to_contain_text("Bob")
    assert own.call("GET", "/admin/v1/alerts/oncall")[1]["items"][0]["now"]["responder"] == "bob"
    admin.shoot("oncall")
    line.get_by_role("button", name="Take back").click()
    admin.page.locator(".cmg-dialog").get_by_role("button", name="Take back").click()
    expect(line.get_by_role("button", name="Take back")).to_have_count(0)
    assert own.call("GET", "/admin/v1/schedules/first")[1]["overrides"] == []
    assert admin.said == []


def test_a_calendar_is_subscribed_to_by_an_address_that_works(own: Service, admin: Tab) -> None:
    _on_call(own)
    admin.open("/oncall")
    admin.page.get_by_role("button", name="Subscribe").click()
    admin.page.get_by_label("Of", exact=True).click()
    admin.page.get_by_role("option", name="Schedule: First line").click()
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Subscribe", exact=True).last.click()
    address = admin.page.locator("#cmg-once").inner_text()
    assert address.startswith(f"{own.url}/calendars/")
    answer = httpx.get(address)
    assert answer.text.startswith("BEGIN:VCALENDAR")
    admin.page.get_by_role("button", name="I have kept it").click()
    calendars = admin.page.locator("section", has_text="Calendars")
    expect(calendars.locator("td[data-head=Of]")).to_have_text("first")
    assert address.rpartition("/")[2] not in admin.page.content()
    calendars.get_by_role("button", name="Revoke").click()
    admin.page.locator(".cmg-dialog").get_by_role("button", name="Revoke").click()
    expect(calendars.locator(".cmg-empty")).to_be_visible()
    assert httpx.get(address).status_code == 404
    assert admin.said == []


def test_a_rule_of_the_workspace_is_written_from_a_template_changed_and_deleted(own: Service, admin: Tab) -> None:
    page = admin.page
    admin.open("/alert-rules")
    page.get_by_role("button", name="Create a rule").click()
    page.get_by_label("Begin with").click()
    page.get_by_role("option", name="The last hour cost").click()
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("Id", exact=True).fill("costs")
    expression = page.get_by_label("Expression")
    expect(expression).to_have_value(re.compile("cmg_workspace_cost_usd_total"))
    written = expression.input_value()
    expression.fill("up > 1")
    page.get_by_role("button", name="Create", exact=True).click()
    expect(page.locator(".q-field--error")).to_contain_text("a workspace's rules read")
    assert admin.serious() == []
    expression.fill(written)
    page.get_by_role("button", name="Create", exact=True).click()
    row = page.locator("tr", has_text="costs")
    expect(row).to_contain_text("nobody is told")
    assert own.call("GET", "/admin/v1/alert-rules/costs")[1]["expr"] == written
    assert admin.serious() == []
    admin.shoot("rules")
    row.get_by_role("button", name="Change").click()
    page.get_by_role("switch", name="It is evaluated").click()
    page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("off")
    assert own.call("GET", "/admin/v1/alert-rules/costs")[1]["enabled"] is False
    row.get_by_role("link", name="costs").click()
    expect(page.locator("section", has_text="costs").first).to_contain_text("cmg_workspace_cost_usd_total")
    assert admin.serious() == []
    page.get_by_role("button", name="Delete").click()
    page.locator(".cmg-dialog").get_by_role("button", name="Delete").click()
    wait_until(lambda: own.call("GET", "/admin/v1/alert-rules")[1]["items"] == [], 10, "the rule is gone")
    expect(page.locator(".cmg-empty")).to_be_visible()
    assert admin.said == []


def test_a_runbook_is_read(admin: Tab) -> None:
    admin.open("/runbooks")
    admin.page.get_by_role("link", name="Requests take too long").click()
    expect(admin.page.locator("h3", has_text="First checks")).to_be_visible()
    assert admin.serious() == []
    admin.page.get_by_role("link", name="database-slow").click()
    expect(admin.page.locator("body")).to_contain_text("The database is slow")
    assert admin.said == []
