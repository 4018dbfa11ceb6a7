"""Calls that are not streamed: which failures are tried again and where, and what the client hears in the end."""

import asyncio
import json
from email.utils import formatdate

import msgspec
import pytest

from cmg.gateway.upstreams.transport import ConnectFailed, FirstByteTimeout, Reset, TotalTimeout, Truncated
from cmg.identity.models import Budget, Limits
from cmg.kit.money import CALL_NANO_MAX
from support.gateway_calls import KEY, Client, GatewayCalls
from support.scripted_transport import USAGE, Script, error, whole


async def test_a_good_answer_passes_byte_for_byte(gateway: GatewayCalls) -> None:
    body = b'{"choices": [{"message": {"content": "h\\u00e9"}, "x": 1.50}],  "usage": null, "y": [1e3]}'
    gateway.transport.script("one", Script([body[:20], body[20:]]))
    reply = await gateway.call()
    assert (reply.status, reply.body) == (200, body)
    named = ("request-id", "upstream", "model", "attempts", "cost-usd", "overhead-ms", "memory-status")
    assert not [name for name in named if f"x-cmg-{name}" not in reply.headers]


async def test_what_the_upstream_counted_is_written(gateway: GatewayCalls) -> None:
    details = {"prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1}}
    usage = {**USAGE, **details, "completion_tokens_details": {"reasoning_tokens": 1}}
    gateway.transport.script("one", whole(usage=usage))
    trace = "0123456789abcdef0123456789abcdef"
    reply = await gateway.call(headers={"traceparent": f"00-{trace}-0123456789abcdef-01"})
    row = gateway.row()
    assert (row.prompt_tokens, row.completion_tokens, row.cached_tokens, row.cache_write_tokens) == (7, 3, 2, 1)
    assert (row.reasoning_tokens, row.cost_nano, row.cost_origin) == (1, 250_000_000, "upstream")
    assert (row.id, row.trace_id, row.tags) == (reply.headers["x-cmg-request-id"], trace, ("blue",))
    assert gateway.transport.asked[0].headers["traceparent"].startswith(f"00-{trace}-")
    assert float(reply.headers["x-cmg-cost-usd"]) == 0.25


USAGES = [
    ({"prompt_tokens": "7", "completion_tokens": 3}, 3),
    ({"prompt_tokens": 7.0, "completion_tokens": 3.0}, 3),
    ({"completion_tokens": 3, "prompt_tokens_details": "none", "cost": "much"}, 3),
    ({"prompt_tokens": None, "completion_tokens": None}, 1),
    ([1], 1),
    ("?", 1),
    ({"prompt_tokens": -5, "completion_tokens": 1e300, "cost": -1}, 1),
    ({"prompt_tokens": 7, "completion_tokens": 3, "cost": 1e300}, 3),
    ({"prompt_tokens": 7, "completion_tokens": 3, "cost": "1e40"}, 3),
    ({"prompt_tokens": 7, "completion_tokens": 9_007_199_254_740_000}, 0),
]


@pytest.mark.parametrize(("usage", "completion"), USAGES)
async def test_odd_figures_never_fail_an_answer(gateway: GatewayCalls, usage: object, completion: int) -> None:
    gateway.transport.script("one", whole(usage=usage))
    assert (await gateway.call()).status == 200
    assert gateway.row().completion_tokens == completion
    assert 0 <= gateway.row().cost_nano <= CALL_NANO_MAX


@pytest.mark.parametrize("told", [{}, {"prompt_tokens": -5, "completion_tokens": None}, {"cost": 0.25}, {"cost": -3}])
async def test_a_usage_that_counts_nothing_is_estimated_and_its_cost_believed(
    gateway: GatewayCalls, told: dict[str, float]
) -> None:
    gateway.transport.script("one", whole(usage=told))
    await gateway.call(messages=[{"role": "user", "content": "What is my dog called?"}])
    row = gateway.row()
    assert row.prompt_tokens > 5
    assert row.completion_tokens > 0
    believed = told.get("cost", -1) >= 0
    assert (row.cost_origin, row.cost_nano == 250_000_000) == ("upstream" if believed else "estimate", believed)


NONSENSE = [{"completion_tokens": 2**31 - 1}, {"completion_tokens": 3, "cost": 1e300}]


@pytest.mark.parametrize("told", NONSENSE)
async def test_odd_figures_of_one_answer_are_no_trouble_for_the_next(gateway: GatewayCalls, told: dict) -> None:
    gateway.transport.script("one", whole(usage={"prompt_tokens": 7, **told}), whole(), model="m-priced")
    limited = msgspec.structs.replace(KEY, limits=Limits(concurrency=1, rpm=100))
    other = msgspec.structs.replace(
        KEY, id="k2", limits=Limits(concurrency=1), budget=Budget(usd_nano=10**9, period="day")
    )
    for key in (limited, limited, other, other):
        assert (await gateway.call(key, model="m-priced")).status == 200


async def test_a_bound_without_end_is_reserved_like_a_large_one(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", whole(), model="m-priced")
    key = msgspec.structs.replace(KEY, limits=Limits(concurrency=1), budget=Budget(usd_nano=10**9, period="day"))
    for bound in (10**30, 2**63, 2**53):
        assert (await gateway.call(key, model="m-priced", max_tokens=bound)).status == 200


async def test_content_in_parts_is_an_answer(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", whole(content=[{"type": "text", "text": "hello"}]))
    assert (await gateway.call(user="u")).status == 200
    assert gateway.memory.remembered[0][1][-1].content == "hello"


async def test_a_tool_call_is_an_answer(gateway: GatewayCalls) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": USAGE}
    gateway.transport.script("one", Script([json.dumps(body).encode()]))
    assert (await gateway.call()).status == 200
    assert gateway.row().finish_reason == "tool_calls"


AGAIN = [
    error(500),
    error(502),
    error(503),
    error(529),
    error(408),
    error(429, retry_after="1"),
    Script([b'{"error": {"code": 502, "message": "provider down", "metadata": {}}}']),
    Script([b'{"choices": [{"mess']),
    Script([b"[]"]),
    Script([]),
    Script([b'{"choices": []}']),
    Script([b'{"choices": [{}]}']),
    Script([b'{"choices": [{"message": {"content": "The"}, "error": {"code": 502, "message": "gone"}}]}']),
    Script([b'{"error": {"type": "overloaded_error", "message": "busy"}}']),
    Script([], status=302, headers={"location": "http://elsewhere/"}),
    Script([b"{", Truncated("cut")]),
    Script(refused=Reset("gone")),
    Script(refused=ConnectFailed("refused")),
]


@pytest.mark.parametrize("first", AGAIN)
async def test_a_failure_that_may_pass_is_tried_again(gateway: GatewayCalls, first: Script) -> None:
    gateway.transport.script("one", first, whole())
    reply = await gateway.call()
    assert (reply.status, reply.headers["x-cmg-attempts"]) == (200, "2")
    row = gateway.row()
    assert (row.status, row.attempts, row.completion_tokens, row.error_type) == ("ok", 2, 3, None)
    assert gateway.clock.slept
    assert gateway.clock.slept[0] > 0


@pytest.mark.parametrize(
    "first", [*AGAIN, error(402), error(401), error(403), error(404), error(429, retry_after="600")]
)
async def test_the_next_candidate_answers_for_who_cannot(gateway: GatewayCalls, first: Script) -> None:
    gateway.transport.script("one", first)
    gateway.transport.script("two", whole())
    reply = await gateway.call(models=["two/m"])
    assert (reply.status, reply.headers["x-cmg-upstream"]) == (200, "two")


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_an_error_of_the_request_is_told_at_once(gateway: GatewayCalls, status: int) -> None:
    gateway.transport.script("one", error(status, "the reason", code="some_code"))
    reply = await gateway.call(models=["two/m"])
    assert (reply.status, len(gateway.transport.asked)) == (status, 1)
    assert set(reply.json["error"]) >= {"message", "type", "param", "code"}
    assert "the reason" in reply.json["error"]["message"]
    assert reply.json["error"]["code"] == "some_code"
    assert "{" not in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "filtered", code="content_filter"),
        error(403, "Your input was flagged by moderation"),
        Script([b'{"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["moderation"]}}}']),
        Script([b'{"error": {"code": "content_filter", "message": "flagged"}}']),
        Script([b'{"error": {"type": "invalid_request_error", "message": "flagged"}}']),
    ],
)
async def test_a_content_filter_is_not_asked_elsewhere(gateway: GatewayCalls, refusal: Script) -> None:
    gateway.transport.script("one", refusal)
    reply = await gateway.call(models=["two/m"])
    assert 400 <= reply.status < 500
    assert len(gateway.transport.asked) == 1


