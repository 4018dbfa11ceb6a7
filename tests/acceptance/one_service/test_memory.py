"""What a user said in one conversation is used in the next; what nobody said is never made up or stored."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from support.api import Api
from support.faulty_upstream import FaultyUpstream
from support.late import openai
from support.service import Service, eventually

DOG = "My dog is called Bruno and he loves the lake."
ASK = "What is my dog called?"


def _say(client: openai.OpenAI, model: str, text: str, **fields) -> str:
    extra = {name: fields.pop(name) for name in ("thread_id", "memory", "agent_id") if name in fields}
    messages = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model=model, messages=messages, extra_body=extra, **fields)
    return answer.choices[0].message.content


async def _recall(api: Api, **body) -> list[dict]:
    answer = await api.post("/v1/recall", body)
    assert answer.status == 200, answer.body
    return answer.json["items"]


def test_what_was_said_in_one_conversation_is_known_in_the_next(client: openai.OpenAI, user: str) -> None:
    _say(client, "sim/echo", DOG, user=user, thread_id="monday")
    assert "Bruno" in _say(client, "sim/memory", ASK, user=user, thread_id="tuesday")


def test_what_was_said_in_a_stream_is_known_too(client: openai.OpenAI, user: str) -> None:
    messages = [{"role": "user", "content": DOG}]
    list(client.chat.completions.create(model="sim/echo", messages=messages, user=user, stream=True))
    assert "Bruno" in _say(client, "sim/memory", ASK, user=user)


def test_another_user_knows_nothing_of_it(client: openai.OpenAI, user: str) -> None:
    _say(client, "sim/echo", DOG, user=user)
    assert "Bruno" not in _say(client, "sim/memory", ASK, user=f"{user}-other")
    assert "Bruno" not in _say(client, "sim/memory", ASK)


async def test_another_workspace_with_the_same_user_knows_nothing(api: Api, service: Service, user: str) -> None:
    service.call("POST", "/admin/v1/workspaces", {"id": "memory-other", "name": "Other"})
    stranger = service.new_key(workspace="memory-other")
    await api.chat("sim/echo", DOG, user=user)
    assert "Bruno" in (await api.chat("sim/memory", ASK, user=user)).text
    assert "Bruno" not in (await api.chat("sim/memory", ASK, user=user, key=stranger)).text


async def test_the_note_stands_right_before_the_last_user_message(
    api: Api, model: str, user: str, upstream: FaultyUpstream
) -> None:
    await api.chat("sim/echo", DOG, user=user)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": ASK},
    ]
    answer = await api.chat(model, messages=messages, user=user)
    sent = upstream.calls_of(model)[0].json["messages"]
    assert (sent[:3], sent[-1]) == (messages[:3], messages[3])
    assert len(sent) == 5
    assert "Bruno" in sent[3]["content"]
    assert int(answer.headers["x-cmg-memory-items"]) >= 1
    assert int(answer.headers["x-cmg-memory-tokens"]) > 0
    assert answer.headers["x-cmg-memory-status"] == "ok"


async def test_the_prefix_stays_the_same_bytes(api: Api, model: str, user: str, upstream: FaultyUpstream) -> None:
    system = b'{"role": "system",  "content": "Caf\\u00e9  rules"}'
    body = b'{"model": "%s", "user": "%s", "messages": [%s, {"role": "user", "content": "%s"}]}'
    await api.chat("sim/echo", DOG, user=user)
    await api.post("/v1/chat/completions", body % (model.encode(), user.encode(), system, ASK.encode()))
    assert system in upstream.calls_of(model)[0].body


async def test_a_streamed_call_gets_its_note_and_headers_too(
    api: Api, model: str, user: str, upstream: FaultyUpstream
) -> None:
    await api.chat("sim/echo", DOG, user=user)
    stream = await api.stream(model, ASK, user=user)
    assert int(stream.headers["x-cmg-memory-items"]) >= 1
    assert "Bruno" in upstream.calls_of(model)[0].json["messages"][-2]["content"]


async def test_vision_parts_keep_their_place_behind_the_note(
    api: Api, model: str, user: str, upstream: FaultyUpstream
) -> None:
    await api.chat("sim/echo", DOG, user=user)
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    parts = [{"type": "text", "text": ASK}, image]
    await api.chat(model, messages=[{"role": "user", "content": parts}], user=user)
    sent = upstream.calls_of(model)[0].json["messages"]
    assert sent[-1]["content"] == parts
    assert "Bruno" in str(sent[-2]["content"])


async def test_a_tool_result_stays_next_to_its_call(api: Api, model: str, user: str, upstream: FaultyUpstream) -> None:
    await api.chat("sim/echo", DOG, user=user)
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": ASK},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    assert (await api.chat(model, messages=messages, user=user)).status == 200
    assert upstream.calls_of(model)[0].json["messages"][-2:] == messages[-2:]


async def test_notes_are_never_recorded_again(api: Api, user: str, model: str) -> None:
    for text in (DOG, ASK, f"{ASK} Again please.", "And what does my dog love?"):
        await api.chat(model, text, user=user)
    items = await _recall(api, user_id=user, query="dog Bruno lake", token_budget=4000)
    said = [item["content"] for item in items if "Bruno" in item["content"]]
    assert said == [DOG], said


async def test_history_sent_again_is_recorded_once(api: Api, user: str, model: str) -> None:
    history = [{"role": "user", "content": DOG}]
    for question in ("Is he big?", "Is he old?", "Is he hungry?"):
        history.append({"role": "user", "content": question})
        answer = await api.chat(model, messages=history, user=user, thread_id="long")
        history.append({"role": "assistant", "content": answer.text})
    items = await _recall(api, user_id=user, query="dog Bruno lake", token_budget=4000)
    assert [item["content"] for item in items].count(DOG) == 1


MODES = [({"mode": "off"}, "off", False), ({"mode": "write"}, "off", False), ({"mode": "read"}, "ok", True)]


@pytest.mark.parametrize(("memory", "status", "noted"), MODES)
async def test_memory_modes_read_and_write_as_they_say(
    api: Api, model: str, user: str, upstream: FaultyUpstream, memory: dict, status: str, *, noted: bool
) -> None:
    await api.chat("sim/echo", DOG, user=user)
    await eventually(lambda: _recall(api, user_id=user, query="dog Bruno lake", token_budget=4000), what="it is stored")
    answer = await api.chat(model, f"{ASK} I moved to Zanzibar.", user=user, memory=memory)
    assert (len(upstream.calls_of(model)[0].json["messages"]) == 2) is noted
    assert status in {answer.headers["x-cmg-memory-status"], "off"}
    await asyncio.sleep(0.2)
    items = await _recall(api, user_id=user, query="Zanzibar moved")
    assert any("Zanzibar" in item["content"] for item in items) is (memory["mode"] == "write")


async def test_a_message_marked_memory_false_is_not_kept(api: Api, user: str) -> None:
    messages = [{"role": "user", "content": "My secret number is 81723.", "memory": False}]
    assert (await api.chat("sim/fail-503", messages=messages, user=user)).status >= 500
    await api.chat("sim/memory", messages=messages, user=user)
    await asyncio.sleep(0.2)
    assert not any("81723" in item["content"] for item in await _recall(api, user_id=user, query="secret number"))


async def test_a_key_with_memory_off_neither_reads_nor_writes(api: Api, service: Service, user: str) -> None:
    key = service.new_key(memory="off")
    await api.chat("sim/echo", DOG, user=user, key=key)
    answer = await api.chat("sim/memory", ASK, user=user)
    assert "Bruno" not in answer.text
    assert (await api.chat("sim/memory", ASK, user=user, key=key)).headers["x-cmg-memory-status"] == "off"


async def test_no_user_means_no_memory(api: Api, model: str, upstream: FaultyUpstream) -> None:
    answer = await api.chat(model, DOG)
    assert answer.headers["x-cmg-memory-status"] == "off"
    assert len(upstream.calls_of(model)[0].json["messages"]) == 1


async def test_control_headers_work_like_the_fields(api: Api, user: str, model: str, upstream: FaultyUpstream) -> None:
    await api.chat("sim/echo", DOG, headers={"x-cmg-user": user, "x-cmg-thread": "one"})
    await api.chat(model, ASK, headers={"x-cmg-user": user, "x-cmg-thread": "two"})
    assert "Bruno" in upstream.calls_of(model)[0].json["messages"][-2]["content"]
    off = {"x-cmg-user": user, "x-cmg-memory": "off"}
    assert (await api.chat(model, ASK, headers=off)).headers["x-cmg-memory-status"] == "off"


async def test_a_token_budget_bounds_the_note(api: Api, user: str, model: str) -> None:
    for number in range(12):
        await api.chat("sim/echo", f"My dog Bruno did trick number {number} near the old harbour today.", user=user)
    answer = await api.chat(model, ASK, user=user, memory={"token_budget": 120})
    assert 0 < int(answer.headers["x-cmg-memory-tokens"]) <= 120


async def test_many_users_at_once_read_their_own_writes(api: Api) -> None:
    """A call waits a moment for its user's last turn; on a busy machine that may be too short, and another knows."""

    async def one(number: int) -> bool:
        user, name = f"many-{uuid.uuid4().hex}", f"Rex{number}"
        await api.chat("sim/echo", f"My dog is called {name}.", user=user)

        async def known() -> bool:
            return name in (await api.chat("sim/memory", ASK, user=user)).text

        at_once = await known()
        await eventually(known, 30, f"{name} is known")
        return at_once

    assert any(await asyncio.gather(*(one(number) for number in range(20)))), "each had to ask again"


async def test_a_turn_that_was_answered_survives_with_names(api: Api, user: str) -> None:
    messages = [{"role": "user", "name": "Ana", "content": "The launch is on 3 May."}]
    await api.chat("sim/echo", messages=messages, user=user, thread_id="team")

    async def found() -> list[dict]:
        return [item for item in await _recall(api, user_id=user, query="launch") if "3 May" in item["content"]]

    source = (await eventually(found, 15, "the turn is found"))[0]["sources"][0]
    assert (source["thread_id"], source["role"], source["name"]) == ("team", "user", "Ana")
    assert source["message_id"]
    assert source["created_at"]
