"""More pages of the console in a real browser: each with real data, a silent browser, and nothing serious for axe."""

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, expect

from support.browser import PASSWORD, Tab, tab
from support.processes import wait_until
from support.service import Service

pytestmark = pytest.mark.needs("chromium")


@pytest.fixture(scope="module", autouse=True)
def said(own: Service) -> None:
    """Somebody has said something."""
    said = {"role": "user", "content": "My sister Joan plays the cello"}
    body = {"user_id": "ada", "thread_id": "notes", "wait": True, "messages": [said]}
    assert own.call("POST", "/v1/ingest", body)[0] < 300
    for model in ("sim/echo", "sim/memory"):
        chat = {"model": model, "user": "ada", "messages": [{"role": "user", "content": "What does Joan play?"}]}
        assert own.call("POST", "/v1/chat/completions", chat)[0] == 200


def test_the_playground_answers_with_memory_and_without(own: Service, admin: Tab) -> None:
    admin.open("/playground?user=ada")
    admin.page.get_by_label("Message").fill("What does Joan play?")
    admin.page.get_by_role("button", name="Send").click()
    expect(admin.page.locator(".q-field--error")).to_contain_text("paste an API key")
    expect(admin.page.locator(".q-notification").get_by_role("button", name="Close")).to_be_visible()
    assert admin.serious() == []
    admin.page.get_by_label("API key").fill(own.key)
    admin.page.get_by_role("button", name="Send").click()
    on, off = (
        admin.page.locator("section", has_text="With memory"),
        admin.page.locator("section", has_text="Without memory"),
    )
    expect(on.locator(".cmg-facts")).to_contain_text("Tokens")
    expect(on).to_contain_text("cello")
    expect(off.locator(".cmg-facts")).to_contain_text("Tokens")
    assert "cello" not in off.inner_text()
    assert admin.page.get_by_label("API key").get_attribute("type") == "password"
    assert own.key not in admin.page.url
    assert admin.serious() == []
    admin.shoot("playground")


def test_answers_come_word_by_word_and_can_be_stopped(own: Service, admin: Tab) -> None:
    admin.open("/playground?model=sim/slow")
    admin.page.get_by_label("API key").fill(own.key)
    admin.page.get_by_label("Message").fill("word " * 400)
    stop = admin.page.get_by_role("button", name="Stop")
    expect(stop).to_be_disabled()
    admin.page.get_by_role("button", name="Send").click()
    sides = [admin.page.locator("section", has_text=side).locator(".cmg-said").last for side in ("With", "Without")]
    sizes = []
    for side in sides:
        expect(side).to_contain_text("word word word")
        sizes.append(len(side.inner_text()))
    admin.page.wait_for_function(
        "(was) => [...document.querySelectorAll('.cmg-said')].at(-1).innerText.length > was", arg=sizes[1]
    )
    stop.click()
    for side in sides:
        expect(side).to_contain_text("stopped")
    said = [side.inner_text() for side in sides]
    assert all(0 < one.count("word") < 400 for one in said)
    expect(admin.page.get_by_text("Cost").first).to_be_visible()
    expect(admin.page.get_by_role("button", name="Send")).to_be_enabled()
    assert [side.inner_text() for side in sides] == said
    calls = own.call("GET", "/admin/v1/requests?status=cancelled&model=sim/slow")[1]["items"]
    assert len(calls) == 2
    assert admin.serious() == []


def test_a_stream_that_breaks_off_keeps_its_words_and_says_so(own: Service, admin: Tab) -> None:
    admin.open("/playground?model=sim/cut")
    admin.page.get_by_label("API key").fill(own.key)
    admin.page.get_by_label("Message").fill("one two three four five six seven eight nine ten")
    admin.page.get_by_role("button", name="Send").click()
    side = admin.page.locator("section", has_text="Without memory")
    expect(side.locator(".cmg-banner")).to_be_visible()
    expect(side.locator(".cmg-said").last).to_contain_text("one")
    expect(admin.page.get_by_role("button", name="Stop")).to_be_disabled()


def test_a_wrong_key_opens_nothing(admin: Tab) -> None:
    admin.open("/playground")
    admin.page.get_by_label("API key").fill("cmg_nobody_nothing")
    admin.page.get_by_label("Message").fill("Hello")
    admin.page.get_by_role("button", name="Send").click()
    expect(admin.page.locator(".cmg-banner").first).to_be_visible()


def _look_at(one: Tab, own: Service, user: str) -> None:
    one.open(f"/memory?user={user}")
    one.page.get_by_label("API key").fill(own.key)
    one.page.get_by_label("Reason").fill("a question of support")


