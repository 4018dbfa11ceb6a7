"""A conversation longer than the window is answered: its older part gives way to a summary and recalled turns."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from cmg.gateway.remembering import is_held_out
from cmg.kit.turns import NOTE_MARK, Scope
from cmg.ledger import tokens
from support.api import Api
from support.faulty_plan import Plan
from support.faulty_upstream import FaultyUpstream
from support.late import openai
from support.processes import kill
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
    toml += "recall_deadline_ms = 20_000\n"  # a busy machine is not what is tested
    with Service(ServiceOptions(toml=toml, workers=2)) as running:
        yield running


@pytest.fixture
async def told(house: Service) -> AsyncIterator[Api]:
    """A client that knows that the model's window has been heard of."""
    async with Api(house.url, house.key) as client:

        async def known() -> bool:
            answers = [await client.get(f"/v1/models/small/{SMALL}") for _ in range(16)]  # of both workers
            return all(one.status == 200 and one.json.get("context_length") == WINDOW for one in answers)

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


def test_a_stream_is_shortened_too(sdk: openai.OpenAI, small: FaultyUpstream) -> None:
    user, messages = somebody(), [SYSTEM, *conversation(200), {"role": "user", "content": ASK}]
    events = list(
        sdk.chat.completions.create(
            model=SMALL, messages=messages, user=user, stream=True, extra_body={"thread_id": "t"}
        )
    )
    assert events[-1].choices[0].finish_reason == "stop" or events[-1].usage
    assert "58213" in str(sent_by(small, user)[-2]["content"])


def test_without_memory_the_upstream_refuses_as_before(sdk: openai.OpenAI) -> None:
    messages = [SYSTEM, *conversation(300), {"role": "user", "content": ASK}]
    for user in (None, somebody(held_out=True)):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(sdk, messages, user)
        assert refused.value.code == "context_length_exceeded"


def test_an_agents_many_steps_keep_their_task_and_whole_pairs(sdk: openai.OpenAI, small: FaultyUpstream) -> None:
    user, task = somebody(), {"role": "user", "content": "Find the cheapest ferry to Madeira, port by port."}
    steps: list[dict[str, Any]] = []
    for number in range(80):
        call = {"id": f"c{number}", "type": "function", "function": {"name": "ferry", "arguments": "{}"}}
        steps.append({"role": "assistant", "content": None, "tool_calls": [call]})
        result = f"Port {number}: " + "no ferry leaves before the evening, ask again; " * 6
        steps.append({"role": "tool", "tool_call_id": f"c{number}", "content": result})
    assert ask(sdk, [SYSTEM, task, *steps], user).http_response.status_code == 200
    sent = [one for one in sent_by(small, user) if not str(one["content"]).startswith(NOTE_MARK)]
    assert sent[:2] == [SYSTEM, task]
    assert sent[2:] == steps[-len(sent) + 2 :]
    assert sent[2]["role"] == "assistant"


async def test_the_summary_is_kept_shown_used_and_erased(told: Api, sdk: openai.OpenAI, small: FaultyUpstream) -> None:
    user, history = somebody(), conversation(300)
    ask(sdk, [SYSTEM, *history, {"role": "user", "content": ASK}], user)

    async def kept() -> dict[str, Any] | None:
        lines = (await told.post("/v1/export", {"user_id": user})).body.splitlines()
        return next((one for line in lines if (one := json.loads(line))["type"] == "summary"), None)

    summary = await eventually(kept, 60, "the thread is summed up")
    assert "October with Meridian Press" in str(summary["lines"])
    history += [{"role": "user", "content": ASK}, {"role": "assistant", "content": "I do not know."}]
    ask(sdk, [SYSTEM, *history, {"role": "user", "content": "And what else is in my locker?"}], user)
    note = str(sent_by(small, user)[-2]["content"])
    assert "October with Meridian Press" in note
    assert "58213" in note
    receipt = (await told.post("/v1/erase", {"user_id": user})).json
    assert receipt["erased"]["summaries"] == 1
    assert await kept() is None


async def test_what_answers_made_of_memories_stands_beside_the_hold_out(
    told: Api, house: Service, small: FaultyUpstream
) -> None:
    workspace = f"effect-{uuid.uuid4().hex[:8]}"
    house.call("POST", "/admin/v1/workspaces", {"id": workspace, "name": "Effect"})
    key = house.new_key(workspace=workspace)
    users = [f"u{number}" for number in range(12)]
    held_out = [user for user in users if is_held_out(Scope(workspace, user, "t"), HELD_OUT)]
    small.script(SMALL, Plan(text="Your dog is called Bruno."))
    for user in users:
        said = {"user_id": user, "content": "My dog is called Bruno.", "wait": True}
        assert (await told.post("/v1/ingest", said, key=key)).status == 200
        answer = await told.chat(SMALL, "What is my dog called?", user=user, thread_id="t", key=key)
        status = answer.headers["x-cmg-memory-status"]
        assert (status == "holdout") == (user in held_out), answer.headers

    async def judged() -> dict[str, Any] | None:
        answer = await told.get(f"/admin/v1/memory/effectiveness?workspace={workspace}")
        assert answer.status == 200, answer.body
        (found,) = answer.json["items"] or [None]
        if not found or found["use"]["notes"] < len(users) - len(held_out):
            return None
        return found if found["memory"]["calls"] + found["holdout"]["calls"] == len(users) else None

    found = await eventually(judged, 30, "all calls are counted, and judged")
    assert found["use"]["notes"] == len(users) - len(held_out)
    assert (found["memory"]["calls"], found["holdout"]["calls"]) == (len(users) - len(held_out), len(held_out))
    assert found["memory"]["tokens_per_call"] > found["holdout"]["tokens_per_call"], "notes cost tokens"
    assert (found["use"]["items_used"], found["use"]["use_rate"]) == (found["use"]["notes"], 1.0)
    item = (await told.get(f"/v1/memories?user_id={users[0]}", key=key)).json["items"][-1]
    judgement = {"item_id": item["id"], "feedback_type": "helpful"}
    assert (await told.post("/v1/feedback", judgement, key=key)).status == 200
    found = await judged()
    assert found is not None
    assert found["feedback"]["helpful"] == 1
    assert (await told.get("/admin/v1/memory/effectiveness", key=key)).status == 403


async def test_a_killed_drain_counts_each_call_once(told: Api, house: Service) -> None:
    workspace = f"killed-{uuid.uuid4().hex[:8]}"
    house.call("POST", "/admin/v1/workspaces", {"id": workspace, "name": "Killed"})
    key = house.new_key(workspace=workspace)
    user = next(name for n in range(100) if not is_held_out(Scope(workspace, name := f"u{n}", "t"), HELD_OUT))
    said = {"user_id": user, "content": "My dog is called Bruno.", "wait": True}
    assert (await told.post("/v1/ingest", said, key=key)).status == 200
    for number in range(40):
        answer = await told.chat("sim/echo", "What is my dog called?", user=user, thread_id="t", key=key)
        assert answer.headers["x-cmg-memory-items"] >= "1", answer.headers
        if number % 15 == 10:
            for pid in house.pids("backstage"):
                kill(pid)

    async def notes() -> int:
        answer = await told.get(f"/admin/v1/memory/effectiveness?workspace={workspace}")
        items = answer.json["items"] if answer.status == 200 else []
        return items[0]["use"]["notes"] if items else 0

    async def all_of_them() -> bool:
        return await notes() >= 40

    await eventually(all_of_them, 60, "all calls are counted")
    await asyncio.sleep(0.5)
    assert await notes() == 40
