"""What a `Transport` makes of good answers, however they are cut into pieces."""

import asyncio
from collections.abc import Mapping

import pytest

from cmg.gateway.upstreams.http_transport import HttpTransport
from cmg.gateway.upstreams.transport import Timeouts, Transport, UpstreamResponse
from support.raw_server import RawConnection, RawServer, answers, raw_server

LIMITS = Timeouts(connect_s=5, first_byte_s=5, idle_s=5, total_s=10)
SIZED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nhello"


async def ask(
    transport: Transport, url: str, method: str = "POST", headers: Mapping[str, str] | None = None, body: bytes = b"{}"
) -> UpstreamResponse:
    return await transport.request(method, url, headers or {}, body, LIMITS)


async def pieces_of(response: UpstreamResponse) -> list[bytes]:
    return [piece async for piece in response.chunks()]


@pytest.mark.parametrize("whole", [True, False], ids=["read", "chunks"])
@pytest.mark.parametrize(
    ("answer", "then", "body"),
    [(SIZED, "keep", b"hello"), (CHUNKED, "keep", b"hello, world"), (UNTIL_CLOSE, "close", b"hello")],
    ids=["sized", "chunked", "until-close"],
)
@pytest.mark.parametrize("split", [True, False], ids=["byte-by-byte", "at-once"])
async def test_a_body_comes_whole(
    transport: HttpTransport, answer: bytes, then: str, body: bytes, *, whole: bool, split: bool
) -> None:
    pieces = [answer[at : at + 1] for at in range(len(answer))] if split else [answer]
    async with raw_server(answers(*pieces, then=then)) as server:
        response = await ask(transport, server.url)
        assert response.status == 200
        got = await response.read(1000) if whole else b"".join(await pieces_of(response))
    assert got == body


async def test_pieces_are_handed_out_as_they_come(transport: HttpTransport) -> None:
    go = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go.wait()
        await connection.send(b"3\r\ntwo\r\n0\r\n\r\n")

    async with raw_server(handler) as server:
        chunks = (await ask(transport, server.url)).chunks()
        assert await anext(chunks) == b"one"
        go.set()
        assert await anext(chunks) == b"two"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_that_has_no_body_ends_with_its_head(transport: HttpTransport, status: int) -> None:
    async with raw_server(answers(b"HTTP/1.1 %d x\r\n\r\n" % status)) as server:
        for _ in range(2):
            response = await ask(transport, server.url)
            assert (response.status, await response.read(10)) == (status, b"")
        assert len(server.connections) == 1


