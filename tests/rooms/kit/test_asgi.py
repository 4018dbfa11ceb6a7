"""A request is read within its limits, and a body that does not fit names its field."""

import json
from typing import Any, Literal

import msgspec
import pytest

from cmg.kit.asgi import ClientGone, Request, decode, send_error, send_json
from cmg.kit.errors import Encoded, InvalidRequest, RateLimited, TooLarge


class Message(msgspec.Struct):
    role: str
    content: str | None = None


class Body(msgspec.Struct):
    model: str
    messages: list[Message]


class Choice(msgspec.Struct, forbid_unknown_fields=True):
    mode: Literal["on", "off"] | None = None


class Choices(msgspec.Struct):
    one: Choice | None = None
    named: dict[str, list[Choice]] = {}


DECODER = msgspec.json.Decoder(Body)
CHOICES = msgspec.json.Decoder(Choices)


def _request(
    *messages: dict[str, Any], headers: list[tuple[bytes, bytes]] | None = None, query: bytes = b""
) -> Request:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    scope = {"method": "POST", "path": "/v1/x", "headers": headers or [], "query_string": query}
    return Request(scope, receive, "127.0.0.1")


def _part(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({"model": 5, "messages": []}, "model", "^model: Expected `str`"),
        ({"messages": []}, "model", "^model: Object missing"),
        ({"model": "m", "messages": [{"content": "x"}]}, "messages[0].role", r"^messages\[0\]\.role: Object missing"),
        (
            {"model": "m", "messages": [{"role": "user"}, {"role": None}]},
            "messages[1].role",
            r"^messages\[1\]\.role: Expected `str`",
        ),
        ([], None, "Expected `object`"),
    ],
)
def test_a_wrong_body_names_the_field(body: Any, param: str | None, told: str) -> None:
    with pytest.raises(InvalidRequest, match=told) as caught:
        decode(DECODER, json.dumps(body).encode())
    assert caught.value.param == param
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"one": {"mode": "maybe"}}, "one.mode: Invalid enum value 'maybe'; known are off, on"),
        ({"one": {"mood": "on"}}, "one.mood: Object contains unknown field `mood`; known are `mode`"),
        (
            {"named": {"a.b": [{}, {"mode": "no"}]}},
            "named[...][1].mode: Invalid enum value 'no'; known are off, on",
        ),
    ],
)
def test_a_word_that_nobody_knows_is_answered_with_those_that_are_known(body: Any, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode(CHOICES, json.dumps(body).encode())
    assert caught.value.message == told


def test_a_body_nested_without_end_is_told_as_such() -> None:
    with pytest.raises(InvalidRequest, match="nested too deeply") as caught:
        decode(DECODER, b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert caught.value.code == "too_deep"


@pytest.mark.parametrize("body", [b"", b"{", b'{"model": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_told_as_such(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode(DECODER, body)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\uDE00 cut", "\ufffd cut"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"whole \ud83d\ude00, cut \ud83dx", "whole \U0001f600, cut \ufffdx"),
        (rb"a path \\ud83d, cut \ud83d", "a path \\ud83d, cut \ufffd"),
    ],
)
def test_half_an_emoji_is_read_as_the_replacement_character(written: bytes, read: str) -> None:
    assert decode(DECODER, b'{"model": "%s", "messages": []}' % written).model == read


def test_unknown_fields_pass() -> None:
    assert decode(DECODER, b'{"model": "m", "messages": [], "new": 1}').model == "m"


async def test_a_body_in_pieces_is_put_together() -> None:
    request = _request(_part(b"ab", more=True), _part(b"", more=True), _part(b"c"))
    assert await request.body(3) == b"abc"


@pytest.mark.parametrize(
    "request_",
    [
        _request(_part(b"abcd")),
        _request(_part(b"ab", more=True), _part(b"cd", more=True)),
        _request(headers=[(b"content-length", b"4")]),
    ],
)
async def test_a_body_over_the_limit_is_refused_before_it_is_read_whole(request_: Request) -> None:
    with pytest.raises(TooLarge):
        await request_.body(3)


async def test_a_compressed_body_is_refused_as_such() -> None:
    with pytest.raises(Encoded, match="sent as `gzip`") as caught:
        await _request(_part(b"\x1f\x8b"), headers=[(b"content-encoding", b"gzip")]).body(10)
    assert (caught.value.status, caught.value.headers["Accept-Encoding"]) == (415, "identity")
    assert await _request(_part(b"{}"), headers=[(b"content-encoding", b"identity")]).body(10) == b"{}"


async def test_a_client_that_leaves_in_the_middle_is_told_apart() -> None:
    with pytest.raises(ClientGone):
        await _request(_part(b"a", more=True), {"type": "http.disconnect"}).body(10)


def test_headers_and_the_query_are_read_as_text() -> None:
    request = _request(headers=[(b"x-cmg-user", b"ann\xe9")], query=b"a=1&b=&a=2")
    assert request.header(b"x-cmg-user") == "anné"
    assert request.header(b"missing") is None
    assert request.query() == {"a": "2", "b": ""}


async def test_an_error_is_sent_in_the_form_that_clients_of_openai_read() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_error(send, RateLimited("slower", headers={"Retry-After": "3"}), [(b"x-cmg-request-id", b"r")])
    assert sent[0]["status"] == 429
    headers = dict(sent[0]["headers"])
    assert headers[b"retry-after"] == b"3"
    assert headers[b"x-cmg-request-id"] == b"r"
    assert headers[b"content-length"] == str(len(sent[1]["body"])).encode()
    error = json.loads(sent[1]["body"])["error"]
    assert error == {"message": "slower", "type": "rate_limit_error", "param": None, "code": "rate_limit_exceeded"}


async def test_json_is_sent_with_its_length_and_type() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await send_json(send, 201, {"a": "é"})
    assert dict(sent[0]["headers"]) == {b"content-length": b"10", b"content-type": b"application/json"}
    assert json.loads(sent[1]["body"]) == {"a": "é"}
