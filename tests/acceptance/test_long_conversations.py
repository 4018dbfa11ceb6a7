"""A conversation longer than the window is answered: its older part gives way to a summary and recalled turns."""

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

from cmg.gateway.remembering import is_held_out
from cmg.kit.turns import NOTE_MARK, Scope
from cmg.ledger import tokens
from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.service import Service, ServiceOptions, eventually, upstream_toml

WINDOW = 6000
SMALL = "m-small"
SYSTEM = {"role": "system", "content": "Answer briefly and in English."}
FACT = "My locker code at the harbour is 58213."
ASK = "What is the code of my locker?"
HELD_OUT = 0.5


@pytest.fixture(scope="module")
def small() -> Iterator[FaultyUpstream]:
    """An upstream whose model refuses prompts above its window, and says how large that is."""
    with FaultyUpstream() as server:
        server.models = [{"id": SMALL, "object": "model", "context_length": WINDOW}]
        server.windows[SMALL] = WINDOW
        yield server


@pytest.fixture(scope="module")
def house(small: FaultyUpstream) -> Iterator[Service]:
    """A service of its own: half of its conversations go without memory."""
    toml = upstream_toml("small", small.url, f'["{SMALL}"]')
    toml += f'\n[memory]\nholdout_share = {HELD_OUT}\nextraction_delay_s = 0.2\nembedder = "none"\n'
    with Service(ServiceOptions(toml=toml, workers=2)) as running:
        yield running


@pytest.fixture
async def told(house: Service) -> AsyncIterator[Api]:
    """A client that knows that the model's window has been heard of."""
    async with Api(house.url, house.key) as client:

        async def known() -> bool:
            found = await client.get(f"/v1/models/small/{SMALL}")
            return found.status == 200 and found.json.get("context_length") == WINDOW

        await eventually(known, 30, "the model's window is known")
        yield client


@pytest.fixture
def sdk(house: Service, told: Api) -> Iterator[openai.OpenAI]:
    """The official client, without retries of its own."""
    del told
    with openai.OpenAI(base_url=f"{house.url}/v1", api_key=house.key, max_retries=0) as client:
        yield client


def somebody(*, held_out: bool = False) -> str:
    """A new user whose thread `t` has memory, or goes without."""
    while True:
        user = f"user-{uuid.uuid4().hex[:12]}"
        if is_held_out(Scope("default", user, "t"), HELD_OUT) is held_out:
            return user


def conversation(turns: int) -> list[dict[str, Any]]:
    """Turns of two people about nothing much, a fact at the third, a decision, and a tool's result near the end."""
    said: list[dict[str, Any]] = []
    for number in range(turns // 2):
        talk = f"Chapter {number} of the novel tells of storm {number * 7} and of the people who wait on the pier."
        said.append({"role": "user", "content": f"{talk} What do you make of it?"})
        said.append({"role": "assistant", "content": f"It shows patience. {talk} The waiting matters more."})
    said[2]["content"] = FACT
    said[40]["content"] = "We decided to publish the novel in October with Meridian Press."
    call = {"id": "c1", "type": "function", "function": {"name": "tide", "arguments": '{"port": "Porto"}'}}
    said[-2:] = [
        {"role": "user", "content": "When is high tide?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "High tide is at 06:12."},
        {"role": "assistant", "content": "At 06:12."},
    ]
    return said


def ask(client: openai.OpenAI, messages: list[dict[str, Any]], user: str | None, **fields: Any) -> Any:
    """One call of the thread `t`, with its headers."""
    given = {"user": user} if user else {}
    return client.chat.completions.with_raw_response.create(
        model=SMALL, messages=messages, extra_body={"thread_id": "t"}, **given, **fields
    )


def sent_by(small: FaultyUpstream, user: str) -> list[dict[str, Any]]:
    """The messages of the newest call of a user."""
    return next(call.json["messages"] for call in reversed(small.calls_of(SMALL)) if call.json.get("user") == user)


def test_300_turns_to_a_small_model_are_answered(sdk: openai.OpenAI, small: FaultyUpstream) -> None:
    user, messages = somebody(), [SYSTEM, *conversation(300), {"role": "user", "content": ASK}]
    answer = ask(sdk, messages, user)
    sent = sent_by(small, user)
    note = next(one for one in sent if str(one["content"]).startswith(NOTE_MARK))
    trimmed = int(answer.headers["x-cmg-memory-trimmed"])
    assert (sent[0], sent[-1], sent[-2]) == (SYSTEM, messages[-1], note)
    assert sent[1:-2] == messages[-len(sent) + 2 : -1], "the newest turns as they were said, in their order"
    assert sent[1]["role"] == "user"
    assert messages[-5:-1] == sent[-6:-2], "a tool's result stands behind its call"
    assert len(sent) == len(messages) - trimmed + 1
    assert "58213" in note["content"], "the fact of a turn that was left out"
    assert tokens.count(json.dumps(sent)) < WINDOW * 0.9
    assert (answer.headers["x-cmg-memory-status"], int(answer.headers["x-cmg-memory-items"]) > 0) == ("ok", True)
    assert int(answer.headers["x-cmg-memory-tokens"]) == tokens.count(note["content"])
