"""What the metrics say is what happened: known work, and by how much each series moved."""

import asyncio
import secrets
from dataclasses import dataclass, field

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from support.api import Api
from support.faulty_plan import Plan, error_plan
from support.faulty_upstream import FaultyUpstream
from support.service import Service, eventually

GOOD, STREAMED, FAILED = 6, 4, 2
WITH_USER = 3


@dataclass
class Done:
    """The work: what the answers said, and every series before and after it."""

    service: Service
    model: str
    tokens: dict[str, int] = field(default_factory=lambda: {"prompt": 0, "completion": 0})
    before: dict[str, dict[tuple[tuple[str, str], ...], float]] = field(default_factory=dict)
    after: dict[str, dict[tuple[tuple[str, str], ...], float]] = field(default_factory=dict)

    def moved(self, name: str, **labels: str) -> float:
        """By how much the series of a metric with these labels moved, all together."""
        return _sum(self.after, name, labels) - _sum(self.before, name, labels)


def _sum(series: dict[str, dict[tuple[tuple[str, str], ...], float]], name: str, labels: dict[str, str]) -> float:
    return sum(value for told, value in series.get(name, {}).items() if labels.items() <= dict(told).items())


async def _series(api: Api) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse_text((await api.get("/metrics")).body.decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


@pytest.fixture(scope="module")
def done(service: Service, upstream: FaultyUpstream) -> Done:
    """The work, on two gateways: every call has a connection of its own."""

    async def work() -> Done:
        async with Api(service.url, service.key) as api:
            return await _done(service, api, upstream, "m-true")

    return asyncio.run(work())


async def _done(service: Service, api: Api, upstream: FaultyUpstream, model: str) -> Done:
    key = service.new_key(memory="on")
    one = Done(service, model)
    held = service.new_key(limits={"rpm": 1})
    await api.chat("sim/echo", key=held)
    await asyncio.sleep(2.5)  # what was done before is in every process' figures
    one.before = await _series(api)
    upstream.script(model, *[error_plan(500)] * 2 * FAILED)  # each is tried once more
    for _ in range(FAILED):
        assert (await api.chat(model, key=key)).status >= 500
    for number in range(GOOD):
        user = {"user": f"true-{model}-{number}"} if number < WITH_USER else {}
        usage = (await api.chat("sim/echo", "Hello there", key=key, **user)).json["usage"]
        one.tokens["prompt"] += usage["prompt_tokens"]
        one.tokens["completion"] += usage["completion_tokens"]
    for _ in range(STREAMED):
        told = await api.stream("sim/echo", "Hello there", key=key, stream_options={"include_usage": True})
        (usage,) = [event["usage"] for event in told.events if isinstance(event, dict) and event.get("usage")]
        one.tokens["prompt"] += usage["prompt_tokens"]
        one.tokens["completion"] += usage["completion_tokens"]
    assert (await api.chat("sim/echo", key=held)).status == 429
    stranger = f"cmg_{secrets.token_hex(6)}_{secrets.token_hex(16)}"
    for _ in range(3):
        await api.get("/v1/models", key=stranger)
    await api.get("/v1/models", key="no key")

    async def drained() -> bool:
        one.after = await _series(api)
        return one.moved("cmg_journal_records_total", kind="usage") >= GOOD + STREAMED + FAILED

    await eventually(drained, 20, "the calls are in the database")
    return one


async def test_rate_errors_and_duration_of_calls_and_requests(done: Done) -> None:
    calls, every = GOOD + STREAMED, GOOD + STREAMED + FAILED
    assert done.moved("cmg_llm_calls_total", model="echo", status="ok", route="chat") == calls
    assert done.moved("cmg_llm_calls_total", upstream="faulty", status="error") == FAILED
    assert done.moved("cmg_llm_errors_total", upstream="faulty", error="http_500") == FAILED
    assert done.moved("cmg_llm_call_duration_seconds_count", model="echo") == calls
    assert done.moved("cmg_llm_call_duration_seconds_bucket", model="echo", le="+Inf") == calls
    assert 0 < done.moved("cmg_llm_call_duration_seconds_sum", model="echo") < 60
    assert done.moved("cmg_llm_time_to_first_token_seconds_count", model="echo") == STREAMED
    assert done.moved("cmg_gateway_overhead_seconds_count") == every
    chat = {"route": "/v1/chat/completions", "method": "POST"}
    assert done.moved("cmg_http_requests_total", **chat, status="200") == calls
    assert done.moved("cmg_http_requests_total", **chat, status="429") == 1
    assert done.moved("cmg_http_request_duration_seconds_count", **chat) == every + 1


async def test_tokens_and_costs_are_those_of_the_answers_and_of_the_ledger(done: Done) -> None:
    for kind, count in done.tokens.items():
        assert done.moved("cmg_llm_tokens_total", model="echo", kind=kind) == count, kind
    _, told = await asyncio.to_thread(done.service.call, "GET", "/admin/v1/usage?group_by=model")
    priced = {one["model"]: one for one in told["items"]}["echo"]
    cost = done.moved("cmg_llm_cost_usd_total", model="echo")
    per_token = priced["cost_usd"] / (priced["prompt_tokens"] + priced["completion_tokens"])
    assert cost == pytest.approx(per_token * sum(done.tokens.values()), rel=0.5)
    assert cost > 0


async def test_refusals_are_counted_by_their_reason(done: Done) -> None:
    assert done.moved("cmg_limit_refusals_total", reason="requests") == 1
    assert done.moved("cmg_authentication_refused_total", reason="unknown") == 3
    assert done.moved("cmg_authentication_refused_total", reason="malformed") == 1
    assert 1 <= done.moved("cmg_key_lookups_total", outcome="unknown") <= 3  # what is unknown is remembered so


async def test_memory_and_the_journal_count_what_was_said(done: Done) -> None:
    assert done.moved("cmg_memory_turns_total", source="chat", outcome="journalled") == 2 * WITH_USER
    assert done.moved("cmg_memory_recall_total") == WITH_USER
    assert done.moved("cmg_memory_recall_seconds_count") == WITH_USER
    assert done.moved("cmg_journal_records_total", kind="usage") == GOOD + STREAMED + FAILED
    assert done.moved("cmg_journal_batches_total") > 0
    assert done.moved("cmg_database_query_duration_seconds_count") > 0


async def test_a_gauge_of_several_workers_is_their_sum(api: Api, upstream: FaultyUpstream, model: str) -> None:
    """Eight streams that stand still, over two gateways, and the request that asks."""
    upstream.script(model, *[Plan(chunk_delay_s=0.5)] * 8)
    streams = [asyncio.create_task(api.stream(model)) for _ in range(8)]

    async def all_at_once() -> bool:
        return _sum(await _series(api), "cmg_http_requests_active", {}) == 9

    await eventually(all_at_once, 10, "all are being answered")
    await asyncio.gather(*streams)

    async def one_again() -> bool:
        return _sum(await _series(api), "cmg_http_requests_active", {}) == 1

    await eventually(one_again, 10, "only the one that asks")
