"""The second factor: codes that work once, recovery codes for a lost device."""

import pyotp

from support.people import PASSWORD, ROOT, Browser, Town


async def _with_device(town: Town, email: str = "ada@example.org") -> tuple[Browser, pyotp.TOTP, list[str]]:
    browser = await town.signed_in(email)
    device = pyotp.TOTP((await browser.post("/me/second-factor")).json()["secret"])
    answer = await browser.post("/me/second-factor/on", json={"code": device.at(town.clock.time())})
    assert answer.status_code == 200, answer.text
    town.clock.advance(60)
    return browser, device, answer.json()["recovery_codes"]


async def test_a_device_counts_once_its_first_code_was_shown(town: Town) -> None:
    browser = await town.signed_in("ada@example.org")
    begun = (await browser.post("/me/second-factor")).json()
    assert begun["uri"].startswith("otpauth://totp/Context%20Memory%20Gateway:ada%40example.org?secret=")
    assert (await browser.post("/me/second-factor/on", json={"code": "000000"})).status_code == 400
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200
    old = browser.token
    code = pyotp.TOTP(begun["secret"]).at(town.clock.time())
    done = await browser.post("/me/second-factor/on", json={"code": code})
    assert len(set(done.json()["recovery_codes"])) == 10
    assert browser.token != old, "the session goes on under another token"
    assert (await browser.post("/me/second-factor")).status_code == 409


async def test_signing_in_then_needs_a_code_and_each_works_once(town: Town) -> None:
    _, device, _ = await _with_device(town)
    asked = await town.browser().sign_in("ada@example.org")
    assert (asked.status_code, asked.json()["error"]["code"]) == (401, "code_needed")
    assert "set-cookie" not in asked.headers
    code = device.at(town.clock.time())
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, code)).status_code == 200
    again = await town.browser().sign_in("ada@example.org", PASSWORD, code)
    assert (again.status_code, again.json()["error"]["code"]) == (401, "login_failed"), "a code that was seen is used"
    early = device.at(town.clock.time() - 30)
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, early)).status_code == 401
    town.clock.advance(30)
    late = device.at(town.clock.time() + 30)
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, late)).status_code == 200, "clocks may differ"


async def test_codes_cannot_be_guessed_between_good_passwords(town: Town) -> None:
    await _with_device(town)
    statuses = []
    for number in range(8):
        await town.browser(f"198.51.100.{number}").sign_in("ada@example.org")
        answer = await town.browser(f"198.51.100.{number}").sign_in("ada@example.org", PASSWORD, f"{number:06d}")
        statuses.append(answer.status_code)
    assert statuses == [401] * 4 + [429] * 4


async def test_a_recovery_code_works_once_however_it_is_written(town: Town) -> None:
    browser, _, codes = await _with_device(town)
    given = codes[0].replace("-", " ").upper()
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, given)).status_code == 200
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, codes[0])).status_code == 401
    renewed = await browser.post("/me/recovery-codes", json={"password": PASSWORD, "code": codes[1]})
    assert len(renewed.json()["recovery_codes"]) == 10
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, codes[2])).status_code == 401, "old ones are gone"


async def test_taking_it_away_needs_both(town: Town) -> None:
    browser, device, _ = await _with_device(town)
    for proof in ({"password": PASSWORD}, {"password": "wrong wrong wrong", "code": device.at(town.clock.time())}):
        assert (await browser.post("/me/second-factor/off", json=proof)).status_code == 401
    town.clock.advance(31)
    proof = {"password": PASSWORD, "code": device.at(town.clock.time())}
    off = await browser.post("/me/second-factor/off", json=proof)
    assert (off.status_code, off.json()["second_factor"]) == (200, False)
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200


async def test_an_administrator_helps_who_lost_everything(town: Town) -> None:
    browser, _, _ = await _with_device(town)
    account = (await browser.get("/me")).json()["id"]
    await town.people.accounts.drop_second_factor(ROOT, account)
    assert (await browser.get("/me")).status_code == 401
    assert (await town.browser().sign_in("ada@example.org")).status_code == 200
    rows = await town.database.fetchval("SELECT count(*) FROM account_recovery_codes")
    assert rows == 0