async def test_the_answer_to_head_has_no_body_whatever_its_length_says(transport: HttpTransport) -> None:
    async with raw_server(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")) as server:
        response = await ask(transport, server.url, "HEAD", body=b"")
        assert (response.headers["content-length"], await pieces_of(response)) == ("5000", [])


async def test_interim_answers_are_skipped(transport: HttpTransport) -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\nX-Early: 1\r\n\r\n"
    async with raw_server(answers(early, SIZED)) as server:
        response = await ask(transport, server.url)
        assert (response.status, await response.read(10)) == (200, b"hello")
        assert "x-early" not in response.headers


async def test_header_names_are_lower_case_and_repeated_ones_are_joined(transport: HttpTransport) -> None:
    head = b"HTTP/1.1 429 Slow Down\r\nX-A: 1\r\nx-a: 2\r\nRetry-After: 7\r\nX-N: caf\xe9\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(answers(head)) as server:
        response = await ask(transport, server.url)
    assert response.status == 429
    assert dict(response.headers) == {"x-a": "1, 2", "retry-after": "7", "x-n": "café", "content-length": "0"}


async def test_a_large_head_in_pieces_is_read_up_to_the_bound(transport: HttpTransport) -> None:
    many = [b"X-%d: " % number + b"a" * 990 + b"\r\n" for number in range(60)]
    async with raw_server(answers(b"HTTP/1.1 200 OK\r\n", *many, b"Content-Length: 5\r\n\r\n", b"hello")) as server:
        response = await ask(transport, server.url)
        assert (len(response.headers), await response.read(10)) == (61, b"hello")


async def test_a_redirect_is_an_answer_like_any_other(transport: HttpTransport) -> None:
    async with raw_server(answers(b"HTTP/1.1 302 x\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n")) as server:
        response = await ask(transport, server.url)
        assert (response.status, response.headers["location"]) == (302, "/other")


async def _recorded(
    transport: HttpTransport, *calls: tuple[str, str, dict[str, str], bytes]
) -> list[tuple[str, bytes]]:
    async def handler(connection: RawConnection) -> None:
        while True:
            seen.append(await connection.request())
            await connection.send(SIZED)

    seen: list[tuple[str, bytes]] = []
    async with raw_server(handler) as server:
        for method, path, headers, body in calls:
            await (await ask(transport, server.url + path, method, headers, body)).read(10)
        assert len(server.connections) == 1
    return seen


async def test_a_request_is_written_as_told(transport: HttpTransport) -> None:
    headers = {"Authorization": "Bearer x", "Host": "evil", "Content-Length": "99", "Accept-Encoding": "br"}
    body = b"\x00\xff" * 200_000
    posted, got = await _recorded(transport, ("POST", "/v1/chat?a=b%20c", headers, body), ("GET", "", {}, b""))
    lines = posted[0].split("\r\n")
    assert lines[0] == "post /v1/chat?a=b%20c http/1.1"
    assert sorted(lines[1:-2]) == [
        "accept-encoding: identity",
        "authorization: bearer x",
        f"content-length: {len(body)}",
        lines[1],
    ]
    assert lines[1].startswith("host: 127.0.0.1:")
    assert posted[1] == body
    assert got[0].startswith("get / http/1.1\r\n")
    assert "content-length" not in got[0]


async def _twice(transport: HttpTransport, server: RawServer) -> UpstreamResponse:
    await (await ask(transport, server.url)).read(1000)
    await asyncio.sleep(0.02)
    response = await ask(transport, server.url)
    await response.read(1000)
    return response


@pytest.mark.parametrize("answer", [SIZED, CHUNKED], ids=["sized", "chunked"])
async def test_a_connection_is_used_again(transport: HttpTransport, answer: bytes) -> None:
    async with raw_server(answers(answer)) as server:
        await _twice(transport, server)
        assert len(server.connections) == 1
        assert transport.open_connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        SIZED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SIZED.replace(b"\r\n\r\n", b"\r\nKeep-Alive: timeout=1\r\n\r\n"),
        SIZED + SIZED,
        SIZED + b"HTTP/1.1 2",
        SIZED + b"nonsense",
    ],
    ids=["close", "http-1.0", "short-keep-alive", "second-answer", "half-an-answer", "nonsense"],
)
async def test_a_connection_that_may_not_be_used_again_is_not(transport: HttpTransport, answer: bytes) -> None:
    async with raw_server(answers(answer)) as server:
        await _twice(transport, server)
        assert len(server.connections) == 2


async def test_bytes_that_nobody_asked_for_cost_the_connection(transport: HttpTransport) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(SIZED)
        await asyncio.sleep(0.02)
        await connection.send(b"HTTP/1.1 500 Stale\r\ncontent-length: 0\r\n\r\n")
        await connection.gone()

    async with raw_server(handler) as server:
        await (await ask(transport, server.url)).read(10)
        await asyncio.wait_for(server.connections[0].closed.wait(), 2)
        assert transport.open_connections == 0


async def test_a_trailer_is_left_out_of_this_answer_and_the_next(transport: HttpTransport) -> None:
    trailing = CHUNKED[:-2] + b"X-Trailer: secret\r\nX-Last: secret\r\n\r\n"
    async with raw_server(answers(trailing)) as server:
        response = await _twice(transport, server)
        assert len(server.connections) == 1
        assert set(response.headers) == {"transfer-encoding"}


async def test_an_answer_before_the_request_is_out_is_delivered_and_the_connection_not_used_again(
    transport: HttpTransport,
) -> None:
    async def handler(connection: RawConnection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await connection.send(SIZED)
        await asyncio.sleep(5)

    async with raw_server(handler) as server:
        response = await ask(transport, server.url, body=b"x" * 20_000_000)
        assert await response.read(10) == b"hello"
        assert transport.open_connections == 0


async def test_a_free_connection_is_closed_after_its_time() -> None:
    transport = HttpTransport(keepalive_s=0.05)
    async with raw_server(answers(SIZED)) as server:
        await (await ask(transport, server.url)).read(10)
        assert transport.open_connections == 1
        await asyncio.sleep(0.3)
        assert transport.open_connections == 0


async def test_parallel_calls_use_a_connection_each_and_keep_them(transport: HttpTransport) -> None:
    async def one(url: str) -> bytes:
        return await (await ask(transport, url)).read(10)

    async with raw_server(answers(SIZED)) as server:
        for _ in range(3):
            assert await asyncio.gather(*(one(server.url) for _ in range(20))) == [b"hello"] * 20
        assert len(server.connections) == 20
