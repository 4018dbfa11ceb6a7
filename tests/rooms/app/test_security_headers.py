"""What every answer carries, and whose word about the client and its encryption is believed."""

from typing import Any

import pytest

from cmg.app.data_plane import DataPlane, Routes
from cmg.config import TraceSettings
from cmg.kit.asgi import Message, Request, Send, send_json
from cmg.kit.clock import SystemClock
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.tracing.tracer import Tracer

PROXY = "10.0.0.1"


async def _ask(scope: dict[str, Any], trusted: list[str], headers: list[tuple[bytes, bytes]] | None = None):
    """(client's address that the handler saw, headers of the answer)."""
    seen: list[str] = []

    async def tell(request: Request, send: Send) -> None:
        seen.append(request.client)
        await send_json(send, 200, {}, headers or [])

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    nobody: Any = None
    tracer = Tracer(TraceSettings(), None, SystemClock(), Instruments())
    plane = DataPlane(Routes(), nobody, tell, Instruments(), tracer, trusted)
    whole = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": (PROXY, 1), "scheme": "http"}
    await plane({**whole, **scope}, nobody, send)
    return seen[0], sent[0]["headers"]


async def test_every_answer_tells_browsers_to_do_nothing_with_it():
    told = dict((await _ask({}, []))[1])
    assert told[b"content-security-policy"].startswith(b"default-src 'none'")
    assert b"frame-ancestors 'none'" in told[b"content-security-policy"]
    assert (told[b"x-content-type-options"], told[b"x-frame-options"]) == (b"nosniff", b"DENY")
    assert told[b"referrer-policy"] == b"no-referrer"
    assert b"strict-transport-security" not in told
    assert b"cache-control" not in told


async def test_what_an_answer_says_itself_stays_and_stands_once():
    own = [(b"content-security-policy", b"default-src 'self'")]
    told = (await _ask({}, [], own))[1]
    assert [value for name, value in told if name == b"content-security-policy"] == [b"default-src 'self'"]


async def test_no_cache_keeps_what_administrators_see():
    assert (b"cache-control", b"no-store") in (await _ask({"path": "/admin/v1/keys"}, []))[1]


@pytest.mark.parametrize(
    ("scheme", "client", "told", "encrypted"),
    [
        ("https", "192.0.2.1", b"", True),
        ("http", PROXY, b"https", True),
        ("http", PROXY, b"http", False),
        ("http", PROXY, b"https, http", False),  # the last proxy's word counts
        ("http", "192.0.2.1", b"https", False),  # anybody can write that
    ],
)
async def test_browsers_are_told_to_stay_encrypted_only_where_they_are(scheme, client, told, encrypted):
    scope = {"scheme": scheme, "client": (client, 1), "headers": [(b"x-forwarded-proto", told)] if told else []}
    names = {name for name, _ in (await _ask(scope, ["10.0.0.0/8"]))[1]}
    assert (b"strict-transport-security" in names) is encrypted


@pytest.mark.parametrize(
    ("peer", "told", "client"),
    [
        ("192.0.2.1", [b"203.0.113.5"], "192.0.2.1"),  # nobody trusts this peer
        (PROXY, [], PROXY),
        (PROXY, [b"203.0.113.5"], "203.0.113.5"),
        (PROXY, [b"127.0.0.1, 203.0.113.5"], "203.0.113.5"),  # the client wrote the first one
        (PROXY, [b"127.0.0.1", b"203.0.113.5"], "203.0.113.5"),  # the same in two headers
        (PROXY, [b"203.0.113.5, 10.0.0.2"], "203.0.113.5"),  # two proxies of ours
        (PROXY, [b"203.0.113.5, evil, 10.0.0.2"], "10.0.0.2"),
        (PROXY, [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (PROXY, [b"203.0.113.5:4711"], PROXY),  # no address: the proxy stands for itself
        (PROXY, [b"  "], PROXY),
        (PROXY, [b"2001:db8::7"], "2001:db8::7"),
    ],
)
async def test_a_client_cannot_choose_its_address(peer, told, client):
    headers = [(b"x-forwarded-for", one) for one in told]
    headers += [(b"x-real-ip", b"127.0.0.1"), (b"forwarded", b"for=127.0.0.1"), (b"x-cmg-forwarded-client", b"1.1.1.1")]
    seen, _ = await _ask({"client": (peer, 1), "headers": headers}, ["10.0.0.0/8"])
    assert seen == client
