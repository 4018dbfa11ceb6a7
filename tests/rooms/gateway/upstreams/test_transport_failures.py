"""What a `Transport` makes of upstreams that break: each failure has its own error, and nothing is left open."""

import asyncio
import socket
from collections.abc import Awaitable

import msgspec
import pytest

from cmg.gateway.upstreams import transport as errors
from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.transport import Timeouts, TransportError, UpstreamResponse
from support.raw_server import Handler, RawConnection, answers, raw_server
from support.service import eventually

LIMITS = Timeouts(connect_s=2, first_byte_s=2, idle_s=2, total_s=4)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def limits(**changed: float) -> Timeouts:
    return msgspec.structs.replace(LIMITS, **changed)


def ask(
    transport: HttpTransport, url: str, within: Timeouts = LIMITS, body: bytes = b"{}"
) -> Awaitable[UpstreamResponse]:
    return transport.request("POST", url, {}, body, within)


async def gather_up(transport: HttpTransport, url: str, within: Timeouts = LIMITS) -> tuple[bytes, TransportError]:
    """The bytes that were delivered, and the error that ended them."""
    got: list[bytes] = []
    with pytest.raises(TransportError) as raised:
        await _collect(ask(transport, url, within), got)
    return b"".join(got), raised.value


async def _collect(asked: Awaitable[UpstreamResponse], got: list[bytes]) -> None:
    async for chunk in (await asked).chunks():
        got.append(chunk)  # noqa: PERF401 -- what came before an error counts


async def nothing_left(transport: HttpTransport) -> None:
    """Every connection of the transport is closed, at once or when the other side's word has arrived."""

    async def none() -> bool:
        return transport.open_connections == 0

    await eventually(none, 2, "no connection is open")


# --- before anything is sent


async def test_a_refused_connection_was_not_sent_anything(transport: HttpTransport) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(errors.ConnectFailed, match=str(port)) as raised:
        await ask(transport, f"http://127.0.0.1:{port}/v1")
    assert not raised.value.may_have_arrived
    assert raised.value.kind == "connect_failed"


async def test_an_unknown_host_was_not_sent_anything(transport: HttpTransport) -> None:
    with pytest.raises(errors.ConnectFailed, match=r"no-such-host\.invalid"):
        await ask(transport, "http://no-such-host.invalid/v1")


async def test_a_host_that_never_accepts_is_a_connect_timeout(transport: HttpTransport) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # the queue of the listener is full after the first ones: SYNs get no answer
            sock.settimeout(0)
            sock.connect_ex(("127.0.0.1", port))
        with pytest.raises(errors.ConnectTimeout) as raised:
            await ask(transport, f"http://127.0.0.1:{port}/v1", limits(connect_s=0.2))
        for sock in waiting:
            sock.close()
    assert not raised.value.may_have_arrived
    await nothing_left(transport)


BAD_URLS = ["", "localhost/v1", "ftp://localhost/", "http:///v1", "http://localhost:99999/", "http://[::1/"]


@pytest.mark.parametrize("url", [*BAD_URLS, "http://127.0.0.1/a\r\nx: y", "http://127.0.0.1/a b", "http://é.test/"])
async def test_a_bad_url_is_not_connected_to(transport: HttpTransport, url: str) -> None:
    with pytest.raises(errors.ConnectFailed, match="is not a"):
        await ask(transport, url)


@pytest.mark.parametrize(
    ("name", "value"), [("x", "a\r\nb: c"), ("x", "a\n"), ("x\r\ny", "z"), ("x", "☃"), ("x", "\0")]
)
async def test_a_header_cannot_break_out_of_its_line(transport: HttpTransport, name: str, value: str) -> None:
    async with raw_server(answers(OK)) as server:
        with pytest.raises(errors.ConnectFailed):
            await transport.request("POST", server.url, {name: value}, b"", LIMITS)
        assert not server.connections


