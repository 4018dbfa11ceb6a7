"""Which messages of a too long conversation are left out, and what the call does with the rest."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.config import MemorySettings
from cmg.gateway.remembering import is_held_out
from cmg.gateway.requests.chat_request import ChatRequest, read_chat
from cmg.gateway.requests.shortening import left_out
from cmg.kit.turns import Scope
from cmg.ledger import tokens
from support.gateway_calls import KEY, GatewayCalls, default_settings
from support.scripted_transport import DONE, ROLE, STOP, error, stream, text, whole

LONG = "The quick brown fox jumps over the lazy dog near the river bank today. " * 4  # 60 tokens
ROLES = st.sampled_from(["system", "user", "assistant", "steps"])


def request(roles: Sequence[str]) -> ChatRequest:
    """A conversation of these roles; `steps` is an assistant's message that calls two tools, with their results."""
    messages: list[dict[str, Any]] = []
    for role in roles:
        if role == "steps":
            calls = [{"id": f"{len(messages)}-{one}", "type": "function", "function": {"name": "f"}} for one in "ab"]
            messages.append({"role": "assistant", "content": None, "tool_calls": calls})
            messages += [{"role": "tool", "tool_call_id": call["id"], "content": LONG} for call in calls]
        else:
            messages.append({"role": role, "content": LONG})
    return read_chat(json.dumps({"model": "m", "messages": messages}).encode(), {}, None, 64)


def kept(chat: ChatRequest, limit: int) -> list[int]:
    """The places of the messages that are sent."""
    gone = left_out(chat, limit, 10)
    return [place for place in range(len(chat.messages)) if place not in gone]


@given(roles=st.lists(ROLES, min_size=1, max_size=60), limit=st.integers(100, 4000))
def test_what_belongs_together_stays_together(roles: list[str], limit: int) -> None:
    chat = request(roles)
    places = kept(chat, limit)
    said = [message.role for message in chat.messages]
    pinned = [place for place, role in enumerate(said) if role == "system"]
    assert set(pinned) <= set(places)
    for place, role in enumerate(said):
        if role == "tool":
            before = next(one for one in range(place, -1, -1) if said[one] not in {"tool", "system"})
            assert (place in places) == (before in places)
    if len(places) < len(said):
        last = max(place for place, role in enumerate(said) if role == "user")
        assert last in places
        assert places[-1] == len(said) - 1
        assert next(said[place] for place in places if said[place] != "system") == "user"


@given(roles=st.lists(st.sampled_from(["user", "assistant", "steps"]), min_size=30, max_size=90))
def test_what_is_left_keeps_to_the_limit(roles: list[str]) -> None:
    chat, limit = request(["system", *roles, "user"]), 1500
    places = kept(chat, limit)
    assert sum(tokens.count(chat.messages[place].text) + 4 for place in places) <= limit


def test_a_growing_conversation_keeps_its_beginning_for_many_calls() -> None:
    """An upstream's prompt cache holds as long as the first kept message is the same."""
    begins = [kept(request(["system", *["user", "assistant"] * turns, "user"]), 3000)[1] for turns in range(30, 90)]
    assert begins == sorted(begins)
    assert len(set(begins)) <= 12, "one of six calls moves it"


def test_a_conversation_that_fits_is_sent_as_it_came() -> None:
    chat = request(["system", *["user", "assistant"] * 5])
    assert left_out(chat, 5000, 10) == frozenset()


def test_an_agents_oldest_steps_go_when_its_task_alone_is_too_long() -> None:
    chat = request(["user", "assistant", "user", *["steps"] * 40])
    places = kept(chat, 1500)
    assert places[0] == 2
    assert len(places) % 3 == 1, "the task, and whole steps of three messages"
    assert places[1:] == list(range(places[1], len(chat.messages)))


PICTURES = {
    "inline": "data:image/png;base64," + "A" * 40_000,
    "linked": "https://pictures.example.org/harbour.png",
}


def beside(what: str, number: int) -> dict[str, Any]:
    """A message of few words with much beside them."""
    if what in PICTURES:
        picture = {"type": "image_url", "image_url": {"url": PICTURES[what]}}
        return {"role": "user", "content": [{"type": "text", "text": f"And number {number}?"}, picture]}
    call = {"name": "write", "arguments": json.dumps({"text": LONG * 15})}
    calls = [{"id": f"c{number}", "type": "function", "function": call}]
    return {"role": "assistant", "content": "I write it down.", "tool_calls": calls}


