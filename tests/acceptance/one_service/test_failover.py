"""Routing under faults: candidates, retries, Retry-After, silence, breakers, and errors that are never retried."""

import asyncio
import time

import pytest

from support.api import Answer, Api
from support.faulty_plan import TEXT, Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import row_of
from support.service import Service, eventually


async def test_a_busy_upstream_is_asked_again(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, error_plan(503), Plan())
    answer = await api.chat(model)
    assert (answer.status, answer.text, answer.headers["x-cmg-attempts"]) == (200, TEXT, "2")


@pytest.mark.parametrize("plan", [Plan(reset=True), error_plan(500), error_plan(529), Plan(break_after=0)])
async def test_first_call_fails_second_answers(api: Api, model: str, upstream: FaultyUpstream, plan: Plan) -> None:
    upstream.script(model, plan, Plan())
    answer = await api.chat(model)
    assert (answer.status, answer.text) == (200, TEXT)


async def test_retry_after_is_honoured(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, error_plan(429, retry_after="1"), Plan())
    answer = await api.chat(model)
    assert answer.status == 200
    first, second = upstream.calls_of(model)
    assert 0.95 <= second.at - first.at < 3


async def test_a_long_retry_after_is_told_to_the_client(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, error_plan(429, "slow down please", retry_after="600"))
    answer = await api.chat(model)
    assert answer.status in {429, 503}
    assert 0 < int(answer.headers["retry-after"]) <= 600
    assert answer.took_s < 5


async def test_a_limited_upstream_leaves_the_call_to_the_next_candidate(
    api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(429, retry_after="600"))
    answer = await api.chat(model, models=[f"backup/{model}"])
    assert (answer.status, answer.headers["x-cmg-upstream"]) == (200, "backup")
    assert answer.took_s < 3


@pytest.mark.parametrize("status", [400, 401, 403, 413, 422])
async def test_an_error_of_the_request_is_not_retried(
    api: Api, model: str, upstream: FaultyUpstream, status: int
) -> None:
    upstream.script(model, error_plan(status, "the scripted reason"))
    answer = await api.chat(model)
    assert len(upstream.calls_of(model)) == 1
    assert answer.status >= 400
    assert answer.error["message"]
    if status in {400, 413, 422}:
        assert answer.status == status
        assert "the scripted reason" in answer.error["message"]


@pytest.mark.parametrize("status", [401, 403])
async def test_our_key_at_the_upstream_is_not_the_clients_fault(
    api: Api, model: str, upstream: FaultyUpstream, status: int
) -> None:
    upstream.script(model, error_plan(status, "bad upstream key"))
    assert (await api.chat(model)).status >= 500


async def test_a_content_filter_is_not_retried_elsewhere(
    api: Api, model: str, upstream: FaultyUpstream, backup: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(400, "filtered", code="content_filter"))
    answer = await api.chat(model, models=[f"backup/{model}"])
    assert (answer.status, backup.calls_of(model)) == (400, [])


async def test_a_too_long_context_goes_to_the_next_model_or_fails(
    api: Api, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(400, "maximum context length is 8192 tokens", code="context_length_exceeded"))
    alone = await api.chat(model)
    assert (alone.status, alone.error["code"]) == (400, "context_length_exceeded")
    helped = await api.chat(model, models=[f"backup/{model}"])
    assert (helped.status, helped.headers["x-cmg-upstream"]) == (200, "backup")


async def test_an_error_with_http_200_is_an_error(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(error={"error": {"code": 502, "message": "provider down", "metadata": {}}}))
    answer = await api.chat(model)
    assert answer.status == 502
    assert answer.error["message"]
    assert (await row_of(service, model_asked=model))["status"] == "error"
    helped = await api.chat(model, models=[f"backup/{model}"])
    assert (helped.status, helped.text) == (200, TEXT)


@pytest.mark.parametrize("body", [b"", b"<html>gateway</html>", b'{"choices": [{"mess', b"[]"])
async def test_a_good_status_with_a_bad_body_is_not_a_success(
    api: Api, model: str, upstream: FaultyUpstream, body: bytes
) -> None:
    upstream.script(model, Plan(body=body))
    answer = await api.chat(model)
    assert answer.status == 502, answer.body
    assert answer.error["message"]


