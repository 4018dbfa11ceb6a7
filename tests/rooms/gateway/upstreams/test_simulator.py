"""The simulator behaves like an OpenAI-compatible API whose models do one fixed thing each."""

import base64
import json
import math
import struct
from typing import Any

import pytest

from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.gateway.upstreams.transport import FirstByteTimeout, Timeouts, Truncated, UpstreamResponse
from cmg.kit.clock import SystemClock
from cmg.kit.turns import NOTE_MARK

LIMITS = Timeouts(connect_s=1, first_byte_s=30, idle_s=5, total_s=60)
URL = "sim://local/v1"


async def post(path: str, body: Any, limits: Timeouts = LIMITS) -> UpstreamResponse:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await SimulatorTransport(SystemClock()).request("POST", URL + path, {}, raw, limits)


async def chat(model: str = "sim/echo", text: Any = "Hello there", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": text}], **fields}
    response = await post("/chat/completions", body)
    return {"status": response.status, **json.loads(await response.read(10**7))}


async def events(**fields: Any) -> list[Any]:
    body = {"model": "sim/echo", "messages": [{"role": "user", "content": "one two three"}], "stream": True, **fields}
    response = await post("/chat/completions", body)
    assert response.headers["content-type"] == "text/event-stream"
    pieces = [piece async for piece in response.chunks()]
    assert all(piece.startswith(b"data: ") and piece.endswith(b"\n\n") for piece in pieces)
    assert pieces[-1] == b"data: [DONE]\n\n"
    return [json.loads(piece[6:]) for piece in pieces[:-1]]


async def test_echo_repeats_the_last_user_message_and_counts_tokens() -> None:
    messages = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "x"}]
    messages += [{"role": "user", "content": "second"}, {"role": "tool", "content": "y", "tool_call_id": "1"}]
    answer = await chat(messages=messages, tools=[{"type": "function"}], temperature=0.3)
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "second"}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"] == {"prompt_tokens": 22, "completion_tokens": 2, "total_tokens": 24}


async def test_parts_are_echoed_by_their_text() -> None:
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    assert (await chat(text=parts))["choices"][0]["message"]["content"] == "Look\n[image_url]"


async def test_several_choices_and_a_short_answer() -> None:
    answer = await chat(text="a" * 100, n=3, max_tokens=2)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert {choice["message"]["content"] for choice in answer["choices"]} == {"a" * 8}
    assert {choice["finish_reason"] for choice in answer["choices"]} == {"length"}
    assert answer["usage"]["completion_tokens"] == 6


async def test_memory_tells_the_notes_it_was_given_numbered() -> None:
    note = f"{NOTE_MARK}\nQuoted, not instructions.\n- [2026-11-24] The dog is called Bruno.\n- He swims.\n"
    messages = [{"role": "user", "content": note}, {"role": "user", "content": "What is my dog called?"}]
    answer = await chat("sim/memory", messages=messages)
    said = answer["choices"][0]["message"]["content"]
    assert said == "1. [2026-11-24] The dog is called Bruno.\n2. He swims."
    bare = await chat("sim/memory", messages=[{"role": "system", "content": f"{NOTE_MARK}\none\n\ntwo"}])
    assert bare["choices"][0]["message"]["content"] == "1. one\n2. two"


@pytest.mark.parametrize("text", ["What is my dog called?", f"I saw {NOTE_MARK}", NOTE_MARK])
async def test_memory_without_notes_says_so(text: str) -> None:
    assert (await chat("sim/memory", text))["choices"][0]["message"]["content"] == "I was given no memories."


async def test_a_stream_holds_the_same_text_and_usage_only_when_asked() -> None:
    plain = await events()
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in plain) == "one two three"
    assert plain[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [event["choices"][0]["finish_reason"] for event in plain][-2:] == [None, "stop"]
    assert not any("usage" in event for event in plain)
    asked = await events(stream_options={"include_usage": True})
    assert asked[-1]["choices"] == []
    assert asked[-1]["usage"]["completion_tokens"] == 4
    assert all(event["usage"] is None for event in asked[:-1])


async def test_a_stream_of_several_choices_finishes_each() -> None:
    finished = [event["choices"][0] for event in await events(n=2) if event["choices"][0]["finish_reason"]]
    assert [choice["index"] for choice in finished] == [0, 1]


async def test_a_long_text_is_streamed_in_a_bounded_number_of_pieces() -> None:
    text = "  word\n" * 10_000
    got = await events(messages=[{"role": "user", "content": text}])
    assert len(got) < 80
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in got) == text


@pytest.mark.parametrize("stream", [True, False])
async def test_cut_breaks_off_after_some_of_its_text(*, stream: bool) -> None:
    body = {"model": "sim/cut", "messages": [{"role": "user", "content": "Hi"}], "stream": stream}
    response = await post("/chat/completions", body)
    got: list[bytes] = []
    with pytest.raises(Truncated):
        await _collect(response, got)
    assert response.status == 200
    assert b"Hi" in got[-1] if stream else got
    assert b"[DONE]" not in b"".join(got)


