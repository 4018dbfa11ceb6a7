"""Limits and budgets under parallel calls on two workers without Redis: exact on the machine, and nothing lost."""

import asyncio
import time
import uuid

from support.api import Answer, Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.ledger_rows import rows_of
from support.service import Service, eventually

CALL_USD = 0.009  # nine words at 1,000 USD per million completion tokens


async def _burst(api: Api, model: str, key: str, count: int, **fields) -> list[Answer]:
    return list(await asyncio.gather(*(api.chat(model, key=key, **fields) for _ in range(count))))


def _ok(answers: list[Answer]) -> int:
    return sum(answer.status == 200 for answer in answers)


async def test_requests_per_minute_hold_over_two_workers(api: Api, service: Service, model: str) -> None:
    key = service.new_key(limits={"rpm": 10})
    started = time.monotonic()
    answers = await _burst(api, model, key, 40)
    refilled = int((time.monotonic() - started) / 6) + 1
    assert 10 <= _ok(answers) <= 10 + refilled
    refused = next(answer for answer in answers if answer.status != 200)
    assert (refused.status, refused.error["type"]) == (429, "rate_limit_error")
    assert 0 < int(refused.headers["retry-after"]) <= 60


async def test_answers_tell_what_is_left(api: Api, service: Service, model: str) -> None:
    key = service.new_key(limits={"rpm": 10, "tpm": 100_000})
    first, second = await api.chat(model, key=key), await api.chat(model, key=key)
    assert first.headers["x-ratelimit-limit-requests"] == "10"
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    left = [int(answer.headers["x-ratelimit-remaining-requests"]) for answer in (first, second)]
    assert left[1] <= left[0] <= 9, left
    assert 0 < int(second.headers["x-ratelimit-remaining-tokens"]) < 100_000
    assert second.headers["x-ratelimit-reset-requests"]


async def test_concurrent_calls_are_bounded_over_two_workers(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(delay_s=0.6))
    key = service.new_key(limits={"concurrency": 5})
    answers = await _burst(api, model, key, 20)
    assert _ok(answers) == 5
    assert len(upstream.calls_of(model)) == 5
    assert {answer.status for answer in answers} == {200, 429}
    assert _ok(await _burst(api, model, key, 5)) == 5


async def test_a_slot_is_free_again_after_a_failed_or_abandoned_call(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(status=400, error={"error": {"message": "no"}}))
    key = service.new_key(limits={"concurrency": 1})
    assert [(await api.chat(model, key=key)).status for _ in range(3)] == [400, 400, 400]
    slow = f"{model}-slow"
    upstream.script(slow, Plan(chunk_delay_s=0.2))
    chunks = api.chunks(slow, key=key)
    await anext(chunks)
    await chunks.aclose()

    async def free() -> bool:
        return (await api.chat(f"{model}-good", key=key)).status == 200

    await eventually(free, 10, "the abandoned call's slot is free")


async def test_tokens_per_minute_count_what_was_used(
    api: Api, service: Service, model: str, upstream: FaultyUpstream
) -> None:
    upstream.script(model, Plan(text="word " * 99 + "end"))
    key = service.new_key(limits={"tpm": 400})
    statuses = [(await api.chat(model, key=key, max_tokens=100)).status for _ in range(8)]
    assert 2 <= statuses.count(200) <= 5, statuses
    assert statuses[-1] == 429


async def _spent(service: Service, key_id: str) -> int:
    return sum(row["cost_nano"] for row in await rows_of(service, key_id=key_id))


async def test_fifty_parallel_calls_do_not_overshoot_a_budget(
    api: Api, service: Service, upstream: FaultyUpstream
) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(delay_s=0.3, cost=None))
    made = service.new_key_full(budget={"period": "day", "usd": 0.05})
    answers = await _burst(api, model, made["key"], 50, max_tokens=9)
    assert 4 <= _ok(answers) <= 6
    assert len(upstream.calls_of(model)) == _ok(answers)
    refused = next(answer for answer in answers if answer.status != 200)
    assert (refused.status in {402, 429}, refused.error["type"]) == (True, "budget_exceeded")

    async def settled() -> bool:
        return await _spent(service, made["id"]) == _ok(answers) * 9_000_000

    await eventually(settled, 5, "the ledger holds exactly the calls that passed")


async def test_a_budget_lets_calls_through_until_it_is_used_up(
    api: Api, service: Service, upstream: FaultyUpstream
) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(cost=None))
    key = service.new_key(budget={"period": "lifetime", "usd": 0.03})
    statuses = [(await api.chat(model, key=key, max_tokens=100_000)).status for _ in range(6)]
    assert statuses[:3] == [200, 200, 200], "an over-estimate must not block a call that the budget covers"
    assert statuses[5] in {402, 429}
    assert statuses.count(200) <= 4


async def test_a_refused_call_consumes_nothing(api: Api, service: Service, upstream: FaultyUpstream) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(cost=None))
    made = service.new_key_full(budget={"period": "day", "usd": 0.009}, limits={"rpm": 100})
    assert (await api.chat(model, key=made["key"])).status == 200
    refused = await _burst(api, model, made["key"], 10)
    assert {answer.status for answer in refused} <= {402, 429}
    assert len(upstream.calls_of(model)) == 1
    after = service.call("PATCH", f"/admin/v1/keys/{made['id']}", {"budget": {"period": "day", "usd": 1.0}})
    assert after[0] == 200, after

    async def on_again() -> bool:
        return (await api.chat(model, key=made["key"])).status == 200

    await eventually(on_again, 4, "a larger budget lets calls through")


async def test_an_unanswered_call_gives_its_reservation_back(
    api: Api, service: Service, upstream: FaultyUpstream
) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(status=400, error={"error": {"message": "no"}}))
    made = service.new_key_full(budget={"period": "day", "usd": 0.02})
    assert {answer.status for answer in [await api.chat(model, key=made["key"], max_tokens=9) for _ in range(5)]} == {
        400
    }
    upstream.script(model, Plan(cost=None))
    assert _ok(await _burst(api, model, made["key"], 2, max_tokens=9)) == 2


async def test_budget_thresholds_leave_one_event_each(api: Api, service: Service, upstream: FaultyUpstream) -> None:
    model = f"m-priced-{uuid.uuid4().hex[:8]}"
    upstream.script(model, Plan(cost=None))
    budget = {"period": "day", "usd": 0.018, "alert_at": [0.5, 1.0], "auto_suspend": True}
    made = service.new_key_full(budget=budget)
    assert (await api.chat(model, key=made["key"])).status == 200
    assert (await api.chat(model, key=made["key"])).status == 200

    async def suspended() -> bool:
        return service.call("GET", f"/admin/v1/keys/{made['id']}")[1]["state"] == "suspended"

    await eventually(suspended, 8, "the key suspends itself at the end of its budget")
