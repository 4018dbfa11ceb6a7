"""What goes through unchanged, what is stripped, and what a wrong request is told."""

import json

import pytest

from support.api import Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream

ODD = (
    b'"seed": 12345678901234567890, "temperature": 1.0,'
    b' "x_future": {"b": [1, 2.50, 1e3], "a": "\\u00e9\\ud83d\\ude00"},'
    b' "logit_bias": {"50256": -100}, "metadata": {"k": "v  v"}'
)


async def test_unknown_fields_reach_the_upstream_byte_for_byte(api: Api, model: str, upstream: FaultyUpstream) -> None:
    body = b'{"model": "%s", "messages": [{"role": "user", "content": "hi"}], %s}' % (model.encode(), ODD)
    assert (await api.post("/v1/chat/completions", body)).status == 200
    sent = upstream.calls_of(model)[0].body
    for part in (b"12345678901234567890", b"1.0", b"2.50, 1e3", b"\\u00e9\\ud83d\\ude00", b'"v  v"'):
        assert part in sent, part
    assert upstream.calls_of(model)[0].json["logit_bias"] == {"50256": -100}


async def test_the_answers_unknown_fields_reach_the_client(api: Api, model: str) -> None:
    answer = await api.chat(model)
    assert answer.json["x_upstream_field"] == {"kept": [1, 2.5, None]}
    assert b"2.5" in answer.body
    assert answer.json["system_fingerprint"] == "fp_scripted"


async def test_a_large_answer_comes_whole(api: Api, model: str, upstream: FaultyUpstream) -> None:
    text = "wörd " * 400_000
    upstream.script(model, Plan(text=text))
    assert (await api.chat(model)).text == text


async def test_memory_fields_are_stripped_and_the_user_is_passed_on(
    api: Api, model: str, user: str, upstream: FaultyUpstream
) -> None:
    fields = {
        "thread_id": "t1",
        "agent_id": "a1",
        "memory": {"mode": "on", "token_budget": 50},
        "inject_context": True,
        "context_purpose": "x",
        "context_token_budget": 9,
        "user": user,
    }
    messages = [{"role": "user", "content": "hi", "memory": False}]
    assert (await api.chat(model, messages=messages, **fields)).status == 200
    sent = upstream.calls_of(model)[0].json
    assert set(sent) == {"model", "messages", "user"}
    assert (sent["user"], sent["messages"]) == (user, [{"role": "user", "content": "hi"}])


async def test_an_upstreams_prefix_is_taken_off_the_model(api: Api, model: str, backup: FaultyUpstream) -> None:
    answer = await api.chat(f"backup/{model}")
    assert answer.headers["x-cmg-upstream"] == "backup"
    assert answer.headers["x-cmg-model"].endswith(model)
    assert backup.calls_of(model)


async def test_the_clients_key_never_reaches_the_upstream(api: Api, model: str, upstream: FaultyUpstream) -> None:
    await api.chat(model, headers={"x-api-key": api.key, "cookie": "a=b"})
    sent = upstream.calls_of(model)[0]
    assert sent.headers["authorization"] == "Bearer sk-upstream"
    assert api.key not in str(sent.headers)
    assert "cookie" not in sent.headers


async def test_an_answer_carries_the_headers_of_the_contract(api: Api, model: str) -> None:
    headers = (await api.chat(model)).headers
    named = ("request-id", "upstream", "model", "attempts", "cost-usd", "overhead-ms", "memory-status")
    missing = [name for name in named if f"x-cmg-{name}" not in headers]
    assert not missing, missing
    assert float(headers["x-cmg-cost-usd"]) == 0.00042
    assert (headers["x-cmg-attempts"], headers["x-cmg-memory-status"]) == ("1", "off")
    assert 0 <= float(headers["x-cmg-overhead-ms"]) < 1000


WRONG = [
    (b"{", 400, None),
    (b"[]", 400, None),
    (b'{"messages": []}', 400, "model"),
    (b'{"model": 5, "messages": []}', 400, "model"),
    (b'{"model": "m-x"}', 400, "messages"),
    (b'{"model": "m-x", "messages": "hi"}', 400, "messages"),
    (b'{"model": "m-x", "messages": [{"role": "user", "content": "hi"}], "stream": "yes"}', 400, "stream"),
    (b'{"model": "m-x", "messages": [{"role": "user", "content": "hi"}], "memory": {"mode": "maybe"}}', 400, "memory"),
    (b'{"model": "m-x", "messages": [{"role": "user", "content": "\xff\xfe"}]}', 400, None),
]


@pytest.mark.parametrize(("body", "status", "param"), WRONG)
async def test_a_wrong_body_is_an_openai_error_that_names_the_field(
    api: Api, body: bytes, status: int, param: str | None
) -> None:
    answer = await api.post("/v1/chat/completions", body)
    assert answer.status == status, answer.body
    assert answer.error["type"] == "invalid_request_error"
    assert param is None or param in (answer.error["param"] or ""), answer.error


async def test_a_deeply_nested_body_is_refused_without_harm(api: Api) -> None:
    body = b'{"model": "m-x", "messages": [], "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    answer = await api.post("/v1/chat/completions", body)
    assert answer.status == 400
    assert answer.error["type"] == "invalid_request_error"


async def test_a_body_over_the_limit_is_413(api: Api) -> None:
    body = b'{"model": "m-x", "messages": [{"role": "user", "content": "%s"}]}' % (b"a" * (21 * 2**20))
    answer = await api.post("/v1/chat/completions", body)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_unknown_paths_and_methods_have_the_error_shape(api: Api) -> None:
    missing = await api.get("/v1/no-such-thing")
    assert missing.status == 404
    assert missing.error["message"]
    wrong = await api.get("/v1/chat/completions")
    assert wrong.status == 405
    assert wrong.error["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/admin/v1/keys", "/status", "/livez"])
async def test_a_slash_at_the_end_of_a_path_makes_no_difference(api: Api, path: str) -> None:
    assert [(await api.get(path + slash)).status for slash in ("", "/")] == [200, 200]


async def test_an_unknown_model_is_404_that_names_it(api: Api) -> None:
    answer = await api.chat("nobody-serves-this")
    assert (answer.status, answer.error["code"]) == (404, "model_not_found")
    assert "nobody-serves-this" in answer.error["message"]


async def test_an_upstream_without_its_key_is_404_that_names_the_variable(api: Api) -> None:
    answer = await api.chat("unset/anything")
    assert answer.status == 404
    assert "TESTS_KEY_NOBODY_SETS" in answer.error["message"]
    openrouter = await api.chat("openrouter/openai/gpt-4o-mini")
    assert openrouter.status == 404
    assert "OPENROUTER_API_KEY" in openrouter.error["message"]


async def test_the_simulator_answers_its_own_models_only(api: Api) -> None:
    assert (await api.chat("sim/no-such-model")).status == 404
    failing = await api.chat("sim/fail-503")
    assert failing.status in {502, 503}
    assert json.loads(failing.body)["error"]["message"]