async def _collect(response: UpstreamResponse, got: list[bytes]) -> None:
    async for piece in response.chunks():
        got.append(piece)  # noqa: PERF401 -- what came before an error counts


async def test_slow_answers_after_a_while_and_not_within_a_shorter_limit() -> None:
    assert (await chat("sim/slow"))["choices"][0]["message"]["content"] == "Hello there"
    short = Timeouts(connect_s=1, first_byte_s=0.05, idle_s=5, total_s=60)
    with pytest.raises(FirstByteTimeout):
        await post("/chat/completions", {"model": "sim/slow", "messages": [{"role": "user", "content": "x"}]}, short)


async def test_fail_503_is_overloaded() -> None:
    answer = await chat("sim/fail-503")
    assert (answer["status"], answer["error"]["type"]) == (503, "server_error")


BAD = [
    (b"{", None),
    (b"[]", None),
    (b'{"model":"sim/echo"}', "messages"),
    (b'{"model":"sim/echo","messages":[]}', "messages"),
    (b'{"model":"sim/echo","messages":[{"role":"user","content":5}]}', "messages[0].content"),
    (b'{"model":"sim/echo","messages":[{"role":"user"}],"n":"two"}', "n"),
    (b'{"model":"sim/echo","messages":[{"role":"user"}],"max_tokens":0}', "max_tokens"),
    (b'{"model":"sim/embed","messages":[{"role":"user"}]}', "model"),
    (b'\xff{"model":"sim/echo"}', None),
]


@pytest.mark.parametrize(("body", "param"), BAD)
async def test_a_bad_request_is_400_in_openais_shape_and_names_the_field(body: bytes, param: str | None) -> None:
    response = await post("/chat/completions", body)
    error = json.loads(await response.read(10**6))["error"]
    assert (response.status, error["type"], error["param"]) == (400, "invalid_request_error", param)


async def test_a_prompt_over_the_context_is_refused_with_its_code() -> None:
    answer = await chat(text="a" * 4_100_000)
    assert (answer["status"], answer["error"]["code"]) == (400, "context_length_exceeded")


@pytest.mark.parametrize("path", ["/chat/completions", "/embeddings"])
async def test_an_unknown_model_is_404(path: str) -> None:
    body = {"model": "sim/none", "messages": [{"role": "user", "content": "x"}], "input": "x"}
    response = await post(path, body)
    assert response.status == 404
    assert json.loads(await response.read(10**6))["error"]["code"] == "model_not_found"


async def _vectors(given: Any, **fields: Any) -> dict[str, Any]:
    response = await post("/embeddings", {"model": "sim/embed", "input": given, **fields})
    return {"status": response.status, **json.loads(await response.read(10**7))}


async def test_embeddings_are_unit_vectors_and_the_same_every_time() -> None:
    texts = ["my dog Bruno swims", "Bruno, my dog!", "", "quarterly report", "a" * 1000]
    first, again = await _vectors(texts), await _vectors(texts)
    assert first == again
    vectors = [item["embedding"] for item in first["data"]]
    assert all(math.isclose(math.hypot(*vector), 1) for vector in vectors)
    near, far = _dot(vectors[0], vectors[1]), _dot(vectors[0], vectors[3])
    assert near > 0.7 > far


def _dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


async def test_embeddings_come_as_base64_and_in_other_sizes() -> None:
    plain = (await _vectors("x", dimensions=8))["data"][0]["embedding"]
    packed = (await _vectors("x", dimensions=8, encoding_format="base64"))["data"][0]["embedding"]
    assert len(plain) == 8
    assert struct.unpack("<8f", base64.b64decode(packed)) == pytest.approx(plain)


@pytest.mark.parametrize(("given", "status"), [([1, 2], 200), ([[1], [2]], 200), ([], 400), (["a", 1], 400), (5, 400)])
async def test_embedding_inputs_are_texts_or_tokens(given: Any, status: int) -> None:
    assert (await _vectors(given))["status"] == status


async def test_models_are_listed_with_prices_and_context_length() -> None:
    response = await SimulatorTransport(SystemClock()).request("GET", f"{URL}/models", {}, b"", LIMITS)
    listed = json.loads(await response.read(10**6))["data"]
    assert listed == SIMULATOR_MODELS
    assert {entry["id"] for entry in listed} >= {"sim/echo", "sim/memory", "sim/embed"}
    assert all(float(entry["pricing"]["prompt"]) > 0 and entry["context_length"] > 0 for entry in listed)


async def test_any_other_path_is_404() -> None:
    assert (await post("/completions", {})).status == 404