async def test_at_the_bound_a_call_is_refused_unless_a_free_connection_can_go() -> None:
    transport = HttpTransport(connections=2)
    async with raw_server(answers(HEAD, then="stall")) as busy, raw_server(answers(OK)) as other:
        first = await ask(transport, busy.url)
        await (await ask(transport, other.url)).read(9)
        second = await ask(transport, busy.url)  # takes the place of the free one
        with pytest.raises(errors.ConnectFailed, match="all 2 connections"):
            await ask(transport, other.url)
        first.close()
        second.close()
        assert await (await ask(transport, other.url)).read(9) == b"ok"
    await transport.close()


# --- before the answer's head


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_a_connection_lost_before_the_head_is_a_reset(transport: HttpTransport, piece: bytes, then: str) -> None:
    async with raw_server(answers(piece, then=then)) as server:
        with pytest.raises(errors.Reset) as raised:
            await ask(transport, server.url)
        assert len(server.connections) == 1
    assert raised.value.may_have_arrived


@pytest.mark.parametrize("piece", [b"", b"HTTP/1.1 200 OK\r\n", HEAD], ids=["silence", "half-a-head", "head"])
async def test_no_byte_of_a_body_in_time_is_a_first_byte_timeout(transport: HttpTransport, piece: bytes) -> None:
    async with raw_server(answers(piece, then="stall")) as server:
        _, error = await gather_up(transport, server.url, limits(first_byte_s=0.1))
        assert type(error) is errors.FirstByteTimeout
        await asyncio.wait_for(server.connections[0].closed.wait(), 1)
    await nothing_left(transport)


async def test_the_total_limit_holds_before_the_head_too(transport: HttpTransport) -> None:
    async with raw_server(answers(then="stall")) as server:
        _, error = await gather_up(transport, server.url, limits(total_s=0.1))
        assert type(error) is errors.TotalTimeout


async def test_the_time_to_answer_begins_when_a_large_request_is_out(transport: HttpTransport) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        for _ in range(20):  # takes longer over the request than the first-byte limit
            await connection.reader.readexactly(1_000_000)
            await asyncio.sleep(0.1)
        await connection.send(OK)

    async with raw_server(handler) as server:
        response = await ask(transport, server.url, limits(first_byte_s=1.5), body=b"x" * 20_000_000)
        assert await response.read(9) == b"ok"


async def test_an_upstream_that_does_not_take_the_request_is_a_first_byte_timeout(transport: HttpTransport) -> None:
    async def handler(connection: RawConnection) -> None:
        connection.writer.transport.pause_reading()
        await asyncio.sleep(5)

    async with raw_server(handler) as server:
        with pytest.raises(errors.FirstByteTimeout):
            await ask(transport, server.url, limits(first_byte_s=0.2), body=b"x" * 20_000_000)


# --- within the body


BROKEN = [(HEAD + b"12345", "close"), (HEAD + b"12345", "reset"), (CHUNKED + b"5\r\n12345\r\n", "close")]
BROKEN += [
    (CHUNKED + b"5\r\n12345\r\n", "reset"),
    (CHUNKED + b"8\r\n12345", "close"),
    (CHUNKED + b"5\r\n12345\r\n0\r\n", "close"),
]
BROKEN += [(b"HTTP/1.1 200 OK\r\n\r\n12345", "reset")]


@pytest.mark.parametrize(("answer", "then"), BROKEN)
async def test_a_body_cut_short_is_truncated_after_what_came(
    transport: HttpTransport, answer: bytes, then: str
) -> None:
    async with raw_server(answers(answer, then=then)) as server:
        got, error = await gather_up(transport, server.url)
        assert (got, type(error)) == (b"12345", errors.Truncated)
        with pytest.raises(errors.Truncated):
            await (await ask(transport, server.url)).read(100)
    await nothing_left(transport)


@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_silence_within_the_body_is_a_stall(transport: HttpTransport, *, whole: bool) -> None:
    async with raw_server(answers(HEAD + b"12345", then="stall")) as server:
        response = await ask(transport, server.url, limits(idle_s=0.1))
        with pytest.raises(errors.Stalled):
            await _take(response, whole=whole)
        await asyncio.wait_for(server.connections[0].closed.wait(), 1)
    await nothing_left(transport)


