"""The console in a real browser: signing in, the overview, keys, and that the server decides what a role may do."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pyotp
import pytest
from playwright.sync_api import Browser, expect

from support.browser import PASSWORD, Tab, invite, tab
from support.late import openai
from support.service import Service

pytestmark = pytest.mark.needs("chromium")


def test_the_first_administrator_signs_in_and_must_change_the_password(own: Service, browser: Browser) -> None:
    found = re.search(r"Administrator (\S+), one-time password \(.*\): (\S+)", own.log.read_text())
    assert found is not None
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/keys?state=revoked")
        expect(one.page).to_have_url(f"{own.console_url}/login?next=/keys%3Fstate%3Drevoked")
        one.page.fill("#email", found[1])
        one.page.fill("#password", found[2])
        one.page.click("button[type=submit]")
        one.page.wait_for_selector("#current")
        assert one.serious() == []
        one.page.fill("#current", found[2])
        one.page.fill("#new", PASSWORD)
        one.page.click("button[type=submit]")
        expect(one.page.locator("h1")).to_have_text("API keys")
        assert one.said == []


def test_a_wrong_password_is_told_and_opens_nothing(own: Service, browser: Browser, people: dict[str, str]) -> None:
    with tab(browser, own.console_url) as one:
        one.sign_in(people["admin"], "not this one")
        expect(one.page.locator("#problem")).to_have_text("the e-mail address, the password or the code is wrong")
        assert one.page.context.cookies() == []
        assert one.serious() == []


def test_a_device_is_asked_for_its_code(own: Service, browser: Browser) -> None:
    email = invite(own, "owner", own.call("POST", "/admin/v1/workspaces", {"id": "second", "name": "Second"})[1]["id"])
    with httpx.Client(base_url=own.console_url, headers={"origin": own.console_url}) as plain:
        answer = plain.post("/admin/v1/login", json={"email": email, "password": PASSWORD})
        headers = {"cookie": answer.headers["set-cookie"].split(";")[0], "x-cmg-csrf": answer.json()["csrf"]}
        plain.cookies.clear()
        secret = plain.post("/admin/v1/me/second-factor", headers=headers).json()["secret"]
        code = {"code": pyotp.TOTP(secret).now()}
        plain.cookies.clear()
        turned_on = plain.post("/admin/v1/me/second-factor/on", json=code, headers=headers)
        assert turned_on.status_code == 200, turned_on.text
    with tab(browser, own.console_url) as one:
        one.sign_in(email, PASSWORD)
        one.page.wait_for_selector("#code:visible")
        one.page.fill("#code", turned_on.json()["recovery_codes"][0])
        one.page.click("button[type=submit]")
        expect(one.page.locator("h1#cmg-title")).to_have_text("Overview")


def test_nothing_is_shown_without_a_session(own: Service) -> None:
    for path in ("/", "/keys", "/keys/abc", "/nothing"):
        answer = httpx.get(own.console_url + path)
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/login?next=/"), path
    forged = httpx.get(own.console_url, headers={"cookie": f"__Host-cmg_session={'x' * 40}"})
    assert forged.status_code == 303


def test_answers_are_protected_and_other_sites_reach_no_websocket(own: Service) -> None:
    door, asked = httpx.get(f"{own.console_url}/login"), httpx.get(f"{own.console_url}/admin/v1/login")
    for answer in (door, asked, httpx.get(own.console_url)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in door.headers["content-security-policy"]
    assert "unsafe" not in asked.headers["content-security-policy"]
    socket = f"{own.console_url}/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert httpx.get(socket, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx.get(socket, headers={"origin": own.console_url}).status_code == 200


def test_the_services_own_port_leads_to_the_console(own: Service) -> None:
    for path, there in (("/", "/"), ("/console", "/"), ("/console/keys?state=active", "/keys?state=active")):
        answer = httpx.get(own.url + path)
        assert answer.status_code == 307
        assert answer.headers["location"] == own.console_url + there
    odd = httpx.get(f"{own.url}/console//evil.example", headers={"host": "127.0.0.1"}).headers["location"]
    assert odd == f"{own.console_url}/evil.example"


def test_the_overview_draws(admin: Tab) -> None:
    admin.open("/")
    for title in ("Calls", "Errors", "Cost today (UTC)", "Components", "Firing alerts", "Open incidents"):
        expect(admin.page.locator("h2", has_text=title).first).to_be_visible()
    expect(admin.page.locator(".cmg-components li", has_text="database")).to_contain_text("HEALTHY")
    expect(admin.page.locator("table td", has_text="account.login").first).to_be_visible()
    assert admin.page.locator(".cmg-banner").count() == 0
    assert admin.serious() == []
    assert admin.said == []
    admin.shoot("overview")


def test_the_overview_shows_the_severest_alerts_whatever_came_after_them(own: Service, admin: Tab) -> None:
    labels = [{"alertname": "Large", "severity": "P1"}]
    labels += [{"alertname": f"Small{number}", "severity": "P4"} for number in range(12)]
    for status in ("firing", "resolved"):
        for one in labels:
            sent = {"alerts": [{"labels": one, "status": status}]}
            assert own.call("POST", "/admin/v1/alerts", sent)[0] < 300
        if status == "firing":
            admin.open("/")
            expect(admin.page.locator("table td", has_text="Large").first).to_be_visible()


def test_a_key_is_created_and_works_with_the_official_client(own: Service, admin: Tab) -> None:
    admin.open("/keys")
    admin.page.get_by_role("button", name="Create a key").click()
    admin.page.get_by_label("Name", exact=True).fill("from the console")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Create", exact=True).click()
    secret = admin.page.locator("#cmg-secret").inner_text()
    assert admin.page.locator("#cmg-snippet-0").inner_text().startswith(f"curl {own.url}/v1/chat/completions")
    admin.page.get_by_role("tab", name="Python").click()
    expect(admin.page.locator("#cmg-snippet-1")).to_contain_text(secret)
    assert admin.serious() == []
    with openai.OpenAI(base_url=f"{own.url}/v1", api_key=secret, max_retries=0) as client:
        said = [{"role": "user", "content": "Hello"}]
        answer = client.chat.completions.create(model="sim/echo", user="ada", messages=said)
    assert answer.choices[0].message.content == "Hello"
    admin.page.get_by_role("button", name="I have kept it").click()
    expect(admin.page.locator("table")).to_contain_text("from the console")
    assert secret not in admin.page.content()
    assert admin.said == []


def test_a_key_is_changed_and_revoked_by_its_name(own: Service, admin: Tab) -> None:
    made = own.new_key_full(name="to be revoked", limits={"rpm": 5})
    admin.open(f"/keys/{made['id']}")
    admin.page.get_by_role("button", name="Change", exact=True).click()
    admin.page.get_by_label("Owner").fill("ada@example.org")
    admin.page.get_by_label("Requests a minute").fill("")
    admin.page.get_by_role("button", name="Save").click()
    expect(admin.page.locator(".cmg-facts")).to_contain_text("ada@example.org")
    assert own.call("GET", f"/admin/v1/keys/{made['id']}")[1]["limits"]["rpm"] is None
    admin.page.get_by_role("button", name="Revoke").click()
    button = admin.page.locator(".cmg-dialog").get_by_role("button", name="Revoke")
    expect(button).to_be_disabled()
    admin.page.get_by_label("Type “to be revoked” to go on").fill("to be revoked")
    button.click()
    expect(admin.page.locator(".cmg-facts")).to_contain_text("revoked")
    assert own.call("GET", "/v1/models", key=made["key"])[0] == 401
    assert admin.serious() == []
    assert admin.said == []


def test_a_refusal_stands_at_its_field(admin: Tab) -> None:
    admin.open("/keys")
    admin.page.get_by_role("button", name="Create a key").click()
    admin.page.get_by_label("Name", exact=True).fill("late")
    admin.page.get_by_label("Expires at").fill("yesterday")
    admin.page.get_by_role("button", name="Create", exact=True).click()
    expect(admin.page.locator(".q-field--error")).to_contain_text("expires_at")


def test_a_member_sees_keys_and_is_refused_by_the_server(own: Service, seats: Callable[[str], Tab]) -> None:
    made = own.new_key_full(name="not yours")
    one = seats("member")
    one.open("/keys")
    assert one.page.get_by_role("button", name="Create a key").count() == 0
    # What a hidden button would have sent, with the member's own session and token.
    sent = """async (path) => {
        const csrf = (await (await fetch('/admin/v1/me')).json()).csrf;
        return (await fetch(path, {method: 'DELETE', headers: {'x-cmg-csrf': csrf}})).status;
    }"""
    assert one.page.evaluate(sent, f"/admin/v1/keys/{made['id']}") == 403
    assert one.page.evaluate("async () => (await fetch('/admin/v1/audit')).status") == 403
    assert own.call("GET", f"/admin/v1/keys/{made['id']}")[1]["state"] == "active"


def test_another_workspaces_key_is_not_shown(own: Service, seats: Callable[[str], Tab]) -> None:
    own.call("POST", "/admin/v1/workspaces", {"id": "other", "name": "Other"})
    made = own.new_key_full(name="theirs", workspace="other")
    one = seats("owner")
    one.open(f"/keys/{made['id']}")
    expect(one.page.locator(".cmg-banner")).to_be_visible()
    assert "theirs" not in one.page.content()


def test_the_search_jumps_and_the_look_is_kept(own: Service, browser: Browser, people: dict[str, str]) -> None:
    with tab(browser, own.console_url) as one:
        one.sign_in_well(people["admin"])
        one.open("/")
        one.page.keyboard.press("Control+k")
        one.page.get_by_role("combobox", name="Page").fill("api")
        assert one.serious() == []
        one.page.keyboard.press("Enter")
        expect(one.page.locator("h1")).to_have_text("API keys")
        dark = "document.body.classList.contains('body--dark')"
        before = one.page.evaluate(dark)
        one.page.get_by_role("button", name="Light or dark").click()
        one.page.wait_for_function(f"{dark} !== {str(before).lower()}")
        one.open("/")
        one.page.wait_for_function(f"{dark} !== {str(before).lower()}")
        assert one.serious() == []


def test_what_can_be_pressed_is_read_in_the_dark(own: Service, browser: Browser, people: dict[str, str]) -> None:
    with tab(browser, own.console_url, color_scheme="dark") as one:
        one.sign_in_well(people["admin"])
        for path in ("/oncall", "/alerts"):
            one.open(path)
            expect(one.page.locator("button.q-btn--outline").first).to_be_visible()
            one.page.wait_for_function("document.body.classList.contains('body--dark')")
            assert one.serious() == [], path


def test_a_phone_shows_rows_as_cards(own: Service, browser: Browser, people: dict[str, str]) -> None:
    phone = {"viewport": {"width": 390, "height": 800}, "timezone_id": "Asia/Tokyo", "locale": "en-GB"}
    with tab(browser, own.console_url, **phone) as one:
        one.sign_in_well(people["admin"])
        one.open("/keys")
        wide = one.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0
        expect(one.page.locator("time").first).to_have_attribute("title", re.compile(r"\(Asia/Tokyo\)"))
        assert one.serious() == []
        one.shoot("phone")


def test_signing_out_ends_the_page(own: Service, browser: Browser, people: dict[str, str]) -> None:
    with tab(browser, own.console_url) as one:
        one.sign_in_well(people["read_only"])
        cookie = one.page.context.cookies()[0]
        one.page.get_by_role("button", name="Your account").click()
        one.page.get_by_text("Sign out").click()
        one.page.wait_for_selector("#email")
        header = {"cookie": f"{cookie['name']}={cookie['value']}"}
        assert httpx.get(own.console_url, headers=header).status_code == 303