@pytest.mark.parametrize("what", ["inline", "linked", "tool calls"])
def test_what_stands_beside_few_words_is_counted(what: str) -> None:
    """An image or a tool's arguments of some 1,000 tokens and an answer of 120, forty times, for a window of 16,000."""
    messages = []
    for number in range(40):
        first = beside(what, number)
        if first["role"] != "user":
            messages.append({"role": "user", "content": "Go on."})
        messages += [first, {"role": "assistant", "content": LONG * 2}]
    messages.append({"role": "user", "content": "Which was the best?"})
    chat = read_chat(json.dumps({"model": "m", "messages": messages}).encode(), {}, None, 64)
    heavy = sum(
        "tool_calls" in messages[place] or isinstance(messages[place]["content"], list) for place in kept(chat, 16_000)
    )
    assert 8 <= heavy <= 15, "those that fit, and not many fewer"


@pytest.mark.parametrize("form", ["escaped", "plain"])
def test_letters_beyond_ascii_are_counted_however_they_stand_in_json(form: str) -> None:
    long = "今天的天气很好,我们去海边散步,然后在港口吃饭。" * 6
    messages = [{"role": role, "content": long} for _ in range(60) for role in ("user", "assistant")]
    messages.append({"role": "user", "content": "然后呢?"})
    chat = read_chat(
        json.dumps({"model": "m", "messages": messages}, ensure_ascii=form == "escaped").encode(), {}, None, 64
    )
    assert 5000 < sum(tokens.count(chat.messages[place].text) + 4 for place in kept(chat, 8000)) <= 8000


def test_nothing_is_left_out_when_not_even_the_newest_fits() -> None:
    chat = request(["user", "assistant"] * 20)
    assert left_out(chat, 100, 10) == frozenset()


@pytest.fixture
def long(tmp_path: Path) -> GatewayCalls:
    """A gateway whose memory has something to say, and a model with a window of 2,000 tokens."""
    gateway = GatewayCalls(tmp_path)
    gateway.memory.note = "the dog is Bruno"
    gateway.transport.script("one", whole(content="Bruno"))
    gateway.lengths(one=2000)
    return gateway


def talk(turns: int) -> list[dict[str, Any]]:
    """A conversation of so many exchanges, each with its number, and a question."""
    said = []
    for number in range(turns):
        said += [
            {"role": "user", "content": f"{number}: {LONG}"},
            {"role": "assistant", "content": f"{number}. {LONG}"},
        ]
    return [{"role": "system", "content": "Be brief."}, *said, {"role": "user", "content": "What is my dog called?"}]


async def test_a_long_call_is_shortened_and_says_so(long: GatewayCalls) -> None:
    messages = talk(40)
    reply = await long.call(messages=messages, user="ana", thread_id="t")
    sent = long.transport.asked[0].json["messages"]
    (shortened,) = long.memory.condensed
    gone = int(reply.headers["x-cmg-memory-trimmed"])
    assert (sent[0], sent[1:-2], sent[-1]) == (messages[0], messages[1 + gone : -1], messages[-1])
    assert (shortened.messages, len(shortened.turns)) == (gone, gone)
    assert shortened.turns[0].content.startswith("0: ")
    assert set(shortened.present) == {one["content"] for one in [messages[0], *messages[1 + gone :]]}
    ((_, turns),) = long.memory.remembered
    assert len(turns) == 82, "what was left out is remembered like everything else"
    (told,) = long.memory.judged
    assert (told.left_out, told.question, told.answer) == (gone, "What is my dog called?", "Bruno")


async def test_a_stream_is_shortened_too(long: GatewayCalls) -> None:
    long.transport.script("one", stream(ROLE, *text("Bru", "no"), STOP, DONE))
    reply = await long.stream(messages=talk(40), user="ana")
    assert int(reply.headers["x-cmg-memory-trimmed"]) > 10
    assert len(long.transport.asked[0].json["messages"]) < 82


async def test_the_largest_window_of_the_candidates_counts(long: GatewayCalls) -> None:
    """A smaller one refuses, and the larger one is asked, as without memory."""
    long.lengths(one=2000, two=100_000)
    long.transport.script("one", error(400, "maximum context length is 2000"))
    long.transport.script("two", whole())
    reply = await long.call(messages=talk(40), user="ana", models=["two/m"])
    assert "x-cmg-memory-trimmed" not in reply.headers
    assert len(long.transport.asked[-1].json["messages"]) == 83


