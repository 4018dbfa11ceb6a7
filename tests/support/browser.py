"""Chromium, driven by Playwright, and what is checked on every page: a silent console, and axe finds nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from support.service import Service

WAIT_MS = 20_000
_LOADED = "![...document.querySelectorAll('.q-loading-bar')].some((bar) => getComputedStyle(bar).opacity > 0)"
# A colour on its way from light to dark is none that anybody reads.
_STILL = "!document.getAnimations().some((one) => one instanceof CSSTransition && one.playState === 'running')"
PASSWORD = "violet tractor ninety lemons"


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser."""
    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of the browser in a context of its own (cookies), with what its console said."""

    page: Page
    url: str
    said: list[str] = field(default_factory=list)

    def open(self, path: str) -> None:
        """Go to a page of the console and wait until it is drawn and its websocket stands."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("h1#cmg-title")
        self.page.wait_for_function("window.did_handshake === true || window.socket?.connected === true")

    def sign_in(self, email: str, password: str) -> None:
        """By the form."""
        self.page.goto(f"{self.url}/login")
        self.page.fill("#email", email)
        self.page.fill("#password", password)
        self.page.click("button[type=submit]")

    def sign_in_well(self, email: str, password: str = PASSWORD) -> None:
        """And come to the overview."""
        self.sign_in(email, password)
        self.page.wait_for_selector("h1#cmg-title")

    def serious(self) -> list[str]:
        """What axe finds serious or critical here, with the elements; of an open dialog, where there is one.

        What lies behind a dialog cannot be reached. For its buttons axe takes the dimmed page for the ground; the same
        buttons are looked at on pages.
        """
        self.page.wait_for_function(_LOADED)
        self.page.wait_for_function(_STILL)
        dialog = self.page.locator(".q-dialog").count() > 0
        options = {"resultTypes": ["violations"], "rules": {"color-contrast": {"enabled": not dialog}}}
        found = Axe().run(self.page, ".q-dialog" if dialog else None, options).response["violations"]
        return [
            f"{one['id']}: {[(node['target'], node['html'][:300]) for node in one['nodes']][:4]}"
            for one in found
            if one["impact"] in {"serious", "critical"}
        ]

    def shoot(self, name: str) -> None:
        """Keep a picture of the page, where `SCREENSHOTS` names a folder for them."""
        if folder := os.environ.get("SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{folder}/{name}.png")


@contextmanager
def tab(browser: Browser, url: str, **options: Any) -> Iterator[Tab]:
    """A tab of somebody of their own; `options` are of the browser's context."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "reduced_motion": "reduce", **options})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    made = Tab(page, url)

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            made.said.append(f"{message.type}: {message.text}")

    page.on("console", heard)
    page.on("pageerror", lambda error: made.said.append(f"crash: {error}"))
    yield made
    context.close()


def invite(service: Service, role: str, workspace: str = "default", name: str = "") -> str:
    """The address of a new person with this role, whose password is `PASSWORD`; called like the role, or by a name."""
    email = f"{name or role}-{workspace}@example.org"
    form = {"email": email, "role": role, "workspace": workspace}
    status, made = service.call("POST", "/admin/v1/accounts", form)
    assert status == 201, made
    body = {"token": made["token"], "password": PASSWORD, "name": role}
    status, answer = service.call("POST", "/admin/v1/invitations/accept", body)
    assert status == 200, answer
    return email
