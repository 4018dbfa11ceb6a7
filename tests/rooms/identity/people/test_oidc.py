"""Signing in with an identity provider, a real one on loopback: what is asked of it, and which answers are refused."""

from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cmg.config import OidcSettings, Settings
from cmg.identity.oidc.models import safe_next
from support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Lies, OidcProvider, Person
from support.people import ROOT, Browser, Town, build_town

ROLES = {"staff": "member", "ops": "owner", "chiefs": "admin"}
CALLBACK = "/login/oidc/callback"


@pytest.fixture
async def provider(clock) -> AsyncIterator[OidcProvider]:
    async with OidcProvider(clock.time) as made:
        yield made


@pytest.fixture
async def town(database, clock, instruments, provider: OidcProvider) -> AsyncIterator[Town]:
    """A town that trusts the provider."""
    oidc = OidcSettings(issuer=provider.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, roles=ROLES)
    settings = Settings(oidc=oidc, public_url="https://cmg.test")
    made = await build_town(database, clock, instruments, settings)
    yield made
    await made.people.close()


async def _begin(browser: Browser, after: str | None = None) -> str:
    """Go to the provider; the address that it sends the browser back to."""
    answer = await browser.get("/login/oidc", params={} if after is None else {"next": after})
    assert answer.status_code == 303, answer.text
    async with httpx.AsyncClient() as elsewhere:
        sent = await elsewhere.get(answer.headers["location"])
    assert sent.status_code == 302, sent.text
    return sent.headers["location"]


async def _sign_in(browser: Browser, after: str | None = None) -> httpx.Response:
    return await browser.get(await _begin(browser, after))


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_person_of_the_provider_signs_in_with_the_role_of_their_group(town: Town, provider) -> None:
    browser = town.browser()
    assert (await browser.get("/login")).json() == {"password": True, "oidc": "/admin/v1/login/oidc"}
    answer = await _sign_in(browser, "/console/dashboards/system?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/dashboards/system?x=1")
    me = (await browser.get("/me")).json()
    assert (me["email"], me["name"], me["role"]) == ("ada@corp.example", "Ada Lovelace", "member")
    assert me["signs_in_with"] == "oidc"
    asked, form = provider.asked[0], provider.forms[0]
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["nonce"]) >= 40
    assert len(form["code_verifier"]) >= 43
    assert "client_secret" not in form
    assert (await browser.sign_in("ada@corp.example", "")).status_code in {400, 401}


@pytest.mark.parametrize(
    "lies",
    [
        Lies({"nonce": "another"}),
        Lies({"nonce": None}),
        Lies({"aud": "another client"}),
        Lies({"aud": [CLIENT_ID, "another"], "azp": "another"}),
        Lies({"iss": "https://elsewhere.example"}),
        Lies({"exp": 1}),
        Lies({"sub": None}),
        Lies({"iat": None}),
        Lies(signed="by nobody"),
        Lies(signed="by a stranger"),
        Lies(signed="by the public key"),
    ],
    ids=lambda lies: f"{lies.claims} {lies.signed}",
)
async def test_a_token_that_is_not_good_in_every_respect_is_refused(town: Town, provider, lies: Lies) -> None:
    provider.lies = lies
    browser = town.browser()
    answer = await _sign_in(browser)
    assert _code(answer) == (401, "oidc_failed"), answer.text
    assert browser.token == ""
    assert town.count("authn_login_fail") == 1
    assert await town.database.fetchval("SELECT count(*) FROM accounts") == 0


async def test_an_answer_is_good_once_and_for_the_browser_that_asked(town: Town) -> None:
    browser, victim = town.browser(), town.browser()
    back = await _begin(browser)
    assert _code(await victim.get(back)) == (401, "oidc_failed"), "nobody is signed in as somebody else"
    assert (await browser.get(back)).status_code == 303
    assert _code(await browser.get(back)) == (401, "oidc_failed")
    late = await _begin(browser)
    town.clock.advance(601)
    assert _code(await browser.get(late)) == (401, "oidc_failed")


async def test_what_the_provider_refuses_or_another_answers_is_no_login(town: Town) -> None:
    for change in ({"error": "access_denied"}, {"iss": "https://elsewhere.example"}, {"code": "made-up"}):
        browser = town.browser()
        query = {name: values[0] for name, values in parse_qs(urlsplit(await _begin(browser)).query).items()}
        if "error" in change:
            del query["code"]
        assert _code(await browser.get(CALLBACK, params={**query, **change})) == (401, "oidc_failed"), change


async def test_new_keys_of_the_provider_are_taken(town: Town, provider) -> None:
    assert (await _sign_in(town.browser())).status_code == 303
    provider.rotate()
    assert _code(await _sign_in(town.browser())) == (401, "oidc_failed"), "it was asked a moment ago"
    town.clock.advance(31)
    assert (await _sign_in(town.browser())).status_code == 303


async def test_the_role_follows_the_provider_and_another_one_ends_the_sessions(town: Town, provider) -> None:
    browser, again = town.browser(), town.browser()
    await _sign_in(browser)
    provider.person = Person(groups=["staff", "ops"], name="Ada L.")
    await _sign_in(again)
    me = (await again.get("/me")).json()
    assert (me["role"], me["name"]) == ("owner", "Ada L.")
    assert (await browser.get("/me")).status_code == 401
    provider.person = Person(groups=[])
    assert _code(await _sign_in(town.browser())) == (403, "no_role")
    assert len((await town.people.accounts.list(ROOT)).items) == 1


async def test_a_disabled_account_stays_out(town: Town) -> None:
    browser = town.browser()
    await _sign_in(browser)
    account = (await browser.get("/me")).json()["id"]
    await town.people.accounts.disable(ROOT, account)
    assert _code(await _sign_in(town.browser())) == (401, "login_failed")


async def test_an_account_with_a_password_is_never_taken_over(town: Town, provider) -> None:
    await town.account("ada@corp.example", "admin")
    provider.person = Person(groups=["staff"])
    assert _code(await _sign_in(town.browser())) == (409, "conflict")


async def test_the_last_administrator_cannot_lose_the_role_by_a_claim(town: Town, provider) -> None:
    provider.person = Person(groups=["chiefs"])
    await _sign_in(town.browser())
    provider.person = Person(groups=["staff"])
    assert _code(await _sign_in(town.browser())) == (409, "conflict")


async def test_without_a_provider_there_is_no_such_way(database, clock, instruments) -> None:
    town = await build_town(database, clock, instruments, Settings())
    assert (await town.browser().get("/login")).json()["oidc"] is None
    assert _code(await town.browser().get("/login/oidc")) == (404, "no_oidc")
    await town.people.close()


async def test_a_provider_that_is_away_is_503_and_says_so(town: Town, provider) -> None:
    await provider.__aexit__()
    answer = await town.browser().get("/login/oidc")
    assert _code(answer) == (503, "oidc_away")
    await provider.__aenter__()


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/x\\..\\evil",
        "javascript:alert(1)",
        "/a b",
        "/\r\nset-cookie: x=1",
        "/\u2215evil",
        "console",
        "",
        "/" + "x" * 600,
    ],
)
async def test_a_login_never_ends_elsewhere(wanted: str) -> None:
    assert safe_next(wanted) == "/console"


@pytest.mark.parametrize("wanted", ["/console", "/console/dashboards/x?from=1&to=2", "/docs"])
async def test_a_login_goes_on_where_it_was_asked_for(wanted: str) -> None:
    assert safe_next(wanted) == wanted
