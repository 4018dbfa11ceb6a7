"""The second factor: codes that work once, recovery codes for a lost device."""

import pyotp
import pytest

from cmg.identity.accounts.store import AccountStore
from cmg.storage.sealing.sealer import CannotOpen, Sealer
from support.people import MASTER_KEYS, PASSWORD, ROOT, Browser, Town


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


async def _dump(town: Town) -> str:
    """Everything that stands in the database, as text."""
    named = (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    tables = [row["table_name"] for row in await town.database.fetch(named)]
    rows = [row for table in tables for row in await town.database.fetch(f'SELECT t::text AS told FROM "{table}" AS t')]
    return "\n".join(row["told"] or "" for row in rows)


async def test_a_dump_of_the_database_has_no_secret_of_a_device_that_is_of_use(town: Town) -> None:
    _, device, codes = await _with_device(town)
    dump = await _dump(town)
    assert "ada@example.org" in dump, "the dump holds the account"
    assert device.secret not in dump
    assert not [code for code in codes if code in dump or code.replace("-", "") in dump]
    kept = await town.database.fetchval("SELECT totp_secret FROM accounts WHERE email = 'ada@example.org'")
    with pytest.raises(CannotOpen):
        Sealer(lambda: ["a key that somebody guessed"]).open(kept)
    assert Sealer(lambda: MASTER_KEYS).open(kept) == device.secret


async def test_secrets_that_stood_there_as_they_are_get_sealed_and_the_device_goes_on(town: Town) -> None:
    _, device, _ = await _with_device(town)
    await town.database.execute("UPDATE accounts SET totp_secret = $1 WHERE totp_secret IS NOT NULL", device.secret)
    await town.people.reseal()
    assert device.secret not in await _dump(town)
    code = device.at(town.clock.time())
    assert (await town.browser().sign_in("ada@example.org", PASSWORD, code)).status_code == 200


async def test_another_master_key_seals_anew_what_the_one_before_did(town: Town) -> None:
    await _with_device(town)
    await _with_device(town, "bob@example.org")
    new, old = "the master key from now on", MASTER_KEYS[0]

    async def resealed(*keys: str) -> tuple[int, int]:
        return await AccountStore(Sealer(lambda: keys)).reseal(town.database, most=1)

    assert await resealed(new) == (0, 2), "no key opens them"
    assert await resealed(new, old) == (2, 0)
    assert await resealed(new, old) == (0, 0)
    assert await resealed(new) == (0, 0), "the old key is not needed any more"
    assert await resealed(old) == (0, 2)