def test_the_explorer_finds_explains_and_changes_a_memory(own: Service, admin: Tab) -> None:
    _look_at(admin, own, "ada")
    admin.page.get_by_role("button", name="Users").click()
    expect(admin.page.locator("table")).to_contain_text("ada")
    admin.page.get_by_label("Search in what is remembered").fill("Who plays the cello?")
    admin.page.get_by_role("button", name="Search memories").click()
    row = admin.page.locator("tr", has_text="My sister Joan plays the cello").first
    expect(row.locator("td[data-head=Score]")).to_contain_text(re.compile(r"\d"))
    assert admin.serious() == []
    admin.shoot("memory")
    row.get_by_role("button", name="Open").click()
    expect(admin.page.locator(".cmg-dialog")).to_contain_text("importance")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Change").click()
    admin.page.get_by_label("What is remembered", exact=True).fill("My sister Joan plays the viola")
    admin.page.get_by_role("button", name="Save").click()
    expect(admin.page.locator(".q-notification")).to_contain_text("Saved")
    admin.page.get_by_role("button", name="Memories", exact=True).click()
    expect(admin.page.locator("table")).to_contain_text("viola")
    entries = own.call("GET", "/admin/v1/audit?action=memory.sensitive_read")[1]["items"]
    assert any("a question of support" in str(one) for one in entries)


def test_threads_export_and_erasure_by_name(own: Service, admin: Tab) -> None:
    body = {"user_id": "bob", "thread_id": "t", "wait": True, "messages": [{"role": "user", "content": "I like tea"}]}
    assert own.call("POST", "/v1/ingest", body)[0] < 300
    _look_at(admin, own, "bob")
    admin.page.get_by_role("button", name="Threads").click()
    admin.page.get_by_role("button", name="Look").first.click()
    expect(admin.page.locator("table")).to_contain_text("I like tea")
    with admin.page.expect_download() as got:
        admin.page.get_by_role("button", name="Export").click()
    assert "I like tea" in got.value.path().read_text()
    admin.page.get_by_role("button", name="Erase the user").click()
    button = admin.page.locator(".cmg-dialog").get_by_role("button", name="Erase")
    expect(button).to_be_disabled()
    admin.page.get_by_label("Type “bob” to go on").fill("bob")
    button.click()
    expect(admin.page.locator(".cmg-facts")).to_contain_text("Pseudonym")
    assert own.call("GET", "/v1/memories?user_id=bob")[1]["items"] == []


def test_the_effect_of_memory_is_told(admin: Tab) -> None:
    admin.open("/memory/effectiveness")
    expect(admin.page.locator("table").first).to_contain_text("with memory")
    assert admin.serious() == []