@pytest.mark.parametrize(("status", "told"), [(401, 502), (403, 502), (402, 502), (500, 502), (503, 503), (529, 503)])
@pytest.mark.parametrize("within", [False, True])
async def test_an_upstreams_trouble_is_no_fault_of_the_client(
    gateway: GatewayCalls, status: int, told: int, *, within: bool
) -> None:
    inside = Script([json.dumps({"error": {"code": status, "message": "x"}}).encode()])
    gateway.transport.script("one", inside if within else error(status))
    reply = await gateway.call()
    assert reply.status == told
    row = gateway.row()
    assert (row.status, row.http_status, row.cost_nano) == ("error", told, 0)
    assert row.error_type


@pytest.mark.parametrize("trouble", [FirstByteTimeout("silence"), TotalTimeout("long")])
async def test_silence_is_504(gateway: GatewayCalls, trouble: Exception) -> None:
    gateway.transport.script("one", Script(refused=trouble))
    assert (await gateway.call()).status == 504


async def test_a_long_retry_after_is_not_waited_for_but_told(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", error(429, retry_after="600"))
    reply = await gateway.call()
    assert (reply.status, reply.headers["retry-after"]) == (429, "600")
    assert gateway.clock.slept == []


@pytest.mark.parametrize("dated", [True, False])
async def test_a_retry_after_may_be_a_date(gateway: GatewayCalls, *, dated: bool) -> None:
    # The sender's clock is an hour behind: what counts is how far its two dates lie apart.
    now = gateway.clock.time() - (3600 if dated else 0)
    sent = {"date": formatdate(now, usegmt=True)} if dated else {}
    gateway.transport.script("one", error(429, retry_after=formatdate(now + 4, usegmt=True), **sent), whole())
    assert (await gateway.call()).status == 200
    assert 2.5 < gateway.clock.slept[0] <= 4
    far = formatdate(now + 600, usegmt=True)
    gateway.transport.script("one", error(429, retry_after=far, **sent))
    refused = await gateway.call()
    assert (refused.status, refused.headers["retry-after"]) == (429, "600" if dated else far)


@pytest.mark.parametrize("told", ["99999999999", "86401"])
async def test_a_retry_after_without_end_is_a_day(gateway: GatewayCalls, told: str) -> None:
    gateway.transport.script("one", error(503, retry_after=told))
    reply = await gateway.call()
    assert (reply.status, reply.headers["retry-after"], gateway.clock.slept) == (503, "86400", [])


async def test_a_short_retry_after_is_waited_for_in_full(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", error(429, retry_after="3"), whole())
    assert (await gateway.call()).status == 200
    assert gateway.clock.slept[0] >= 3


@pytest.mark.parametrize(
    "refusal",
    [
        error(400, "maximum context length is 8192 tokens"),
        Script([b'{"error": {"code": "context_length_exceeded", "message": "too long"}}']),
    ],
)
async def test_a_too_long_context_goes_to_the_next_or_is_told(gateway: GatewayCalls, refusal: Script) -> None:
    gateway.transport.script("one", refusal)
    gateway.transport.script("two", whole())
    alone = await gateway.call()
    assert (alone.status, alone.json["error"]["code"]) == (400, "context_length_exceeded")
    assert (await gateway.call(models=["two/m"])).status == 200


TOO_LONG = error(400, "maximum context length is 8192 tokens")


@pytest.mark.parametrize(
    ("lengths", "asked"),
    [
        ({"one": 8192, "two": 8192, "three": 32_000}, ["one", "three"]),
        ({"one": 8192, "two": 16_000, "three": 32_000}, ["one", "two", "three"]),
        ({"one": 8192, "two": 16_000, "three": 12_000}, ["one", "two"]),
        ({"one": 8192, "three": 32_000}, ["one", "three"]),
        ({"one": 8192, "two": 4096}, ["one"]),
        ({"two": 4096}, ["one", "two"]),
        ({}, ["one", "two", "three"]),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_too_long_context_goes_to_a_larger_model_only(
    gateway: GatewayCalls, lengths: dict[str, int], asked: list[str], *, streamed: bool
) -> None:
    gateway.lengths(**lengths)
    for host in ("one", "two", "three"):
        gateway.transport.script(host, TOO_LONG)
    reply = await gateway.call(models=["two/m", "three/m"], stream=streamed)
    assert (reply.status, reply.json["error"]["code"]) == (400, "context_length_exceeded")
    assert [one.url.split("/")[2] for one in gateway.transport.asked] == asked


async def test_a_larger_model_answers_what_was_too_long(gateway: GatewayCalls) -> None:
    gateway.lengths(one=8192, two=8192, three=32_000)
    gateway.transport.script("one", error(413, "the prompt is too long"))
    gateway.transport.script("three", whole())
    reply = await gateway.call(models=["two/m", "three/m"])
    assert (reply.status, reply.headers["x-cmg-upstream"]) == (200, "three")


async def test_a_larger_model_that_rests_is_told_as_such(gateway: GatewayCalls) -> None:
    gateway.lengths(one=8192, two=32_000)
    gateway.transport.script("one", TOO_LONG)
    for _ in range(20):
        gateway.breakers.failure("two", "m")
    refused = await gateway.call(models=["two/m"])
    assert (refused.status, refused.json["error"]["code"]) == (503, "circuit_open")


async def test_candidates_come_in_the_order_of_the_route(gateway: GatewayCalls) -> None:
    gateway.transport.script("two", error(500))
    gateway.transport.script("three", whole())
    reply = await gateway.call(model="smart")
    assert reply.headers["x-cmg-upstream"] == "three"
    assert [one.url.split("/")[2] for one in gateway.transport.asked] == ["two", "two", "three"]
    assert gateway.row().model_asked == "smart"


async def test_an_open_breaker_is_an_error_that_says_so(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", error(500))
    for _ in range(6):
        assert (await gateway.call()).status == 502 or gateway.breakers.wait_s("one", "m") > 0
    asked = len(gateway.transport.asked)
    refused = await gateway.call()
    assert (refused.status, len(gateway.transport.asked)) == (503, asked)
    assert int(refused.headers["retry-after"]) >= 1
    gateway.transport.script("two", whole())
    assert (await gateway.call(models=["two/m"])).status == 200


async def test_bad_requests_never_open_a_breaker(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", error(400))
    for _ in range(30):
        assert (await gateway.call()).status == 400
    assert len(gateway.transport.asked) == 30


@pytest.mark.parametrize("limits", [{"rpm": 0}, {"tpm": 0}, {"concurrency": 0}, {"rph": 0}])
async def test_a_limit_of_nothing_lets_nothing_through(gateway: GatewayCalls, limits: dict[str, int]) -> None:
    gateway.transport.script("one", whole())
    reply = await gateway.call(msgspec.structs.replace(KEY, limits=Limits(**limits)))
    assert (reply.status, gateway.transport.asked, gateway.journal.usage) == (429, [], [])


async def test_a_slot_is_free_again_however_a_call_ends(gateway: GatewayCalls) -> None:
    key = msgspec.structs.replace(KEY, limits=Limits(concurrency=1))
    gateway.transport.script("one", error(400), error(500), error(500), whole(), Script([b'{"choices": 5}']), whole())
    assert [(await gateway.call(key)).status for _ in range(4)] == [400, 502, 200, 200]


@pytest.mark.parametrize("names", [{"models_block": ("two/m",)}, {"models_block": ("M",)}, {"models_allow": ("mx",)}])
async def test_no_way_leads_around_a_keys_lists(gateway: GatewayCalls, names: dict) -> None:
    key = msgspec.structs.replace(KEY, **names)
    for fields in ({"model": "two/m"}, {"model": "mx", "models": ["two/m"]}, {"model": "smart"}):
        gateway.transport.script("one", error(500), model="mx")
        assert (await gateway.call(key, **fields)).status == 403, fields
    assert gateway.transport.asked == []


@pytest.mark.parametrize("name", [b"model", b"mod\\u0065l"])
async def test_a_model_named_twice_is_the_one_that_was_checked(gateway: GatewayCalls, name: bytes) -> None:
    gateway.transport.script("one", whole())
    body = b'{"%s": "mblocked", "messages": [{"role": "user", "content": "x"}], "model": "m"}' % name
    assert (await gateway.call(client=Client(body))).status == 200
    assert b"mblocked" not in gateway.transport.asked[0].body


async def test_fifty_at_once_are_answered_each_by_itself(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", *[whole(content=f"answer {n}") for n in range(50)])
    replies = await asyncio.gather(*(gateway.call() for _ in range(50)))
    assert len({reply.body for reply in replies}) == 50
    assert len(gateway.journal.usage) == 50


def _answers(*told: tuple[dict, str]) -> list[dict]:
    return [{"index": place, "message": one, "finish_reason": why} for place, (one, why) in enumerate(told)]


async def test_without_usage_tool_calls_and_further_answers_are_estimated_too(gateway: GatewayCalls) -> None:
    tool = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "x" * 400}}
    first = {"role": "assistant", "content": None, "tool_calls": [tool]}
    second = {"role": "assistant", "content": "y" * 400}
    answers = _answers((first, "tool_calls"), (second, "stop"))
    gateway.transport.script("one", whole(usage=None, choices=answers))
    assert (await gateway.call(n=2)).status == 200
    row = gateway.row()
    assert row.cost_origin == "estimate"
    assert row.completion_tokens >= 200


async def test_an_error_in_a_further_answer_is_a_failed_attempt(gateway: GatewayCalls) -> None:
    good = {"role": "assistant", "content": "hello"}
    gateway.transport.script("one", whole(choices=_answers((good, "stop"), (good, "error"))))
    gateway.transport.script("two", whole(content="from two"))
    assert b"from two" in (await gateway.call(n=2, models=["two/m"])).body


async def test_a_redirect_is_told_as_what_it_is(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", Script([], status=307, headers={"location": "http://elsewhere/v1"}))
    reply = await gateway.call()
    assert reply.status == 502
    assert "HTTP 307, a redirect to http://elsewhere/v1; check its base_url" in reply.json["error"]["message"]


@pytest.mark.parametrize("usage", [b"", b',"usage":{"completion_tokens":1e400}'])
async def test_a_number_beyond_every_type_is_no_crash(gateway: GatewayCalls, usage: bytes) -> None:
    message = b'{"choices":[{"index":0,"odd":1e400,"message":{"content":"hello"},"finish_reason":"stop"}]'
    gateway.transport.script("one", Script([message + usage + b"}"]))
    assert (await gateway.call()).status == 200
    assert (gateway.row().status, gateway.row().completion_tokens) == ("ok", 1)
