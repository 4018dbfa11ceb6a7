"""One service with a console, its people, and one browser, for every file here."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.browser import chromium, invite
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