def test_a_request_is_found_with_its_waterfall_and_lines(own: Service, admin: Tab) -> None:
    traced = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
    chat = {"model": "sim/echo", "user": "carl", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {own.key}", **traced}
    answer = httpx.post(f"{own.url}/v1/chat/completions", json=chat, headers=headers)
    id_ = answer.headers["x-cmg-request-id"]
    wait_until(lambda: own.call("GET", f"/admin/v1/requests/{id_}")[0] == 200, 20, "the call is in the ledger")
    wait_until(lambda: own.call("GET", f"/admin/v1/traces/{id_}")[0] == 200, 20, "its trace is kept")
    admin.open("/requests?user=carl")
    expect(admin.page.locator("tbody tr")).to_have_count(1)
    assert admin.serious() == []
    admin.page.get_by_role("link", name=id_[-12:]).click()
    expect(admin.page.locator("h1")).to_have_text("Request")
    expect(admin.page.locator(".cmg-facts")).to_contain_text("sim/echo")
    expect(admin.page.locator("svg.cmg-bar").first).to_be_visible()
    assert admin.serious() == []
    admin.shoot("request")


def test_logs_are_searched_and_followed(own: Service, admin: Tab) -> None:
    wait_until(lambda: own.call("GET", "/admin/v1/logs")[1]["items"] != [], 20, "lines are stored")
    admin.open("/logs?level=info")
    expect(admin.page.locator("tbody tr").first).to_be_visible()
    assert admin.serious() == []
    before = admin.page.locator(".cmg-table").inner_text()
    admin.page.get_by_role("switch").click()
    own.call("GET", "/v1/models", key="cmg_nobody_nothing")
    own.call("POST", "/admin/v1/logs/levels", {})
    admin.page.wait_for_function("(was) => document.querySelector('.cmg-table').innerText !== was", arg=before)
    admin.page.get_by_label("Words").fill("nothing-has-these-words")
    expect(admin.page.locator(".cmg-empty")).to_be_visible()


def test_patterns_lead_to_their_lines(own: Service, admin: Tab) -> None:
    wait_until(lambda: own.call("GET", "/admin/v1/logs/patterns")[1]["items"] != [], 30, "patterns are counted")
    admin.open("/logs/patterns")
    expect(admin.page.locator("tbody tr").first).to_be_visible()
    assert admin.serious() == []
    admin.page.locator("td[data-head=Message] a").first.click()
    expect(admin.page.locator("h1")).to_have_text("Logs")
    expect(admin.page.locator("tbody tr").first).to_be_visible()


def test_the_audit_trail_is_read_and_verified(admin: Tab) -> None:
    admin.open("/audit?action=account.login")
    expect(admin.page.locator("td[data-head=What]").first).to_have_text("account.login")
    assert admin.serious() == []
    admin.page.get_by_role("button", name="Verify the chain").click()
    expect(admin.page.locator(".q-notification")).to_contain_text("The chain holds")


def test_a_workspace_is_made_and_changed(own: Service, admin: Tab) -> None:
    admin.open("/workspaces")
    admin.page.get_by_role("button", name="Create a workspace").click()
    admin.page.get_by_label("Id").fill("third")
    admin.page.get_by_label("Name").fill("Third")
    admin.page.get_by_role("button", name="Create", exact=True).click()
    row = admin.page.locator("tr", has_text="third")
    row.get_by_role("button", name="Change").click()
    expect(admin.page.get_by_label("Time zone")).to_be_visible()
    assert admin.serious() == []
    admin.page.get_by_label("Time zone").fill("Europe/Berlin")
    admin.page.get_by_role("switch", name="Administrators say why").click()
    admin.page.get_by_role("button", name="Save").click()
    expect(row).to_contain_text("Europe/Berlin")
    expect(admin.page.locator(".q-dialog")).to_have_count(0)
    assert own.call("GET", "/admin/v1/workspaces/third")[1]["memory"]["reason_required"] is True
    assert admin.serious() == []


def test_a_person_is_invited_and_comes_in_by_the_link(own: Service, browser: Browser, admin: Tab) -> None:
    admin.open("/accounts")
    admin.page.get_by_role("button", name="Invite a person").click()
    admin.page.get_by_label("E-mail address").fill("eve@example.org")
    admin.page.get_by_role("button", name="Invite", exact=True).click()
    address = admin.page.locator("#cmg-once").inner_text()
    assert admin.serious() == []
    admin.page.get_by_role("button", name="I have kept it").click()
    expect(admin.page.locator("table").first).to_contain_text("eve@example.org")
    expect(admin.page.locator(".q-dialog")).to_have_count(0)
    assert admin.serious() == []
    with tab(browser, own.console_url) as one:
        one.page.goto(address)
        one.page.fill("#password", PASSWORD)
        one.page.click("button[type=submit]")
        one.page.wait_for_selector("#email")
        one.sign_in_well("eve@example.org")


def test_jobs_are_shown_with_their_schedules(own: Service, admin: Tab) -> None:
    admin.open("/jobs")
    expect(admin.page.locator("section", has_text="By the clock")).to_contain_text("audit.purge")
    assert admin.serious() == []
    assert own.call("POST", "/admin/v1/jobs/1/retry")[0] == 404


def test_a_member_is_refused_by_the_server(seats: Callable[[str], Tab]) -> None:
    one = seats("member")
    for path in ("/audit", "/accounts", "/jobs"):
        one.open(path)
        expect(one.page.locator(".cmg-banner").first).to_contain_text("lacks the scope")
        assert "example.org" not in one.page.locator(".cmg-page").inner_text()
    one.open("/workspaces")
    assert one.page.get_by_role("button", name="Change").count() == 0
    refused = """async () => {
        const csrf = (await (await fetch('/admin/v1/me')).json()).csrf;
        const headers = {'x-cmg-csrf': csrf, 'content-type': 'application/json'};
        const asked = {method: 'PATCH', headers, body: '{"name": "x"}'};
        return (await fetch('/admin/v1/workspaces/default', asked)).status;
    }"""
    assert one.page.evaluate(refused) == 403


def test_a_session_opens_no_memory(own: Service, admin: Tab) -> None:
    """So the explorer and the playground need a key."""
    cookie = admin.page.context.cookies()[0]
    header = {"cookie": f"{cookie['name']}={cookie['value']}"}
    for path in ("/v1/memories?user_id=ada", "/v1/threads?user_id=ada", "/v1/models"):
        assert httpx.get(own.url + path, headers=header).status_code == 401, path
