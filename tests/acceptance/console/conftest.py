"""One service with a console, its people, and one browser, for every file here."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser

from support.browser import Tab, chromium, invite, tab
from support.oidc_provider import CLIENT_SECRET, OidcProvider
from support.service import Service, ServiceOptions

SETTINGS = """public_url = "{url}"
[[upstreams]]
name = "unset"
base_url = "http://127.0.0.1:9/v1"
api_key = "env:UNSET_KEY"
models = ["u-*"]

[[routes]]
model = "smart"
candidates = ["sim/echo", "u-one"]

[oidc]
issuer = "{issuer}"
client_secret = "{secret}"
roles = {{ staff = "owner" }}
"""


@pytest.fixture(scope="package")
def provider() -> Iterator[OidcProvider]:
    """On loopback, in a thread of its own."""
    loop, ready, made = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        async with OidcProvider(time.time) as one:
            made.append((one, asyncio.Event()))
            ready.set()
            await made[0][1].wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield made[0][0]
    loop.call_soon_threadsafe(made[0][1].set)
    thread.join(20)


@pytest.fixture(scope="package")
def own(provider: OidcProvider) -> Iterator[Service]:
    """With an upstream that has no key, a route, and people who can sign in with their organisation."""
    one = Service(ServiceOptions(console=True))
    one.options.toml = SETTINGS.format(url=one.url, issuer=provider.issuer, secret=CLIENT_SECRET)
    with one:
        yield one


@pytest.fixture(scope="package")
def people(own: Service) -> dict[str, str]:
    """Role → address; nobody changes their passwords."""
    return {role: invite(own, role) for role in ("admin", "owner", "member", "read_only")}


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """A real browser."""
    with chromium() as one:
        yield one


@pytest.fixture(scope="package")
def seats(own: Service, browser: Browser, people: dict[str, str]) -> Iterator[Callable[[str], Tab]]:
    """Role → the tab where somebody with it has signed in, for what opens its pages anew and leaves nothing behind.

    One for all: in a new one the browser loads and compiles everything again, which takes two seconds of a core.
    """
    made: dict[str, Tab] = {}
    with ExitStack() as stack:

        def seat(role: str) -> Tab:
            if role not in made:
                made[role] = stack.enter_context(tab(browser, own.console_url))
                made[role].sign_in_well(people[role])
            made[role].said.clear()
            return made[role]

        yield seat


@pytest.fixture
def admin(seats: Callable[[str], Tab]) -> Iterator[Tab]:
    """An administrator's; at the test's end the browser must have been silent."""
    one = seats("admin")
    yield one
    assert one.said == []
