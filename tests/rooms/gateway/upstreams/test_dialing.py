"""From a name to a connection, when some of its addresses lead nowhere; and the same under TLS."""

import asyncio
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cmg.gateway.upstreams.dialing import Address, dial
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.transport import ConnectFailed, Timeouts
from support.raw_server import RawConnection, RawServer, answers, raw_server

LIMITS = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Made:
    """Stands for a connection."""

    def __init__(self, address: str) -> None:
        self.address, self.dropped = address, False

    def drop(self) -> None:
        self.dropped = True


def resolver(*addresses: tuple[int, str]) -> Callable[[str, int], Awaitable[list[Address]]]:
    async def resolve(_host: str, port: int) -> list[Address]:
        return [(family, 1, 6, "", (address, port)) for family, address in addresses]

    return resolve


class Network:
    """Connects after a time, fails after a time, or never answers; remembers the order of attempts."""

    def __init__(self, **behaviour: float | str) -> None:
        self.behaviour, self.tried, self.cancelled, self.made = behaviour, [], [], []

    async def connect(self, address: str) -> Made:
        self.tried.append(address)
        how = self.behaviour[address]
        if how == "refuse":
            raise ConnectionRefusedError(f"{address} refused")
        try:
            await asyncio.sleep(3600 if how == "silent" else float(how))
        except asyncio.CancelledError:
            self.cancelled.append(address)
            raise
        self.made.append(Made(address))
        return self.made[-1]


async def test_an_address_that_is_silent_costs_its_head_start_only() -> None:
    network = Network(six="silent", four=0)
    made = await asyncio.wait_for(dial("x", 1, network.connect, resolver((10, "six"), (2, "four"))), 2)
    await asyncio.sleep(0)
    assert (made.address, network.cancelled) == ("four", ["six"])


async def test_an_address_that_refuses_makes_room_at_once() -> None:
    network = Network(six="refuse", four=0)
    assert (await dial("x", 1, network.connect, resolver((10, "six"), (2, "four")))).address == "four"


async def test_a_slow_first_address_may_still_win_and_the_other_is_dropped() -> None:
    network = Network(six=0.3, four=0.06)
    made = await dial("x", 1, network.connect, resolver((10, "six"), (2, "four")))
    await asyncio.sleep(0.1)
    assert not made.dropped
    assert all(other.dropped for other in network.made if other is not made)


async def test_families_take_turns_and_no_address_is_tried_twice() -> None:
    network = Network(a="refuse", b="refuse", c="refuse")
    found = resolver((10, "a"), (10, "b"), (10, "a"), (2, "c"))
    with pytest.raises(ConnectFailed, match="a refused; c refused; b refused"):
        await dial("x", 1, network.connect, found)
    assert network.tried == ["a", "c", "b"]


async def test_cancelling_ends_every_attempt() -> None:
    network = Network(a="silent", b="silent")
    task = asyncio.create_task(dial("x", 1, network.connect, resolver((10, "a"), (2, "b"))))
    await asyncio.sleep(0.4)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert sorted(network.cancelled) == ["a", "b"]


async def test_a_name_without_addresses_is_no_connection() -> None:
    with pytest.raises(ConnectFailed, match="no address"):
        await dial("x", 1, Network().connect, resolver())


# --- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `good.test` that is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=good.test"
    names = ["-addext", "subjectAltName=DNS:good.test"]
    subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    return folder


async def _ask(server: RawServer, host: str, tls: ssl.SSLContext | None) -> bytes:
    transport = HttpTransport(tls=tls, resolver=resolver((2, "127.0.0.1")))
    try:
        response = await transport.request("POST", f"https://{host}:{server.port}/v1", {}, b"{}", LIMITS)
        first = await response.read(9)
        again = await transport.request("POST", f"https://{host}:{server.port}/v1", {}, b"{}", LIMITS)
        assert await again.read(9) == first
        assert len(server.connections) == 1
        return first
    finally:
        await transport.close()


def _server_side(certificate: Path) -> tuple[ssl.SSLContext, list[str | None]]:
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    return context, names


@pytest.mark.needs("openssl")
async def test_tls_names_the_host_and_verifies_it(certificate: Path) -> None:
    context, names = _server_side(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    async with raw_server(answers(OK), tls=context) as server:
        assert await _ask(server, "good.test", trusting) == b"ok"
        assert names == ["good.test"]
        with pytest.raises(ConnectFailed, match=r"bad\.test"):
            await _ask(server, "bad.test", trusting)


@pytest.mark.needs("openssl")
async def test_an_authority_that_the_system_does_not_know_is_refused(certificate: Path) -> None:
    async with raw_server(answers(OK), tls=_server_side(certificate)[0]) as server:
        with pytest.raises(ConnectFailed, match=r"(?i)certificate"):
            await _ask(server, "good.test", None)


async def test_a_server_without_tls_is_refused() -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.reader.read(1)
        await connection.send(OK)

    async with raw_server(handler) as server:
        with pytest.raises(ConnectFailed):
            await _ask(server, "good.test", None)
