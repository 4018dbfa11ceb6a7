"""Chat calls of the service's own: what a call costs at most that nobody waits for any more."""

from typing import Any

import pytest

from cmg.gateway.calls.internal import InternalChat, Overdue, internal_caller
from cmg.gateway.upstreams.transport import ConnectFailed, FirstByteTimeout, TotalTimeout
from cmg.identity.models import Workspace
from cmg.kit.errors import UpstreamFailed
from cmg.ledger.models import UsageRecord, decode_usage
from support.gateway_calls import GatewayCalls
from support.scripted_transport import Script, whole

MODEL = "one/m-priced"
PROMPT, LONGEST = 6, 500  # "Hello there" and its frame
BODY = {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": LONGEST}
AT_MOST_NANO = (PROMPT + LONGEST) * 1_000_000


async def ask(gateway: GatewayCalls, rows: list[UsageRecord], timeout_s: float = 5.0) -> tuple[str, int]:
    async def keep(record: bytes) -> None:
        rows.append(decode_usage(record))

    chat = InternalChat(gateway.parts.router, gateway.catalogue, gateway.breakers, gateway.clock, keep)
    caller = internal_caller(Workspace(id="w1", name="W"), "memory")
    return await chat.ask(caller, MODEL, BODY, timeout_s)


async def test_an_answer_costs_what_it_took(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", whole(usage={"prompt_tokens": 7, "completion_tokens": 3}), model="m-priced")
    rows: list[UsageRecord] = []
    _, cost = await ask(gateway, rows)
    assert cost == rows[0].cost_nano == 10 * 1_000_000


async def test_a_call_past_its_deadline_tells_what_a_full_answer_would_cost(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", Script(pause_s=30), model="m-priced")
    rows: list[UsageRecord] = []
    with pytest.raises(Overdue) as failed:
        await ask(gateway, rows, timeout_s=0.05)
    assert failed.value.cost_nano == AT_MOST_NANO
    assert [(one.status, one.error_type) for one in rows] == [("error", "timeout")]


@pytest.mark.parametrize("trouble", [FirstByteTimeout("silence"), TotalTimeout("long")])
async def test_so_does_one_whose_upstream_was_given_up(gateway: GatewayCalls, trouble: Exception) -> None:
    gateway.transport.script("one", Script(refused=trouble), model="m-priced")
    rows: list[Any] = []
    with pytest.raises(Overdue) as failed:
        await ask(gateway, rows)
    assert failed.value.cost_nano == AT_MOST_NANO * len(gateway.transport.asked)


async def test_one_that_reached_nobody_costs_nothing(gateway: GatewayCalls) -> None:
    gateway.transport.script("one", Script(refused=ConnectFailed("nobody there")), model="m-priced")
    with pytest.raises(UpstreamFailed) as failed:
        await ask(gateway, [])
    assert not isinstance(failed.value, Overdue)
