"""Passwords and what replaces a lost one: links that work once, and a first one that must be changed."""

import time

import pytest

from cmg.identity.accounts.passwords import Passwords
from cmg.kit.errors import InvalidRequest, Unavailable
from cmg.telemetry.instruments import Instruments
from support.people import PASSWORD, ROOT, Town

NEXT = "yellow bicycle forty walnuts"


@pytest.fixture
def passwords(instruments: Instruments):
    made = Passwords(instruments, 12)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "at least 12"),
        ("x" * 257, "256"),
        ("password1234", "leaked"),
        ("Password2026!", "leaked"),
        ("qwertyuiop[]", "leaked"),
        ("aaaaaaaaaaaaaaaa", "leaked"),
        ("123456789012345", "leaked"),
        ("iloveyou iloveyou", "leaked"),
        ("adalovelace1815", "leaked"),
        ("ada@example.org", "leaked"),
        ("tab\tin the middle of it", "control"),
    ],
)
async def test_what_is_short_leaked_or_easily_guessed_is_refused(passwords, password: str, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why) as caught:
        await passwords.check_new(password, "new", ("ada@example.org", "Ada Lovelace"))
    assert caught.value.param == "new"


@pytest.mark.parametrize(
    "password", [PASSWORD, "pferd batterie heftklammer", "ナイフ と フォーク と 皿", "kX9#mQ2$vL7!"]
)
async def test_length_is_enough_whatever_it_is_made_of(passwords, password: str) -> None:
    await passwords.check_new(password, "new")


async def test_the_hash_is_argon2id_with_owasps_parameters(passwords) -> None:
    hashed = await passwords.hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.matches(hashed, PASSWORD)
    assert not await passwords.matches(hashed, PASSWORD + "x")
    assert not await passwords.matches(None, PASSWORD)
    assert not await passwords.matches("not a hash", PASSWORD)


async def test_the_same_word_in_another_unicode_form_is_the_same_password(passwords) -> None:
    assert await passwords.matches(
        await passwords.hash("caf\u00e9 caf\u00e9 caf\u00e9"), "cafe\u0301 cafe\u0301 cafe\u0301"
    )


async def test_a_flood_of_checks_is_refused_and_counted(passwords, instruments: Instruments) -> None:
    import asyncio

    hashed = await passwords.hash(PASSWORD)
    tries = [passwords.matches(hashed, PASSWORD) for _ in range(60)]
    found = await asyncio.gather(*tries, return_exceptions=True)
    refused = sum(isinstance(one, Unavailable) for one in found)
    assert refused == 26
    assert found.count(True) == 34
    assert instruments.registry.get_sample_value("cmg_password_checks_refused_total") == 26


async def test_the_loop_goes_on_while_passwords_are_hashed(passwords) -> None:
    import asyncio

    work = asyncio.gather(*(passwords.hash(PASSWORD) for _ in range(6)))
    longest, last = 0.0, time.monotonic()
    while not work.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    await work
    assert longest < 0.15, "a hash takes 45 ms; six of them on the loop would stop it for longer"


async def test_a_forgotten_password_takes_an_administrators_link(town: Town) -> None:
    root = await town.signed_in("root@example.org", "admin")
    ada = await town.signed_in("ada@example.org")
    for email in ("ada@example.org", "nobody@example.org"):
        answer = await town.browser().post("/password/forgotten", json={"email": email})
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
    asked = (await root.get("/accounts/requests")).json()["items"]
    assert [(one["email"], one["kind"], one["client"]) for one in asked] == [("ada@example.org", "reset", "192.0.2.7")]
    link = (await root.post(f"/accounts/{asked[0]['account']}/reset")).json()
    form = {"token": link["token"], "password": NEXT}
    assert (await town.browser().post("/password/reset", json={**form, "password": "short"})).status_code == 400
    assert (await town.browser().post("/password/reset", json=form)).status_code == 200
    assert (await town.browser().post("/password/reset", json=form)).status_code == 400
    assert (await ada.get("/me")).status_code == 401, "sessions end with the old password"
    assert (await town.browser().sign_in("ada@example.org")).status_code == 401
    assert (await town.browser().sign_in("ada@example.org", NEXT)).status_code == 200


async def test_a_link_ends_after_its_time_and_with_the_next_one(town: Town) -> None:
    account = await town.account("ada@example.org")
    old = await town.people.accounts.reset(ROOT, account)
    new = await town.people.accounts.reset(ROOT, account)
    for token, after in ((old.token, 0), (new.token, 3601)):
        town.clock.advance(after)
        answer = await town.browser().post("/password/reset", json={"token": token, "password": NEXT})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "token")
    rows = await town.database.fetch("SELECT hash FROM account_tokens")
    assert all(new.token.encode() not in row["hash"] for row in rows), "only hashes are kept"


async def test_asking_for_links_is_bounded(town: Town) -> None:
    await town.account("ada@example.org")
    statuses = []
    for number in range(12):
        answer = await town.browser(f"198.51.100.{number % 2}").post(
            "/password/forgotten", json={"email": "ada@example.org"}
        )
        statuses.append(answer.status_code)
    assert statuses.count(202) == 10
    assert statuses.count(429) == 2
    assert len((await town.people.accounts.requests(ROOT)).items) == 5


async def test_the_first_administrator_must_change_the_one_time_password(town: Town) -> None:
    made = await town.people.first.ensure(None, None)
    assert await town.people.first.ensure(None, None) is None
    browser = town.browser()
    me = await browser.sign_in(made.email, made.password)
    assert (me.status_code, me.json()["must_change_password"], me.json()["role"]) == (200, True, "admin")
    for path in ("/keys", "/accounts"):
        answer = await browser.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "password_change_needed")
    assert (await browser.post("/me/second-factor")).status_code == 403
    weak = await browser.post("/me/password", json={"current": made.password, "new": "administrator1"})
    assert (weak.status_code, weak.json()["error"]["param"]) == (400, "new")
    old = browser.token
    changed = await browser.post("/me/password", json={"current": made.password, "new": NEXT})
    assert (changed.status_code, changed.json()["must_change_password"]) == (200, False), changed.text
    assert browser.token != old
    assert (await browser.get("/keys")).status_code == 200


async def test_the_settings_name_the_first_administrator(town: Town) -> None:
    with pytest.raises(InvalidRequest, match="CMG_ADMIN_EMAIL") as caught:
        await town.people.first.ensure("root", None)
    assert caught.value.param == "CMG_ADMIN_EMAIL"
    with pytest.raises(InvalidRequest) as caught:
        await town.people.first.ensure("root@example.org", "password1234")
    assert caught.value.param == "CMG_ADMIN_PASSWORD"
    made = await town.people.first.ensure("Root@example.org", PASSWORD)
    assert (made.email, made.password) == ("root@example.org", None)
    assert (await town.browser().sign_in("root@example.org")).json()["must_change_password"] is False


async def test_changing_a_password_needs_the_present_one_and_ends_the_other_sessions(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    other = town.browser()
    await other.sign_in("ada@example.org")
    wrong = await browser.post("/me/password", json={"current": "wrong wrong wrong", "new": NEXT})
    assert wrong.status_code == 401
    assert (await browser.post("/me/password", json={"current": PASSWORD, "new": PASSWORD})).status_code == 400
    assert (await browser.post("/me/password", json={"current": PASSWORD, "new": NEXT})).status_code == 200
    assert (await other.get("/me")).status_code == 401
    assert (await browser.get("/me")).status_code == 200
