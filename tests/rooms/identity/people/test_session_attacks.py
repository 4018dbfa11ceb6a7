"""Attacks on sessions, tried and refused: fixation, replay, forgery, theft."""

import pytest

from cmg.config import AccountSettings, Settings
from support.people import PASSWORD, Town, build_town

PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 26_1 like Mac OS X) Safari/605.1"


async def test_a_cookie_fixed_beforehand_never_becomes_a_session(town: Town) -> None:
    await town.account("ada@example.org")
    browser = town.browser()
    browser.cookies.set("__Host-cmg_session", "A" * 40, domain="cmg.test")
    answer = await browser.sign_in("ada@example.org")
    assert answer.status_code == 200
    assert "A" * 40 not in answer.headers["set-cookie"]
    thief = town.browser()
    thief.cookies.set("__Host-cmg_session", "A" * 40, domain="cmg.test")
    assert (await thief.get("/me")).status_code == 401


async def test_signing_in_anew_ends_the_session_before(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    old = browser.token
    await browser.sign_in("ada@example.org")
    assert await _opens(town, old) == 401
    assert await _opens(town, browser.token) == 200


async def test_a_cookie_is_worth_nothing_after_logout(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    old = browser.token
    answer = await browser.post("/logout")
    assert (answer.status_code, browser.token) == (204, "")
    assert await _opens(town, old) == 401
    assert town.count("session_use_after_expire") == 1


@pytest.mark.parametrize("what", ["none", "wrong", "another session's"])
async def test_another_site_cannot_make_a_browser_change_anything(town: Town, what: str) -> None:
    browser = await town.signed_in("ada@example.org", "owner")
    other = await town.signed_in("eve@example.org", "owner")
    token = {"none": {}, "wrong": {"x-cmg-csrf": "0" * 40}, "another session's": {"x-cmg-csrf": other.csrf}}[what]
    answer = await browser.request("POST", "/keys", json={"name": "k"}, csrf=False, headers=token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
    assert (await browser.get("/keys")).json()["items"] == []
    assert town.count("authz_fail") == 1


async def test_another_site_cannot_sign_a_browser_in(town: Town) -> None:
    await town.account("eve@example.org")
    for site in ("cross-site", "same-site"):
        answer = await town.browser().post(
            "/login", json={"email": "eve@example.org", "password": PASSWORD}, headers={"sec-fetch-site": site}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf")
    form = await town.browser().post(
        "/login",
        content=b'{"email": "eve@example.org", "password": "%s"}' % PASSWORD.encode(),
        headers={"content-type": "text/plain"},
    )
    assert form.status_code == 400, "what a form of another site can send is no JSON"


async def test_a_session_ends_unused_and_by_its_age(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    for _ in range(20):
        town.clock.advance(8 * 3600 - 100)
        assert (await browser.get("/me")).status_code == 200
    town.clock.advance(8 * 3600 + 1)
    assert (await browser.get("/me")).status_code == 401
    assert town.count("session_expired") == 1
    again = await town.browser().sign_in("ada@example.org")
    assert again.status_code == 200
    kept = town.browser()
    await kept.sign_in("ada@example.org")
    for _ in range(23):
        town.clock.advance(7.3 * 3600)
        last = await kept.get("/me")
    assert last.status_code == 200
    town.clock.advance(0.2 * 3600 * 5)
    assert (await kept.get("/me")).status_code == 401, "a week is the end, used or not"


async def test_one_person_has_so_many_sessions_and_no_more(database, clock, instruments) -> None:
    town = await build_town(database, clock, instruments, Settings(accounts=AccountSettings(sessions_max=2)))
    first = await town.signed_in("ada@example.org")
    for _ in range(2):
        town.clock.advance(1)
        last = town.browser()
        await last.sign_in("ada@example.org")
    assert await _opens(town, first.token) == 401
    assert len((await last.get("/sessions")).json()["items"]) == 2


async def test_a_stolen_cookie_is_flagged_and_changes_nothing_without_the_password(town: Town) -> None:
    browser = await town.signed_in("ada@example.org", "owner")
    thief = town.browser("203.0.113.9", PHONE)
    thief.cookies.set("__Host-cmg_session", browser.token, domain="cmg.test")
    me = await thief.get("/me")
    assert (me.status_code, me.json()["confirm_needed"]) == (200, True)
    answer = await thief.post("/keys", json={"name": "k"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "password_needed")
    assert (await thief.post("/me/second-factor")).status_code == 403
    assert town.count("authn_impossible_travel") == 1
    assert (await browser.post("/keys", json={"name": "k"})).status_code == 403, "the owner is asked as well"
    old = browser.token
    confirmed = await browser.post("/me/confirm", json={"password": PASSWORD})
    assert confirmed.status_code == 200, confirmed.text
    assert (await browser.post("/keys", json={"name": "k"})).status_code == 201
    assert await _opens(town, old) == 401, "the stolen cookie is worth nothing now"


async def test_a_phone_that_changes_its_network_stays_signed_in(town: Town) -> None:
    phone = await town.signed_in("ada@example.org", "owner", agent=PHONE)
    moved = town.browser("100.64.3.4", PHONE.replace("26_1", "26_2"))
    moved.cookies.set("__Host-cmg_session", phone.token, domain="cmg.test")
    assert (await moved.get("/keys")).status_code == 200
    await moved.get("/me")
    await moved.post("/me/confirm", json={"password": PASSWORD})
    assert (await moved.post("/keys", json={"name": "k"})).status_code == 201
    home = town.browser("192.0.2.200", PHONE)
    home.cookies.set("__Host-cmg_session", moved.token, domain="cmg.test")
    assert (await home.get("/me")).json()["confirm_needed"] is False, "its first network is still known"


async def test_only_the_owner_sees_and_ends_sessions(town: Town) -> None:
    ada, eve = await town.signed_in("ada@example.org"), await town.signed_in("eve@example.org")
    mine = (await ada.get("/sessions")).json()["items"]
    assert [(one["current"], one["client"]) for one in mine] == [(True, "192.0.2.7")]
    assert (await eve.delete(f"/sessions/{mine[0]['id']}")).status_code == 404
    second = town.browser()
    await second.sign_in("ada@example.org")
    assert (await ada.delete("/sessions")).status_code == 204
    assert (await second.get("/me")).status_code == 401
    assert (await ada.delete(f"/sessions/{mine[0]['id']}")).status_code == 204
    assert (await ada.get("/me")).status_code == 401


async def test_a_session_never_stands_for_a_key_and_a_key_never_for_a_person(town: Town) -> None:
    browser = await town.signed_in("ada@example.org", "admin")
    made = (await browser.post("/keys", json={"name": "k", "scopes": ["admin:all"]})).json()
    await town.changes.look()
    key = {"authorization": f"Bearer {made['key']}"}
    assert (await town.browser().get("/accounts", headers=key)).status_code == 200, "a service account"
    for path in ("/me", "/sessions"):
        answer = await town.browser().get(path, headers=key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "session_needed")
    wrong = await browser.get("/keys", headers={"authorization": "Bearer cmg_x_aaaaaaaaaaaa"})
    assert wrong.status_code == 401, "a bad key is not made good by a cookie"


async def _opens(town: Town, token: str) -> int:
    browser = town.browser()
    browser.cookies.set("__Host-cmg_session", token, domain="cmg.test")
    return (await browser.get("/me")).status_code
