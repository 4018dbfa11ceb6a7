"""How an answer leaves: in few writes, framed so that the next answer on the connection cannot be mistaken."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import uvicorn

from cmg.app.processes import http_answer
from cmg.app.processes import serving as serving_module
from cmg.app.processes.http_answer import Protocol
from cmg.kit.asgi import Message, Receive, Scope, Send

Application = Callable[[Scope, Receive, Send], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"


class Client(asyncio.Protocol):
    """Keeps what came as it came: one entry for each time that the socket was read."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self._whole = bytearray()
        self.came, self.closed = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        self._whole += data
        self.came.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set()

    @property
    def got(self) -> bytes:
        return bytes(self._whole)

    async def until(self, ending: bytes, times: int = 1) -> bytes:
        """Wait until what came ends so, and holds that ending so often."""
        async with asyncio.timeout(5):
            while not self._whole.endswith(ending) or self._whole.count(ending) < times:
                self.came.clear()
                await self.came.wait()
        return self.got


@contextlib.asynccontextmanager
async def serving(application: Application) -> AsyncIterator[Client]:
    """A client of a real server that runs the application."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, http=Protocol, ws="none", lifespan="off", log_config=None, server_header=False)
    server = serving_module.Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]))
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(Client, *listening.getsockname())
    try:
        yield client
    finally:
        client.transport.abort()
        server.should_exit = True
        await running


def answering(*messages: Message) -> Application:
    """An application that sends these messages."""

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return application


def head(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [*headers]}


def body(data: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def test_a_whole_answer_leaves_in_one_write():
    async with serving(answering(head(200, (b"content-length", b"5")), body(b"whole"))) as client:
        client.transport.write(GET)
        got = await client.until(b"whole")
        assert got.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"content-length: 5\r\n" in got
        assert len(client.pieces) == 1


async def test_a_head_does_not_wait_for_a_body_that_is_late():
    late = asyncio.Event()

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(head(200, (b"content-length", b"4")))
        await late.wait()
        await send(body(b"late"))

    async with serving(application) as client:
        client.transport.write(GET)
        assert (await client.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        late.set()
        assert (await client.until(b"\r\n\r\nlate")).count(b"HTTP/1.1") == 1


async def test_an_answer_without_a_length_goes_in_chunks_and_empty_pieces_do_not_end_it():
    pieces = [body(b"one", more=True), body(b"", more=True), body(b"0123456789abcdef", more=True), body(b"")]
    async with serving(answering(head(), *pieces)) as client:
        client.transport.write(GET)
        got = await client.until(b"0\r\n\r\n")
        assert b"transfer-encoding: chunked\r\n" in got
        assert got.partition(b"\r\n\r\n")[2] == b"3\r\none\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"


async def test_a_large_body_arrives_whole_behind_its_head():
    large = bytes(range(256)) * 16_384 + b"the end"
    async with serving(answering(head(200, (b"content-length", b"%d" % len(large))), body(large))) as client:
        client.transport.write(GET)
        got = await client.until(b"the end")
        assert got.partition(b"\r\n\r\n")[2] == large


async def test_a_slow_reader_makes_the_application_wait():
    sent = 0

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(head())
        for _ in range(400):
            await send(body(bytes(65_536), more=True))
            sent += 1
        await send(body(b""))

    async with serving(application) as client:
        client.transport.pause_reading()
        client.transport.write(GET)
        before = 0
        async with asyncio.timeout(20):
            while sent == 0 or sent > before:  # until nothing more is taken
                before = sent
                await asyncio.sleep(0.2)
        assert sent < 400
        client.transport.resume_reading()
        await client.until(b"\r\n0\r\n\r\n")
        assert sent == 400


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_an_answer_that_has_no_body_sends_none(method: bytes, status: int):
    async with serving(answering(head(status), body(b"never"))) as client:
        client.transport.write(GET.replace(b"GET", method) + GET.replace(b"GET", method))
        await client.until(b"\r\n\r\n", times=2)
        assert b"never" not in client.got
        assert b"chunked" not in client.got


async def test_requests_that_come_together_are_answered_in_their_order():
    async def application(scope: Scope, _receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.02 if scope["path"] == "/first" else 0)
        await send(head(200, (b"content-length", b"%d" % len(scope["path"]))))
        await send(body(scope["path"].encode()))

    async with serving(application) as client:
        client.transport.write(GET.replace(b"/ ", b"/first ") + GET.replace(b"/ ", b"/second "))
        got = await client.until(b"/second")
        assert got.index(b"/first") < got.index(b"/second")


@pytest.mark.parametrize(
    "request_bytes", [GET.replace(b"1.1", b"1.0"), GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")]
)
async def test_a_client_that_keeps_no_connection_hears_so_and_is_let_go(request_bytes: bytes):
    async with serving(answering(head(200, (b"content-length", b"2")), body(b"ok"))) as client:
        client.transport.write(request_bytes)
        async with asyncio.timeout(5):
            await client.closed.wait()
        assert client.got.count(b"connection: close\r\n") == 1
        assert client.got.endswith(b"ok")


@pytest.mark.parametrize("name_value", [(b"x-word", b"a\r\nset-cookie: b"), (b"x\n", b"a"), (b"x-word", b"a\0")])
async def test_a_header_that_would_break_out_of_its_line_is_an_error_of_ours(name_value: tuple[bytes, bytes]):
    async with serving(answering(head(200, name_value), body(b"never"))) as client:
        client.transport.write(GET)
        async with asyncio.timeout(5):
            await client.closed.wait()
        assert client.got.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in client.got
        assert b"never" not in client.got


@pytest.mark.parametrize("pieces", [[body(b"too long")], [body(b"short")], [body(b"sho", more=True), body(b"")]])
async def test_a_body_of_another_length_than_told_costs_the_connection(pieces: list[Message]):
    async with serving(answering(head(200, (b"content-length", b"7")), *pieces)) as client:
        client.transport.write(GET)
        async with asyncio.timeout(5):
            await client.closed.wait()
        assert len(client.got.partition(b"\r\n\r\n")[2]) < 7


async def test_a_client_that_is_refused_while_it_still_sends_hears_why():
    refusal = [{"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"3")]}]
    head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 30000000\r\n\r\n"
    async with serving(answering(*refusal, {"type": "http.response.body", "body": b"big"})) as client:
        client.transport.write(head + bytes(30_000_000))
        assert (await client.until(b"big")).startswith(b"HTTP/1.1 413")
        async with asyncio.timeout(2):
            while client.transport.get_write_buffer_size():  # noqa: ASYNC110  a client that sends first, then reads
                await asyncio.sleep(0.01)
        assert not client.closed.is_set(), "a reset takes the answer from a client that has not read it yet"
        async with asyncio.timeout(5):
            await client.closed.wait()


@pytest.mark.parametrize(
    "messages",
    [
        [body(b"before its head")],
        [head(200, (b"content-length", b"1")), head()],
        [head(200, (b"content-length", b"1")), body(b"x"), body(b"behind the end")],
    ],
)
async def test_a_message_out_of_order_is_an_error(messages: list[Message]):
    raised: list[str] = []

    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            for message in messages:
                await send(message)
        except RuntimeError as error:
            raised.append(str(error))
            raise

    async with serving(application) as client:
        client.transport.write(GET)
        async with asyncio.timeout(5):
            await client.closed.wait()
    assert raised


async def test_what_is_sent_after_the_client_left_goes_nowhere():
    done = asyncio.Event()

    async def application(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        await send(head())
        await send(body(b"nobody hears this"))
        done.set()

    async with serving(application) as client:
        client.transport.write(GET)
        await asyncio.sleep(0.02)
        client.transport.abort()
        async with asyncio.timeout(5):
            await done.wait()


HEADS = {
    "a header": b"GET / HTTP/1.1\r\nhost: x\r\nx: ",
    "a target": b"GET /",
    "many headers": b"GET / HTTP/1.1\r\n",
}


@pytest.mark.parametrize("begun", HEADS)
async def test_a_head_without_end_is_refused(begun: str) -> None:
    piece = b"x-one: 1\r\n" * 1000 if begun == "many headers" else b"a" * 10_000
    async with serving(answering()) as client:
        client.transport.write(HEADS[begun])
        for _ in range(30):
            client.transport.write(piece)
            await asyncio.sleep(0.005)
            if client.closed.is_set():
                break
        async with asyncio.timeout(5):
            await client.closed.wait()
        assert client.got.startswith(b"HTTP/1.1 431 ")
        assert b"head_too_large" in client.got


async def test_a_head_in_pieces_and_a_large_body_are_taken() -> None:
    ok = [{"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}]
    async with serving(answering(*ok, {"type": "http.response.body", "body": b"ok"})) as client:
        for _ in range(2):
            request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\nx: " + b"a" * 50_000 + b"\r\n\r\n"
            for place in range(0, len(request), 10_000):
                client.transport.write(request[place : place + 10_000])
                await asyncio.sleep(0.002)
            client.transport.write(b"b" * 200_000)
        assert (await client.until(b"ok", 2)).count(b"HTTP/1.1 200") == 2


SILENT = {
    "nothing": (b"", False),
    "half a head": (b"GET / HTTP/1.1\r\nhost: x\r\nx-a", False),
    "half a body": (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{", False),
    "a whole request": (GET, True),
    "an answered one": (GET.replace(b"GET /", b"GET /now"), True),
}


@pytest.mark.parametrize("begun", SILENT)
async def test_who_does_not_go_on_with_a_request_holds_no_connection(
    begun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a few thousand idle connections would take the places of all callers."""
    monkeypatch.setattr(http_answer, "_SILENT_S", 0.1)
    monkeypatch.setattr(serving_module, "_SILENCE_TICKS", 1)
    said, stays = SILENT[begun]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/now":
            await answering(head(204))(scope, receive, send)
        while (await receive())["type"] != "http.disconnect":
            pass

    async with serving(application) as client:
        client.transport.write(said)
        await asyncio.sleep(0.4)
        assert client.closed.is_set() != stays