async def test_a_refusing_upstream_is_502_or_left_for_the_next(api: Api, model: str) -> None:
    alone = await api.chat(f"refusing/{model}")
    assert (alone.status, alone.error["type"]) == (502, "upstream_error")
    helped = await api.chat(f"refusing/{model}", models=[f"backup/{model}"])
    assert (helped.status, helped.headers["x-cmg-upstream"]) == (200, "backup")


async def test_a_route_names_its_candidates_in_order(api: Api) -> None:
    answer = await api.chat("smart")
    assert (answer.status, answer.headers["x-cmg-upstream"]) == (200, "backup")


async def test_a_silent_upstream_is_504_in_its_time(api: Api, model: str, upstream: FaultyUpstream) -> None:
    upstream.script(model, Plan(delay_s=30))
    answer = await api.chat(model)
    assert answer.status == 504
    assert answer.took_s < 6

    async def all_closed() -> bool:
        return all(call.disconnected_at for call in upstream.calls_of(model))

    await eventually(all_closed, 10, "every silent connection is closed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_silent_upstream_is_not_asked_again_while_a_candidate_is_left(
    api: Api, model: str, upstream: FaultyUpstream, *, stream: bool
) -> None:
    upstream.script(model, Plan(delay_s=30))
    call = api.stream if stream else api.chat
    answer = await call(model, models=[f"backup/{model}"])
    assert answer.text == TEXT
    assert len(upstream.calls_of(model)) == 1


async def test_all_candidates_failing_is_one_error_and_one_row(
    api: Api, service: Service, model: str, upstream: FaultyUpstream, backup: FaultyUpstream
) -> None:
    upstream.script(model, error_plan(503))
    backup.script(model, error_plan(500))
    answer = await api.chat(model, models=[f"backup/{model}"])
    assert answer.status in {502, 503}
    row = await row_of(service, model_asked=model)
    assert (row["status"], row["cost_nano"]) == ("error", 0)
    assert row["attempts"] >= 2


async def _open(api: Api, model: str, upstream: FaultyUpstream) -> int:
    """Fail a model until calls no longer reach the upstream on any worker; returns the calls that reached it."""
    upstream.script(model, error_plan(503))
    deadline = time.monotonic() + 20
    quiet = 0
    while quiet < 8:
        before = len(upstream.calls_of(model))
        answers: list[Answer] = await asyncio.gather(*(api.chat(model) for _ in range(4)))
        assert all(answer.status >= 500 for answer in answers)
        quiet = quiet + 1 if len(upstream.calls_of(model)) == before else 0
        assert time.monotonic() < deadline, "the breaker never opened"
    return len(upstream.calls_of(model))


async def test_the_breaker_opens_and_closes_again_after_a_good_probe(
    api: Api, model: str, upstream: FaultyUpstream
) -> None:
    reached = await _open(api, model, upstream)
    assert reached < 100
    upstream.script(model, Plan())

    async def answered() -> bool:
        return (await api.chat(model)).status == 200

    await eventually(answered, 45, "the breaker lets a probe through")
    for _ in range(5):
        await eventually(answered, 45, "every worker's breaker closes")


async def test_a_broken_model_does_not_break_its_neighbours(api: Api, model: str, upstream: FaultyUpstream) -> None:
    await _open(api, model, upstream)
    assert (await api.chat(f"{model}-neighbour")).status == 200
    helped = await api.chat(model, models=[f"backup/{model}"])
    assert (helped.status, helped.headers["x-cmg-upstream"]) == (200, "backup")


async def test_embeddings_retry_and_are_counted(
    api: Api, service: Service, upstream: FaultyUpstream, model: str
) -> None:
    name = f"embed-{model}"
    upstream.script(name, error_plan(503), Plan(cost=0.001))
    answer = await api.post("/v1/embeddings", {"model": name, "input": ["one two", "three"]})
    assert answer.status == 200
    row = await row_of(service, model_asked=name)
    assert (row["route"], row["prompt_tokens"], row["cost_nano"]) == ("embeddings", 3, 1_000_000)