UNTOUCHED: list[dict[str, Any]] = [
    {},
    {"user": "ana", "memory": {"mode": "off"}},
    {"user": "ana", "memory": {"mode": "write"}},
    {"user": "ana", "memory": {"token_budget": 0}},
]


@pytest.mark.parametrize("fields", UNTOUCHED)
async def test_without_memory_to_read_the_call_goes_as_it_came(long: GatewayCalls, fields: dict[str, Any]) -> None:
    reply = await long.call(messages=talk(40), **fields)
    assert "x-cmg-memory-trimmed" not in reply.headers
    assert [one for one in long.transport.asked[0].json["messages"] if one in talk(40)] == talk(40)


async def test_an_unknown_window_is_no_reason_to_shorten(long: GatewayCalls) -> None:
    long.lengths(one=None)
    assert "x-cmg-memory-trimmed" not in (await long.call(messages=talk(40), user="ana")).headers


async def test_room_for_the_answer_is_kept(long: GatewayCalls) -> None:
    long.lengths(one=8000)
    assert "x-cmg-memory-trimmed" not in (await long.call(messages=talk(40), user="ana")).headers
    assert "x-cmg-memory-trimmed" in (await long.call(messages=talk(40), user="ana", max_tokens=6000)).headers


async def test_a_message_that_memory_may_not_see_is_left_out_and_not_told(long: GatewayCalls) -> None:
    messages = talk(40)
    messages[1] = {"role": "user", "content": "My secret is 81723.", "memory": False}
    await long.call(messages=messages, user="ana")
    assert "81723" not in str(long.memory.condensed[0].turns)
    assert "81723" not in str(long.transport.asked[0].json)


async def test_a_question_that_memory_may_not_see_is_neither_asked_nor_judged(long: GatewayCalls) -> None:
    messages = talk(40)
    messages[-1] = {"role": "user", "content": "I am 81723.", "memory": False}
    await long.call(messages=messages, user="ana")
    assert long.memory.asked[0][1] == ""
    assert (long.memory.judged[0].question, long.memory.judged[0].answer) == ("", "")


@pytest.mark.parametrize("fields", [{"memory": {"mode": "read"}}, {}])
async def test_only_a_call_that_leaves_turns_leaves_its_words_to_be_judged(
    long: GatewayCalls, fields: dict[str, Any]
) -> None:
    await long.call(user="ana", **fields)
    (told,) = long.memory.judged
    assert told.items == (b"i" * 16,)
    assert (told.answer, told.question) == (("", "") if fields else ("Bruno", "Hello there"))


async def test_a_share_of_the_conversations_goes_without_memory(tmp_path: Path) -> None:
    settings = default_settings(memory=MemorySettings(holdout_share=0.5))
    gateway = GatewayCalls(tmp_path, settings=settings)
    gateway.memory.note = "the dog is Bruno"
    gateway.transport.script("one", whole())
    for number in range(40):
        status = [
            (await gateway.call(user=f"u{number}", thread_id="t")).headers["x-cmg-memory-status"] for _ in range(2)
        ]
        held_out = is_held_out(Scope("w1", f"u{number}", "t"), 0.5)
        assert status == (["holdout"] * 2 if held_out else ["ok"] * 2)
    rows = gateway.journal.usage
    assert len(gateway.memory.asked) == sum(row.memory_status == "ok" for row in rows) < 80
    assert len(gateway.memory.remembered) == 80, "whoever is held out is remembered all the same"


def test_the_hold_out_is_as_large_as_it_is_said_to_be() -> None:
    scopes = [Scope("w", f"user {number % 100}", f"thread {number}") for number in range(5000)]
    assert 0.17 < sum(is_held_out(scope, 0.2) for scope in scopes) / 5000 < 0.23
    assert not any(is_held_out(scope, 0) for scope in scopes)
    assert all(is_held_out(scope, 1) for scope in scopes)


async def test_a_key_that_may_not_read_memory_is_not_held_out(tmp_path: Path) -> None:
    gateway = GatewayCalls(tmp_path, settings=default_settings(memory=MemorySettings(holdout_share=1)))
    gateway.transport.script("one", whole())
    key = msgspec.structs.replace(KEY, scopes=("chat", "memory:write"))
    assert (await gateway.call(key, user="ana")).headers["x-cmg-memory-status"] == "off"
