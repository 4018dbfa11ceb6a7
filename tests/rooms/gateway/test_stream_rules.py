"""Streams on scripted upstreams: whole text or an honest error, whichever way and wherever they break."""

import asyncio
import json
from pathlib import Path

import pytest

from cmg.config import Settings, UpstreamSettings
from cmg.gateway.streams.relay import Outgoing
from cmg.gateway.upstreams.transport import FirstByteTimeout, Reset, Stalled, Truncated
from support.gateway_calls import Client, GatewayCalls, Reply, chat_body
from support.scripted_transport import (
    DONE,
    ROLE,
    STOP,
    USAGE,
    USAGE_EVENT,
    Script,
    Step,
    chunk,
    error,
    good,
    stream,
    text,
    whole,
)

WORDS = ("The", " quick", " brown", " fox")
ALL = "".join(WORDS)
ERROR_EVENT = b'data: {"error":{"code":502,"message":"the model went away"}}\n\n'
BREAKS: dict[str, list[Step]] = {
    "truncated": [Truncated("cut")],
    "stalled": [Stalled("silence")],
    "clean end": [],
    "error event": [ERROR_EVENT],
    "error within a chunk": [chunk(finish="error", error={"code": 500, "message": "gone"})],
    "error by its name": [b'event: error\ndata: {"message":"the model went away"}\n\n', DONE],
    "error that is no JSON": [b"event: error\ndata: the model went away\n\n", DONE],
    "error object": [b'data: {"object":"error","message":"the model went away","code":500}\n\n', DONE],
    "error of a choice": [chunk(choices=[{"index": 0, "delta": {}, "error": {"code": 502, "message": "gone"}}]), DONE],
    "half an event": [b'data: {"choices":[{"delta":{"content":"bro', Truncated("cut")],
    "broken JSON": [b'data: {"choices":[{"delta":{"content":"bro\n\n', STOP, DONE],
}
TOGETHER = [True, False]  # whether the events before the break come in one piece with it


def _steps(events: list[bytes], how: str, *, together: bool) -> list[Step]:
    rest = BREAKS[how]
    if together and rest and isinstance(rest[0], bytes):
        return [b"".join(events) + rest[0], *rest[1:]]
    return [*([b"".join(events)] if together else events), *rest]


def whole_text(reply: Reply, said: str = ALL) -> None:
    assert (reply.status, reply.text, reply.done, reply.errors) == (200, said, True, []), reply.body


def cut_after(reply: Reply, said: str) -> None:
    assert (reply.status, reply.text, reply.done, reply.complete) == (200, said, False, True), reply.body
    assert len(reply.errors) == 1
    assert reply.errors[0]["message"]
    assert "[DONE]" not in reply.events


async def test_a_good_stream_passes_byte_for_byte(gateway: GatewayCalls) -> None:
    steps = [ROLE, *text(*WORDS), STOP, USAGE_EVENT, DONE]
    gateway.transport.script("one", stream(*steps))
    reply = await gateway.stream(stream_options={"include_usage": True})
    assert reply.body == b"".join(steps)
    assert reply.headers["content-type"].startswith("text/event-stream")
    row = gateway.row()
    assert (row.status, row.finish_reason, row.completion_tokens, row.cost_nano) == ("ok", "stop", 3, 250_000_000)
    assert row.ttft_ms is not None


