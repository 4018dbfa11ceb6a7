"""Nobody learns which addresses have accounts: not by words, not by the time an answer takes."""

import time

from support.people import ROOT, Town

_ROUNDS = 15


async def _seconds(town: Town, email: str, address: str) -> float:
    """Of a core, in every thread of this process: how long a refusal takes on a busy machine says nothing."""
    started = time.process_time()
    answer = await town.browser(address).sign_in(email, "wrong wrong wrong")
    assert answer.status_code == 401
    return time.process_time() - started


async def test_a_refusal_takes_as_long_for_an_account_as_for_none(town: Town) -> None:
    for number in range(_ROUNDS):
        await town.account(f"p{number}@example.org")
    await town.people.accounts.disable(ROOT, await town.account("off@example.org"))
    known, unknown = [], []
    await _seconds(town, "first@example.org", "192.0.2.250")  # makes the hash that nobody has
    for number in range(_ROUNDS):
        known.append(await _seconds(town, f"p{number}@example.org", f"198.51.100.{number}"))
        unknown.append(await _seconds(town, f"q{number}@example.org", f"203.0.113.{number}"))
    # A hash left out would show as a factor of three or more.
    ratio = min(known) / min(unknown)
    assert 0.7 < ratio < 1.4, ratio


async def test_both_leave_the_same_rows_behind(town: Town) -> None:
    """The same work: an attempt by account, one by address, an entry of the trail."""
    await town.account("ada@example.org")
    count = "SELECT (SELECT count(*) FROM login_attempts), (SELECT count(*) FROM audit_entries)"
    left = []
    for email, address in (("ada@example.org", "198.51.100.1"), ("nobody@example.org", "198.51.100.2")):
        before = await town.database.fetchrow(count)
        await _seconds(town, email, address)
        after = await town.database.fetchrow(count)
        left.append([now - then for now, then in zip(after, before, strict=True)])
    assert left == [[2, 1], [2, 1]]


async def test_strangers_cannot_fill_the_trail(town: Town, monkeypatch) -> None:
    monkeypatch.setattr("cmg.identity.sessions.proof._AUDITED_IN_AN_HOUR", 3)
    for number in range(5):
        await _seconds(town, f"q{number}@example.org", f"198.51.100.{number}")
    rows = "SELECT count(*) FROM audit_entries WHERE action = 'account.login_failed'"
    assert await town.database.fetchval(rows) == 3
    assert town.count("authn_login_fail") == 5, "all of them are counted"
    town.clock.advance(3601)
    await _seconds(town, "late@example.org", "198.51.100.200")
    assert await town.database.fetchval(rows) == 4


async def test_what_ended_is_forgotten_after_its_time(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    await browser.post("/logout")
    await _seconds(town, "nobody@example.org", "198.51.100.1")
    await town.people.accounts.invite(ROOT, {"email": "new@example.org", "role": "member"})
    await town.browser().post("/password/forgotten", json={"email": "ada@example.org"})
    tables = ("sessions", "login_attempts", "account_tokens", "account_requests")
    assert await _rows(town, tables) == {"sessions": 1, "login_attempts": 4, "account_tokens": 1, "account_requests": 1}
    town.clock.advance(86_401)
    await town.people.purge()
    assert (await _rows(town, tables))["login_attempts"] == 0
    town.clock.advance(100 * 86_400)
    await town.people.purge()
    assert set((await _rows(town, tables)).values()) == {0}


async def _rows(town: Town, tables: tuple[str, ...]) -> dict[str, int]:
    return {table: await town.database.fetchval(f"SELECT count(*) FROM {table}") for table in tables}


async def test_single_failures_of_many_strangers_are_forgotten_within_hours(town: Town) -> None:
    for number in range(3):
        await _seconds(town, "ada@example.org", f"198.51.100.{number}")
    assert await town.database.fetchval("SELECT count(*) FROM login_attempts") == 4
    town.clock.advance(3601)
    assert await town.people.purge() == 3
    assert await town.database.fetchval("SELECT max(failures) FROM login_attempts") == 3, "guessing is remembered"
