"""Streams that end in odd ways: by our stop, by a fault of ours, with what nobody expects in them."""

import asyncio

import pytest

from cmg.gateway.upstreams.transport import Truncated
from rooms.gateway.test_stream_rules import ALL, WORDS, cut_after, whole_text
from support.gateway_calls import Client, GatewayCalls, chat_body
from support.scripted_transport import DONE, ROLE, STOP, chunk, good, stream, text


async def test_a_stream_that_a_stop_waits_for_no_longer_ends_with_an_error_event(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text("The", " quick"), 30.0), model="m-priced")
    client = Client(chat_body(stream=True, model="m-priced"))
    call = asyncio.create_task(gateway.call(client=client))
    await client.sent.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    cut_after(client.reply, client.reply.text)
    assert client.reply.errors[0]["code"] == "stopping"
    assert gateway.transport.asked[0].cancelled
    row = gateway.row()
    assert (row.status, row.error_type, row.cost_origin) == ("cut", "stopping", "estimate")
    assert row.cost_nano > 0


HUGE = b'{"prompt_tokens":7,"completion_tokens":1e400,"cost":0.25}'
HUGE_EVENT = b'data: {"choices":[],"usage":' + HUGE + b"}\n\n"


async def test_a_number_beyond_every_type_costs_its_own_field_alone(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text(*WORDS), STOP, HUGE_EVENT, DONE))
    whole_text(await gateway.stream())
    row = gateway.row()
    assert (row.status, row.prompt_tokens, row.completion_tokens, row.cost_nano) == ("ok", 7, 0, 250_000_000)


async def test_a_number_beyond_every_type_in_what_is_gone_on_with_is_no_crash(gateway: GatewayCalls) -> None:
    odd = chunk({"content": "The quick brown"})[:-3] + b',"odd":1e400}\n\n'
    gateway.transport.script("two", stream(*text("The"), Truncated("cut")))
    gateway.transport.script("three", stream(odd, *text(" fox"), STOP, DONE))
    whole_text(await gateway.stream(model="smart"))


async def test_a_fault_of_ours_within_a_stream_is_told_in_it(
    gateway: GatewayCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    gateway.transport.script("one", good(*WORDS))
    client = Client(chat_body(stream=True))
    monkeypatch.setattr("cmg.gateway.streams.relay.Relay._end", fails)
    with pytest.raises(ZeroDivisionError):
        await gateway.call(client=client)
    cut_after(client.reply, ALL)
    assert client.reply.errors[0]["code"] == "internal"
    assert (gateway.row().status, gateway.row().cost_nano) == ("cut", 250_000_000)


async def test_nothing_is_passed_on_that_comes_behind_the_end(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(ROLE, *text(*WORDS), STOP, DONE + text("more")[0]))
    whole_text(await gateway.stream())


async def test_a_byte_order_mark_before_the_first_event_is_no_part_of_it(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", stream(b"\xef\xbb\xbf" + text("The")[0], *text(*WORDS[1:]), STOP, DONE))
    reply = await gateway.stream()
    whole_text(reply)
    assert reply.body.startswith(b"data: ")