@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_a_body_that_trickles_for_ever_ends_with_the_total_limit(
    transport: HttpTransport, *, whole: bool
) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        while True:
            await connection.send(b"1\r\nx\r\n")
            await asyncio.sleep(0.02)

    async with raw_server(handler) as server:
        response = await ask(transport, server.url, limits(total_s=0.3, idle_s=0.15))
        with pytest.raises(errors.TotalTimeout):
            await _take(response, whole=whole)
    await nothing_left(transport)


async def _take(response: UpstreamResponse, *, whole: bool) -> None:
    if whole:
        await response.read(10_000)
    else:
        async for _ in response.chunks():
            pass


async def test_a_slow_reader_is_no_stall_and_holds_the_upstream_back(transport: HttpTransport) -> None:
    piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for _ in range(320):  # 20 MiB
            await connection.send(piece)
        await connection.send(b"0\r\n\r\n")

    async with raw_server(handler) as server:
        response = await ask(transport, server.url, limits(idle_s=0.1))
        await asyncio.sleep(0.4)
        assert server.connections[0].written < 12 * 2**20
        assert sum([len(chunk) async for chunk in response.chunks()]) == 20 * 2**20


# --- what is no HTTP

NONSENSE = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "http/2 only": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00",
    "bad status": b"HTTP/1.1 banana OK\r\n\r\n",
    "header without colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "length and chunks": CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "two lengths": HEAD[:-2] + b"Content-Length: 11\r\n\r\nhello",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "compressed": HEAD[:-2] + b"Content-Encoding: gzip\r\n\r\n1234567890",
    "compressed transfer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "large header": HEAD[:-2] + b"X-Large: " + b"a" * 100_000 + b"\r\n\r\n1234567890",
    "many headers": HEAD[:-2] + b"X-Many: abc\r\n" * 10_000 + b"\r\n1234567890",
    "endless header": b"HTTP/1.1 200 OK\r\nX-Endless: " + b"a" * 1_000_000,
}


@pytest.mark.parametrize("answer", NONSENSE.values(), ids=NONSENSE)
async def test_what_is_no_answer_of_ours_is_a_bad_response(transport: HttpTransport, answer: bytes) -> None:
    async with raw_server(answers(answer, then="stall")) as server:
        with pytest.raises(errors.BadResponse) as raised:
            await ask(transport, server.url)
        assert str(raised.value)
    await nothing_left(transport)


AFTER_BODY = {
    "garbage size": b"zz\r\nhello\r\n",
    "negative size": b"-5\r\nhello\r\n",
    "huge size": b"fffffffffffffffff\r\nhello",
    "no line break": b"5\r\nhelloX\r\n",
    "endless extension": b"5;" + b"x" * 500_000,
    "endless trailer": b"0\r\nX-Trailer: " + b"x" * 500_000,
    "endless trailers": b"0\r\n" + b"X-Trailer: x\r\n" * 50_000,
}


@pytest.mark.parametrize("rest", AFTER_BODY.values(), ids=AFTER_BODY)
async def test_nonsense_in_a_body_is_a_bad_response_after_what_came(transport: HttpTransport, rest: bytes) -> None:
    async with raw_server(answers(CHUNKED + b"5\r\nfirst\r\n", rest, then="stall")) as server:
        got, error = await gather_up(transport, server.url)
        assert got.startswith(b"first")
        assert type(error) is errors.BadResponse
    await nothing_left(transport)


@pytest.mark.parametrize("answer", [HEAD + b"1234567890", CHUNKED + b"a\r\n1234567890\r\n0\r\n\r\n", HEAD])
async def test_a_body_over_the_readers_limit_is_refused(transport: HttpTransport, answer: bytes) -> None:
    async with raw_server(answers(answer)) as server:
        with pytest.raises(errors.BadResponse, match="larger than 9 bytes"):
            await (await ask(transport, server.url)).read(9)


# --- kept-alive connections that are gone


