"""Bodies of chat requests: what is refused by name, what is kept byte for byte, what is stripped and put in."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.gateway.requests.chat_request import ChatRequest, Injected, read_chat
from cmg.gateway.requests.embeddings_request import read_embeddings
from cmg.gateway.requests.json_body import read_fields
from cmg.kit.errors import InvalidRequest

HELLO = b'{"role": "user",  "content": "caf\\u00e9"}'
NOTE = b'{"role":"user","content":"a note"}'


def _read(body: bytes, headers: dict[bytes, bytes] | None = None, default: str | None = None) -> ChatRequest:
    return read_chat(body, headers or {}, default, 64)


def _body(extra: bytes = b"", messages: bytes = HELLO) -> bytes:
    return b'{"model": "m", "messages": [%s]%s}' % (messages, extra)


WRONG = [
    (b"{", None),
    (b"[]", None),
    (b"", None),
    (b'{"messages": []}', "model"),
    (b'{"model": 5, "messages": []}', "model"),
    (b'{"model": "m"}', "messages"),
    (b'{"model": "m", "messages": []}', "messages"),
    (b'{"model": "m", "messages": "hi"}', "messages"),
    (_body(messages=b"5"), "messages"),
    (_body(messages=b'{"content": "x"}'), "messages"),
    (_body(b', "stream": "yes"'), "stream"),
    (_body(b', "n": 0'), "n"),
    (_body(b', "n": "2"'), "n"),
    (_body(b', "max_tokens": "many"'), "max_tokens"),
    (_body(b', "max_completion_tokens": 0'), "max_completion_tokens"),
    (_body(b', "models": "other"'), "models"),
    (_body(b', "user": 7'), "user"),
    (_body(b', "memory": {"mode": "maybe"}'), "memory"),
    (_body(b', "memory": {"token_budget": -1}'), "memory"),
    (_body(b', "memory": {"kinds": ["desicion"]}'), "memory.kinds"),
    (_body(b', "memory": {"kinds": []}'), "memory.kinds"),
    (_body(b', "thread_id": "a\\u0000b"'), "thread_id"),
    (_body(messages=b'{"role": "user", "content": "\xff\xfe"}'), None),
]


@pytest.mark.parametrize(("body", "param"), WRONG)
def test_a_wrong_body_is_refused_and_the_field_named(body: bytes, param: str | None) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _read(body)
    assert refused.value.status == 400
    assert refused.value.message
    assert param is None or param in (refused.value.param or "")


def test_a_body_that_needs_no_change_is_sent_as_it_came() -> None:
    body = _body(b', "x": {"b": [1, 2.50, 1e3]},  "seed": 12345678901234567890')
    assert _read(body).body_for("m") == body


def test_only_what_changes_is_written_again() -> None:
    extra = b', "x": {"b": [1, 2.50, 1e3],  "a": "\\ud83d\\ude00"}, "thread_id": "t", "memory": {"mode": "on"}'
    sent = _read(_body(extra)).body_for("other", injected=Injected(NOTE))
    assert b'{"b": [1, 2.50, 1e3],  "a": "\\ud83d\\ude00"}' in sent
    assert HELLO in sent
    value = json.loads(sent)
    assert set(value) == {"model", "messages", "x"}
    assert (value["model"], value["messages"][0]) == ("other", json.loads(NOTE))


def test_marks_of_messages_are_stripped_and_their_other_fields_kept() -> None:
    marked = b'{"role": "user", "memory": false, "content": "hi", "x_more": 1.0}'
    sent = _read(_body(messages=marked)).body_for("m")
    assert json.loads(sent)["messages"] == [{"role": "user", "content": "hi", "x_more": 1.0}]
    assert b"1.0" in sent


def test_the_note_stands_before_the_last_user_message() -> None:
    tool = b'{"role": "assistant", "content": null, "tool_calls": []}, {"role": "tool", "content": "42"}'
    system = b'{"role": "system", "content": "s"}'
    sent = _read(_body(messages=system + b"," + HELLO + b"," + tool)).body_for("m", injected=Injected(NOTE))
    assert [message["role"] for message in json.loads(sent)["messages"]] == [
        "system", "user", "user", "assistant", "tool",
    ]  # fmt: skip
    assert json.loads(sent)["messages"][1] == json.loads(NOTE)


def test_fallbacks_are_ours_unless_told_to_keep_them() -> None:
    request = _read(_body(b', "models": ["a", "b"]'))
    assert request.models == ["a", "b"]
    assert "models" not in json.loads(request.body_for("m"))
    assert json.loads(request.body_for("m", models=["a", "b"]))["models"] == ["a", "b"]


def test_a_prefill_is_a_last_assistant_message() -> None:
    sent = json.loads(_read(_body()).body_for("m", prefill="The quick"))
    assert sent["messages"][-1] == {"role": "assistant", "content": "The quick"}


def test_the_keys_default_model_fills_in() -> None:
    request = _read(b'{"messages": [%s]}' % HELLO, default="sim/echo")
    assert request.model == "sim/echo"
    assert json.loads(request.body_for("echo"))["model"] == "echo"


def test_fields_of_the_body_beat_headers() -> None:
    headers = {b"x-cmg-user": b"header", b"x-sm-conversation-id": b"talk", b"x-cmg-memory": b"read"}
    wish = _read(_body(b', "user": "body", "memory": {"mode": "off"}'), headers).wish
    assert (wish.user, wish.thread, wish.mode) == ("body", "talk", "off")
    assert _read(_body(), headers).wish.mode == "read"


@pytest.mark.parametrize("written", ["Zoë".encode(), "Zoë".encode("latin-1")])
def test_a_header_names_a_user_in_utf_8_or_latin_1(written: bytes) -> None:
    assert _read(_body(), {b"x-cmg-user": written}).wish.user == "Zoë"


@pytest.mark.parametrize("name", [b"model", b"mod\\u0065l"])
def test_embeddings_of_a_model_named_twice_are_asked_from_the_one_that_was_checked(name: bytes) -> None:
    asked = read_embeddings(b'{"%s": "blocked", "input": "x", "model": "m"}' % name, None, 64)
    assert asked.model == "m"
    assert asked.body_for("m") == b'{"model":"m","input":"x"}'
    plain = b'{"model": "m",  "input": "x"}'
    assert read_embeddings(plain, None, 64).body_for("m") == plain


def test_the_headers_of_other_routers_mean_the_same() -> None:
    own = {b"x-cmg-user": b"u", b"x-cmg-thread": b"t", b"x-cmg-agent": b"a", b"x-cmg-memory-budget": b"7"}
    wish = _read(_body(), own).wish
    assert (wish.user, wish.thread, wish.agent, wish.token_budget) == ("u", "t", "a", 7)
    theirs = _read(_body(), {b"x-sm-user-id": b"u", b"x-session-id": b"t", b"x-memory-mode": b"WRITE"}).wish
    assert (theirs.user, theirs.thread, theirs.mode) == ("u", "t", "write")
    assert _read(_body(), {b"x-sm-user-id": b"theirs", b"x-cmg-user": b"ours"}).wish.user == "ours"


def test_the_older_fields_mean_the_same() -> None:
    wish = _read(_body(b', "inject_context": false, "context_purpose": "p", "context_token_budget": 9')).wish
    assert (wish.mode, wish.purpose, wish.token_budget) == ("write", "p", 9)


def _nested(depth: int) -> bytes:
    return b'{"x": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def test_depth_is_bounded_exactly() -> None:
    assert read_fields(_nested(64), 64)
    for depth in (65, 66, 128, 129, 500, 100_000):
        with pytest.raises(InvalidRequest):
            read_fields(_nested(depth), 64)


@given(st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner, max_size=4), max_leaves=30))
def test_brackets_within_strings_are_no_nesting(value: object) -> None:
    def depth(one: object) -> int:
        return 1 + max(map(depth, one), default=0) if isinstance(one, list) else 0

    body = json.dumps({"x": value, "[[[": '{{"[\\', "y": "[" * 9}).encode()
    deep = 1 + depth(value)
    assert read_fields(body, max(2, deep))
    if deep > 2:
        with pytest.raises(InvalidRequest):
            read_fields(body, deep - 1)


@pytest.mark.parametrize("body", [b"[" * 70 + b'\\"' * 100_000, b'{"x": ' + b'"\\' * 100_000, b'"' + b"[" * 300_000])
def test_nonsense_is_refused_without_harm(body: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidRequest):
        read_fields(body, 64)
    assert time.perf_counter() - started < 5  # a quadratic look would take minutes


@pytest.mark.parametrize("detail", [b"", b'"detail": "low", '])
def test_an_image_that_is_only_linked_counts_as_one(detail: bytes) -> None:
    part = b'{"type": "image_url", "image_url": {%s"url": "https://example.org/a.png"}}' % detail
    body = _body(messages=b'{"role": "user", "content": [%s]}' % part)
    assert _read(body).size == len(body) + 4000


def test_an_image_is_not_reserved_as_text() -> None:
    part = b'{"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}}' % (b"A" * 1_000_000)
    sized = _read(_body(messages=b'{"role": "user", "content": [%s, %s]}' % (part, part))).size
    assert 8_000 < sized < 10_000
    assert _read(_body()).size == len(_body())
