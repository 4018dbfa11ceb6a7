"""The doors in a real browser: invitations, new passwords, and signing in with an organisation's provider."""

import pytest
from playwright.sync_api import Browser, expect

from support.browser import PASSWORD, invite, tab
from support.oidc_provider import OidcProvider
from support.service import Service

pytestmark = pytest.mark.needs("chromium")
OTHER = "seventeen slow green rivers"


def test_the_organisations_button_signs_in_and_comes_to_the_page_that_was_asked_for(
    own: Service, browser: Browser
) -> None:
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/keys?state=revoked")
        button = one.page.get_by_role("link", name="Sign in with your organisation")
        expect(button).to_be_visible()
        assert one.serious() == []
        button.click()
        expect(one.page.locator("h1#cmg-title")).to_have_text("API keys")
        expect(one.page).to_have_url(f"{own.console_url}/keys?state=revoked")
        one.page.get_by_role("button", name="Your account").click()
        expect(one.page.locator(".cmg-who")).to_contain_text("Ada Lovelace")
        assert one.said == []


def test_whom_the_organisation_gives_no_role_comes_not_in(
    own: Service, browser: Browser, provider: OidcProvider
) -> None:
    provider.person.subject, provider.person.email, provider.person.groups = "u-2", "eve@corp.example", ["nobody"]
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/login")
        one.page.get_by_role("link", name="Sign in with your organisation").click()
        one.page.wait_for_load_state()
        one.page.goto(own.console_url)
        expect(one.page.locator("#email")).to_be_visible()


def test_an_invitation_is_accepted_and_its_link_works_once(own: Service, browser: Browser) -> None:
    form = {"email": "new@example.org", "role": "member"}
    made = own.call("POST", "/admin/v1/accounts", form)[1]
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/invitation#{made['token']}")
        one.page.fill("#name", "New Person")
        one.page.fill("#password", "short")
        one.page.click("button[type=submit]")
        expect(one.page.locator("#problem")).to_be_visible()
        expect(one.page.locator("#password")).to_have_attribute("aria-invalid", "true")
        assert one.serious() == []
        one.page.fill("#password", PASSWORD)
        one.page.click("button[type=submit]")
        one.page.wait_for_url("**/login*")
        assert made["token"] not in one.page.url
        one.page.fill("#email", "new@example.org")
        one.page.fill("#password", PASSWORD)
        one.page.click("button[type=submit]")
        expect(one.page.locator("h1#cmg-title")).to_have_text("Overview")
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/invitation#{made['token']}")
        one.page.fill("#password", OTHER)
        one.page.click("button[type=submit]")
        expect(one.page.locator("#problem")).to_be_visible()


def test_a_forgotten_password_is_asked_for_and_set_anew(own: Service, browser: Browser) -> None:
    email = invite(own, "owner", name="forgetful")
    with tab(browser, own.console_url) as one:
        one.page.goto(f"{own.console_url}/login")
        one.page.get_by_role("link", name="Forgot your password?").click()
        for asked in ("nobody@example.org", email):
            one.page.fill("#email", asked)
            one.page.click("button[type=submit]")
            expect(one.page.locator("#done")).to_have_text("If there is such an account, an administrator was told.")
        assert one.serious() == []
        asked = own.call("GET", "/admin/v1/accounts/requests")[1]["items"]
        (mine,) = [one for one in own.call("GET", "/admin/v1/accounts")[1]["items"] if one["email"] == email]
        assert any(email in str(request) or mine["id"] in str(request) for request in asked)
        made = own.call("POST", f"/admin/v1/accounts/{mine['id']}/reset")[1]
        one.page.goto(f"{own.console_url}/reset#{made['token']}")
        one.page.fill("#password", OTHER)
        assert one.serious() == []
        one.page.click("button[type=submit]")
        one.page.wait_for_url("**/login*")
        one.sign_in(email, PASSWORD)
        expect(one.page.locator("#problem")).to_be_visible()
        one.sign_in_well(email, OTHER)


def test_another_password_is_asked_for_with_whose_it_is(own: Service, browser: Browser) -> None:
    email = invite(own, "read_only", name="careful")
    with tab(browser, own.console_url) as one:
        one.sign_in_well(email)
        one.page.goto(f"{own.console_url}/password?next=/keys")
        expect(one.page.locator("#whose")).to_have_value(email)
        expect(one.page.locator("#whose")).to_be_hidden()
        expect(one.page.locator("#whose")).to_have_attribute("autocomplete", "username")
        expect(one.page.locator("#current")).to_be_focused()
        one.page.fill("#current", PASSWORD)
        one.page.fill("#new", OTHER)
        assert one.serious() == []
        one.page.click("button[type=submit]")
        expect(one.page.locator("h1#cmg-title")).to_have_text("API keys")
        assert one.said == []