async def test_usage_is_asked_for_and_kept_from_who_did_not_ask(gateway: GatewayCalls) -> None:
    nulls = [event.replace(b'"choices"', b'"usage": null, "choices"') for event in text(*WORDS)]
    said = chunk({"content": ', "usage": null'}, usage=None)
    gateway.transport.script("one", stream(ROLE, *nulls, said, STOP, USAGE_EVENT, DONE))
    reply = await gateway.stream(stream_options={"include_obfuscation": False})
    kept = chunk({"content": ', "usage": null'})
    assert reply.body == b"".join([ROLE, *text(*WORDS), kept, STOP, DONE])
    assert gateway.transport.asked[0].json["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    row = gateway.row()
    assert (row.completion_tokens, row.cost_nano, row.cost_origin) == (3, 250_000_000, "upstream")


async def test_usage_beside_content_stays_in_the_answer(gateway: GatewayCalls) -> None:
    steps = [ROLE, *text(*WORDS), chunk(finish="stop", usage=USAGE), DONE]
    gateway.transport.script("one", stream(*steps))
    assert (await gateway.stream()).body == b"".join(steps)
    assert gateway.row().cost_origin == "upstream"


REFUSALS = [
    error(400, "Unrecognized request argument supplied: stream_options"),
    Script([b'{"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}'], status=422),
]


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_an_upstream_that_refuses_to_be_asked_for_usage_is_left_alone_with_it(
    gateway: GatewayCalls, refusal: Script
) -> None:
    gateway.transport.script("one", refusal, good(*WORDS))
    reply = await gateway.stream()
    whole_text(reply)
    assert reply.headers["x-cmg-attempts"] == "1"
    whole_text(await gateway.stream())
    assert ["stream_options" in one.json for one in gateway.transport.asked] == [True, False, False]
    gateway.clock.ahead_s += 3601
    whole_text(await gateway.stream())
    assert "stream_options" in gateway.transport.asked[-1].json


@pytest.mark.parametrize(("wish", "asked"), [("never", [False]), ("ask", [True])])
async def test_the_settings_decide_whether_usage_is_asked_for(tmp_path: Path, wish: str, asked: list[bool]) -> None:
    local = UpstreamSettings(name="one", base_url="http://one/v1", models=["m*"], stream_usage=wish, retries=0)
    gateway = GatewayCalls(tmp_path, settings=Settings(upstreams=[local]))
    gateway.transport.script("one", error(400, "no stream_options here"))
    assert (await gateway.stream()).status == 400
    assert ["stream_options" in one.json for one in gateway.transport.asked] == asked
    await gateway.close()


async def test_another_bad_request_is_not_sent_twice(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", error(400, "temperature is too high"))
    assert (await gateway.stream()).status == 400
    assert len(gateway.transport.asked) == 1


async def test_events_that_came_together_leave_together(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE + b"".join(text(*WORDS)) + STOP + USAGE_EVENT + DONE))
    reply = await gateway.stream()
    whole_text(reply)
    assert len(reply.messages) <= 3


async def test_pieces_leave_as_they_come(gateway: GatewayCalls) -> None:
    steps: list[Step] = [ROLE]
    for event in text(*WORDS):
        steps += [event, 0.03]
    gateway.transport.script("one", stream(*steps, STOP, DONE))
    reply = await gateway.stream()
    whole_text(reply)
    assert reply.arrived[-1] - reply.arrived[0] > 0.08


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("together", TOGETHER)
async def test_a_break_before_content_is_never_seen(gateway: GatewayCalls, how: str, *, together: bool) -> None:
    gateway.transport.script("one", stream(*_steps([ROLE], how, together=together)))
    gateway.transport.script("two", good(*WORDS))
    reply = await gateway.stream(models=["two/m"])
    whole_text(reply)
    assert reply.headers["x-cmg-upstream"] == "two"
    row = gateway.row()
    assert (row.status, row.upstream, row.completion_tokens, row.error_type) == ("ok", "two", 3, None)


@pytest.mark.parametrize("how", BREAKS)
async def test_a_break_before_content_without_another_candidate_is_an_error_with_a_status(
    gateway: GatewayCalls, how: str
) -> None:
    gateway.transport.script("one", stream(ROLE, *BREAKS[how]))
    reply = await gateway.stream()
    assert reply.status in {502, 504}
    assert reply.json["error"]["message"]
    row = gateway.row()
    assert (row.status, row.cost_nano, row.completion_tokens, row.attempts) == ("error", 0, 0, 2)


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("together", TOGETHER)
async def test_a_cut_stream_is_told_and_costed(gateway: GatewayCalls, how: str, *, together: bool) -> None:
    gateway.transport.script("one", stream(*_steps([ROLE, *text(*WORDS[:2])], how, together=together)))
    reply = await gateway.stream()
    cut_after(reply, "The quick")
    row = gateway.row()
    assert (row.status, row.cost_origin) == ("cut", "estimate")
    assert row.completion_tokens >= 1


async def test_what_was_not_sent_yet_is_begun_afresh(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE + text("Another")[0] + ERROR_EVENT), good(*WORDS))
    whole_text(await gateway.stream())


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("together", TOGETHER)
async def test_a_cut_stream_goes_on_with_who_says_the_same(gateway: GatewayCalls, how: str, *, together: bool) -> None:
    gateway.transport.script("one", stream(*_steps([ROLE, *text(*WORDS[:2])], how, together=together)))
    gateway.transport.script("two", stream(ROLE, *text("The qui", "ck br", "own", " fox"), STOP, USAGE_EVENT, DONE))
    reply = await gateway.stream(models=["two/m"])
    whole_text(reply)
    row = gateway.row()
    assert (row.status, row.upstream, row.cost_nano, row.finish_reason) == ("ok", "two", 250_000_000, "stop")


