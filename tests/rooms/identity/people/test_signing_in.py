"""Signing in: what is asked for, what is answered, and how guessing is slowed down."""

import asyncio

import pytest

from cmg.audit.trail import Wanted
from support.people import PASSWORD, ROOT, Town


async def test_a_password_opens_a_session_that_its_cookie_and_token_go_on_with(town: Town) -> None:
    browser = await town.signed_in("ada@example.org", "owner")
    me = await browser.get("/me")
    assert (me.json()["email"], me.json()["role"], me.json()["scopes"]) == ("ada@example.org", "owner", ["admin"])
    made = await browser.post("/keys", json={"name": "k"})
    assert made.status_code == 201, made.text
    entries = (await town.audit.list(Wanted(None, action="key.create"))).items
    assert [entry.actor for entry in entries] == [f"account:{me.json()['id']}"]


async def test_the_cookie_is_for_this_host_alone_and_never_for_scripts(town: Town) -> None:
    await town.account("ada@example.org")
    answer = await town.browser().sign_in("ada@example.org")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-cmg_session=")
    assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie


async def test_an_address_is_the_same_in_capitals(town: Town) -> None:
    await town.account("ada@example.org")
    assert (await town.browser().sign_in(" Ada@Example.ORG ")).status_code == 200


@pytest.mark.parametrize("email", ["ada@example.org", "nobody@example.org", "gone@example.org", "new@example.org"])
async def test_every_refusal_reads_the_same(town: Town, email: str) -> None:
    for one in ("ada@example.org", "gone@example.org"):
        await town.account(one)
    gone = await town.people.accounts.find(ROOT, "gone@example.org")
    await town.people.accounts.disable(ROOT, gone.id)
    await town.people.accounts.invite(ROOT, {"email": "new@example.org", "role": "member"})
    password = PASSWORD if email == "gone@example.org" else "another long password"
    answer = await town.browser().sign_in(email, password)
    assert (answer.status_code, answer.json()["error"]) == (
        401,
        {
            "message": "the e-mail address, the password or the code is wrong",
            "type": "authentication_error",
            "param": None,
            "code": "login_failed",
        },
    )
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("email", ["ada@example.org", "nobody@example.org"])
async def test_failures_on_an_account_double_the_wait_whether_it_exists_or_not(town: Town, email: str) -> None:
    await town.account("ada@example.org")
    for number in range(5):
        answer = await town.browser(f"192.0.2.{number}").sign_in(email, "wrong wrong wrong")
        assert answer.status_code == 401
    waits = []
    for _ in range(4):
        answer = await town.browser("198.51.100.1").sign_in(email)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_attempts")
        waits.append(int(answer.headers["retry-after"]))
        town.clock.advance(waits[-1] + 0.1)
        answer = await town.browser("198.51.100.1").sign_in(email, "wrong wrong wrong")
        assert answer.status_code == 401
    assert waits == [1, 2, 4, 8]
    assert (town.count("authn_login_fail_max"), town.count("authn_login_lock")) == (4, 5)


async def test_a_good_password_after_the_wait_forgets_the_failures(town: Town) -> None:
    await town.account("ada@example.org")
    for _ in range(5):
        await town.browser().sign_in("ada@example.org", "wrong wrong wrong")
    town.clock.advance(2)
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200
    for _ in range(4):
        assert (await town.browser().sign_in("ada@example.org", "wrong wrong wrong")).status_code == 401
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200


async def test_many_guesses_at_once_are_no_way_around_the_limit(town: Town) -> None:
    await town.account("ada@example.org")
    tries = [town.browser(f"198.51.100.{n}").sign_in("ada@example.org", f"wrong guess {n}") for n in range(20)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*tries))
    assert statuses == [401] * 5 + [429] * 15


async def test_one_address_cannot_try_many_accounts(town: Town) -> None:
    statuses = []
    for number in range(33):
        answer = await town.browser("2001:db8::1").sign_in(f"p{number}@example.org", "wrong wrong wrong")
        statuses.append(answer.status_code)
    assert statuses == [401] * 30 + [429] * 3
    rows = await town.database.fetchval("SELECT count(*) FROM login_attempts")
    assert rows == 31, "one that is blocked leaves no rows behind"
    neighbour = await town.browser("2001:db8::2").sign_in("other@example.org", "wrong wrong wrong")
    assert neighbour.status_code == 429, "an address of the same /64 is the same person's"
    assert (await town.browser("2001:db8:1::1").sign_in("p@example.org", "wrong wrong wrong")).status_code == 401


async def test_failures_are_counted_logged_and_recorded(town: Town) -> None:
    account = await town.account("ada@example.org")
    for email in ("ada@example.org", "nobody@example.org"):
        await town.browser().sign_in(email, "wrong wrong wrong")
    assert town.count("authn_login_fail") == 2
    entries = (await town.audit.list(Wanted(None, action="account.login_failed"))).items
    assert [(entry.target, entry.actor, entry.client) for entry in entries] == [
        ("unknown", "anybody", "192.0.2.7"),
        (account, "anybody", "192.0.2.7"),
    ]