def _stale_after_first(first: bytes, then: str) -> Handler:
    """The first connection breaks at its second request, having written `first`; the next ones last."""
    count = 0

    async def handler(connection: RawConnection) -> None:
        nonlocal count
        count += 1
        stale = count == 1
        await connection.request()
        await connection.send(OK)
        while True:
            await connection.request()
            if stale:
                await connection.send(first)
                await asyncio.sleep(0.01)
                if then == "reset":
                    connection.reset()
                return
            await connection.send(OK)

    return handler


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_a_stale_connection_is_replaced_once(transport: HttpTransport, then: str) -> None:
    async with raw_server(_stale_after_first(b"", then)) as server:
        for _ in range(3):
            assert await (await ask(transport, server.url)).read(9) == b"ok"
        assert len(server.connections) == 2


@pytest.mark.parametrize("then", ["close", "reset"])
async def test_nothing_is_sent_again_once_a_byte_of_the_answer_came(transport: HttpTransport, then: str) -> None:
    async with raw_server(_stale_after_first(b"H", then)) as server:
        await (await ask(transport, server.url)).read(9)
        with pytest.raises(errors.Reset):
            await ask(transport, server.url)
        assert len(server.connections) == 1


async def test_a_replaced_connection_that_breaks_too_is_not_replaced_again(transport: HttpTransport) -> None:
    async def handler(connection: RawConnection) -> None:
        if len(server.connections) == 1:
            await connection.request()
            await connection.send(OK)
        await connection.request()

    async with raw_server(handler) as server:
        await (await ask(transport, server.url)).read(9)
        with pytest.raises(errors.Reset):
            await ask(transport, server.url)
        assert len(server.connections) == 2


async def test_an_upstream_that_thought_before_it_broke_is_not_asked_again(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmg.gateway.upstreams.http_exchange.STALE_WITHIN_S", 0.001)
    async with raw_server(_stale_after_first(b"", "close")) as server:
        await (await ask(transport, server.url)).read(9)
        with pytest.raises(errors.Reset):
            await ask(transport, server.url)


async def test_connections_the_upstream_closed_while_free_are_not_used(transport: HttpTransport) -> None:
    async with raw_server(answers(OK, then="close")) as server:
        for _ in range(3):
            assert await (await ask(transport, server.url)).read(9) == b"ok"
            await nothing_left(transport)


# --- cancelling and closing


@pytest.mark.parametrize("piece", [b"", HEAD, HEAD + b"12345"], ids=["before-head", "before-body", "within-body"])
@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
async def test_cancelling_closes_the_connection_at_once(transport: HttpTransport, piece: bytes, *, whole: bool) -> None:
    async def call(url: str) -> None:
        await _take(await ask(transport, url), whole=whole)

    async with raw_server(answers(piece, then="stall")) as server:
        task = asyncio.create_task(call(server.url))
        await asyncio.sleep(0.1)
        task.cancel()
        async with asyncio.timeout(5):  # the upstream would stall for ever
            with pytest.raises(asyncio.CancelledError):
                await task
            await server.connections[0].closed.wait()
    await nothing_left(transport)


async def test_closing_an_unfinished_answer_closes_its_connection(transport: HttpTransport) -> None:
    async with raw_server(answers(HEAD + b"12345", then="stall")) as server:
        response = await ask(transport, server.url)
        response.close()
        response.close()
        await asyncio.wait_for(server.connections[0].closed.wait(), 1)
        with pytest.raises(errors.Truncated):
            await response.read(10)
    await nothing_left(transport)


async def test_closing_a_finished_answer_keeps_its_connection(transport: HttpTransport) -> None:
    async with raw_server(answers(OK)) as server:
        response = await ask(transport, server.url)
        assert [chunk async for chunk in response.chunks()] == [b"ok"]
        response.close()
        await (await ask(transport, server.url)).read(9)
        assert len(server.connections) == 1


async def test_closing_the_transport_ends_every_answer(transport: HttpTransport) -> None:
    async with raw_server(answers(HEAD + b"12345", then="stall")) as server:
        reading = [asyncio.create_task(gather_up(transport, server.url)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await transport.close()
        for got, error in await asyncio.gather(*reading):
            assert (got, type(error)) == (b"12345", errors.Truncated)
        with pytest.raises(errors.ConnectFailed, match="shutting down"):
            await ask(transport, server.url)
    await nothing_left(transport)