async def test_two_cuts_are_survived_when_the_third_goes_on(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The"), 0.0, Truncated("cut")))
    gateway.transport.script("two", stream(ROLE, *text("The quick", " brown"), 0.0, Truncated("cut")))
    gateway.transport.script("three", good(*WORDS))
    whole_text(await gateway.stream(models=["two/m", "three/m"]))


@pytest.mark.parametrize(
    "other",
    [
        good("A", " different", " answer"),
        good("The"),
        stream(ROLE, chunk({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}), STOP, DONE),
        error(500),
        error(400),
        whole(),
    ],
)
async def test_what_says_something_else_is_never_mixed_in(gateway: GatewayCalls, other: Script) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The", " quick"), 0.0, Truncated("cut")))
    gateway.transport.script("two", other)
    cut_after(await gateway.stream(models=["two/m"]), "The quick")


async def test_who_said_something_else_leaves_the_place_to_the_next(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The", " quick"), 0.0, Truncated("cut")))
    gateway.transport.script("two", good("Nothing", " of it"))
    gateway.transport.script("three", good(*WORDS))
    whole_text(await gateway.stream(models=["two/m", "three/m"]))


async def test_a_prefill_is_given_to_who_takes_one(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The", " quick"), 0.0, Truncated("cut")))
    gateway.transport.script("warm", good(" brown", " fox"))
    whole_text(await gateway.stream(models=["warm/m"]))
    (asked,) = gateway.transport.to("warm")
    assert asked.json["messages"][-1] == {"role": "assistant", "content": "The quick"}


TOOL = chunk({"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]})
REASONING = chunk({"reasoning_content": "hm"})


THOUGHT = chunk({"content": "", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]})
IMAGE = chunk({"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]})


@pytest.mark.parametrize("event", [TOOL, REASONING, THOUGHT, IMAGE, chunk({"refusal": "no"})])
async def test_what_is_no_plain_text_is_not_continued(gateway: GatewayCalls, event: bytes) -> None:
    gateway.transport.script("one", stream(ROLE, event, 0.0, Truncated("cut")))
    gateway.transport.script("two", good(*WORDS))
    reply = await gateway.stream(models=["two/m"])
    cut_after(reply, "")
    assert gateway.transport.to("two") == []
    assert gateway.row().completion_tokens >= 1


async def test_one_of_two_choices_finished_is_not_the_end(gateway: GatewayCalls) -> None:
    both = [*text("a"), *text("b", index=1)]
    gateway.transport.script("one", stream(*both, STOP, 0.0, Truncated("cut")))
    cut_after(await gateway.stream(n=2), "ab")
    gateway.transport.script("one", stream(*both, STOP, chunk(finish="stop", index=1), DONE))
    assert (await gateway.stream(n=2)).done


@pytest.mark.parametrize("after", [[], [30.0], [Truncated("cut")], [Stalled("silence")], [ERROR_EVENT]])
async def test_after_the_finish_reason_nothing_can_spoil_it(gateway: GatewayCalls, after: list[Step]) -> None:
    gateway.transport.script("one", stream(ROLE, *text(*WORDS), STOP, *after))
    async with asyncio.timeout(5):
        whole_text(await gateway.stream())
    assert gateway.row().status == "ok"


async def test_a_silent_upstream_is_not_asked_again_while_another_is_left(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", Script(refused=FirstByteTimeout("silence")))
    gateway.transport.script("two", good(*WORDS))
    whole_text(await gateway.stream(models=["two/m"]))
    assert len(gateway.transport.to("one")) == 1


async def test_comments_are_no_content(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(b": PROCESSING\n\n", b": PROCESSING\n\n", Reset("gone")))
    gateway.transport.script("two", stream(b": PROCESSING\n\n", ROLE, *text(*WORDS), b": x\n\n", STOP, DONE))
    reply = await gateway.stream(models=["two/m"])
    whole_text(reply)
    assert b": x\n\n" in reply.body


async def test_keep_alives_do_not_prolong_the_time_to_the_first_token(tmp_path: Path) -> None:
    quick = UpstreamSettings(name="one", base_url="http://one/v1", models=["m*"], timeout_first_token_s=0.1)
    other = UpstreamSettings(name="two", base_url="http://two/v1")
    gateway = GatewayCalls(tmp_path, settings=Settings(upstreams=[quick, other]))
    gateway.transport.script("one", stream(*[b": PROCESSING\n\n", 0.02] * 50, *text(*WORDS), STOP, DONE))
    gateway.transport.script("two", stream(ROLE, 0.2, *text(*WORDS), STOP, DONE))
    reply = await gateway.stream(models=["two/m"])
    whole_text(reply)
    assert (reply.headers["x-cmg-upstream"], len(gateway.transport.to("one"))) == ("two", 1)
    await gateway.close()


@pytest.mark.parametrize("steps", [[DONE], [ROLE, DONE], [b": x\n\n", USAGE_EVENT, DONE]])
async def test_a_stream_that_ends_before_it_says_anything_is_no_success(
    gateway: GatewayCalls, steps: list[bytes]
) -> None:
    gateway.transport.script("one", stream(*steps))
    gateway.transport.script("two", good(*WORDS))
    reply = await gateway.stream(models=["two/m"])
    whole_text(reply)
    assert reply.headers["x-cmg-upstream"] == "two"
    assert (await gateway.stream()).status == 502


async def test_a_stream_may_call_itself_one_in_capitals(gateway: GatewayCalls) -> None:
    good_one = good(*WORDS)
    gateway.transport.script(
        "one", Script(good_one.steps, headers={"content-type": "Text/Event-Stream; charset=UTF-8"})
    )
    whole_text(await gateway.stream())


async def test_an_answer_that_is_no_stream_is_no_success(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", whole())
    gateway.transport.script("two", good(*WORDS))
    whole_text(await gateway.stream(models=["two/m"]))


UNUSUAL = [
    chunk({"content": [{"type": "text", "text": "x"}]}),
    chunk({"role": "assistant", "content": None, "x_new": {"a": 1}}),
    b'data: {"choices": [{"index": null, "delta": {"content": "x"}}]}\n\n',
    b'data: {"choices": null, "x_info": 1}\n\n',
    b'data: {"choices": [], "usage": {"prompt_tokens": "7"}}\n\n',
    b"event: ping\ndata: {}\n\n",
    b"id: 4\nretry: 10\n\n",
]


@pytest.mark.parametrize("event", UNUSUAL)
async def test_an_event_of_a_shape_we_do_not_know_passes(gateway: GatewayCalls, event: bytes) -> None:
    gateway.transport.script("one", stream(ROLE, *text(*WORDS), event, STOP, DONE))
    reply = await gateway.stream(stream_options={"include_usage": True})
    assert event in reply.body
    assert reply.done
    assert gateway.row().status == "ok"


async def test_the_model_that_answers_is_named_in_the_header(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(chunk({"content": "x"}, model="real/m\r\nx-evil: 1 \u65e5"), STOP, DONE))
    headers = (await gateway.stream()).headers
    assert headers["x-cmg-model"].startswith("real/m")
    assert "x-evil" not in headers
    assert "x-cmg-cost-usd" not in headers


async def test_the_wait_for_the_first_token_is_not_our_overhead(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(0.3, ROLE, 0.3, *text(*WORDS), STOP, DONE))
    reply = await gateway.stream()
    assert float(reply.headers["x-cmg-overhead-ms"]) < 250
    assert gateway.row().ttft_ms >= 500


async def _left(gateway: GatewayCalls, client: Client, after_s: float) -> None:
    call = asyncio.create_task(gateway.call(client=client))
    if after_s:
        await asyncio.sleep(after_s)
    else:
        await client.sent.wait()
    client.hang_up()
    async with asyncio.timeout(1):
        await asyncio.gather(call, return_exceptions=True)


async def test_a_client_that_leaves_cancels_the_upstream_and_is_costed(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The", " quick"), 30.0), model="m-priced")
    await _left(gateway, Client(chat_body(stream=True, model="m-priced")), 0)
    assert gateway.transport.asked[0].cancelled
    row = gateway.row()
    assert (row.status, row.cost_origin) == ("cancelled", "estimate")
    assert row.completion_tokens >= 1
    assert row.cost_nano >= row.completion_tokens * 1_000_000


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_client_that_leaves_before_the_answer_cancels_too(gateway: GatewayCalls, *, streamed: bool) -> None:
    gateway.transport.script("one", Script(pause_s=30.0))
    await _left(gateway, Client(chat_body(stream=streamed)), 0.1)
    assert gateway.transport.asked[0].cancelled
    row = gateway.row()
    assert (row.status, row.completion_tokens) == ("cancelled", 0)


async def test_a_slow_end_of_the_body_is_no_client_that_left(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, 0.1, *text(*WORDS), STOP, DONE, 0.1))
    whole_text(await gateway.stream())  # it would raise what a vanished client raises
    assert gateway.row().status == "ok"


async def test_the_row_lies_in_the_journal_before_the_last_byte(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", good(*WORDS))
    rows_at: list[int] = []
    client = Client(chat_body(stream=True))
    send = client.send

    async def watched(message: dict) -> None:
        await send(message)
        rows_at.append(len(gateway.journal.usage))

    client.send = watched  # type: ignore[method-assign]
    await gateway.call(client=client)
    assert rows_at[-1] == 1
    assert client.reply.done


async def test_usage_in_an_event_with_choices_counts_and_passes(gateway: GatewayCalls) -> None:
    last = chunk({"content": ""}, usage={"prompt_tokens": 4, "completion_tokens": 2, "cost": 0.5})
    gateway.transport.script("one", stream(ROLE, *text(*WORDS), STOP, last, DONE))
    reply = await gateway.stream()
    assert last in reply.body
    assert (gateway.row().cost_nano, gateway.row().completion_tokens) == (500_000_000, 2)
    assert json.loads(gateway.transport.asked[0].body)["stream"] is True


async def test_of_a_stream_that_is_too_long_to_be_kept_nothing_is_held() -> None:
    kept: list[bytes] = []

    class Keeping:
        async def keep(self, _headers: object, body: bytes, *, stream: bool) -> None:
            assert stream
            kept.append(body)

    async def send(_message: object) -> None:
        return

    for pieces, lengths in ((2, [2 * 2**20]), (5, [])):
        kept.clear()
        out = Outgoing(send, Keeping())  # type: ignore[arg-type]
        await out.start([])
        for number in range(pieces):
            await out.pass_on(b"x" * 2**20, more=number < pieces - 1)
        assert [len(body) for body in kept] == lengths
        assert sum(map(len, out._kept)) <= 2 * 2**20
