"""What a chat call reads from memory and leaves there."""

from typing import Any

import msgspec
import pytest

from cmg.kit.turns import NOTE_MARK
from support.gateway_calls import KEY, Client, GatewayCalls, chat_body
from support.scripted_transport import DONE, ROLE, STOP, chunk, error, stream, text, whole


def _user(content: Any = "What is my dog called?", **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


@pytest.fixture
def knowing(gateway: GatewayCalls) -> GatewayCalls:
    """A gateway whose memory has something to say, and whose upstream answers."""
    gateway.memory.note = "the dog is Bruno"
    gateway.transport.script("one", whole(content="Bruno"))
    return gateway


def _sent(gateway: GatewayCalls) -> list[dict[str, Any]]:
    return list(gateway.transport.asked[-1].json["messages"])


async def test_the_note_goes_before_the_last_user_message(knowing: GatewayCalls) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        _user("Hi"),
        {"role": "assistant", "content": "Hi"},
        _user(),
    ]
    reply = await knowing.call(messages=messages, user="ana", thread_id="t")
    sent = _sent(knowing)
    assert [*sent[:3], sent[4]] == messages
    assert sent[3]["role"] == "user"
    assert sent[3]["content"].startswith(NOTE_MARK)
    scope, query, wish = knowing.memory.asked[0]
    assert (scope.workspace_id, scope.user_id, scope.thread_id, scope.implicit) == ("w1", "ana", "t", False)
    assert query == "What is my dog called?"
    assert "Be brief." in wish["present"]
    named = [reply.headers[f"x-cmg-memory-{name}"] for name in ("items", "tokens", "status")]
    assert named == ["1", "9", "ok"]
    row = knowing.row()
    assert (row.user_id, row.thread_id, row.memory_items, row.memory_tokens, row.memory_status) == (
        "ana", "t", 1, 9, "ok",
    )  # fmt: skip


async def test_question_and_answer_are_left_in_the_same_append_as_the_row(knowing: GatewayCalls) -> None:
    await knowing.call(messages=[_user(name="Ana")], user="ana")
    ((scope, turns),) = knowing.memory.remembered
    assert scope.implicit
    assert [(turn.role, turn.content, turn.name) for turn in turns] == [
        ("user", "What is my dog called?", "Ana"),
        ("assistant", "Bruno", None),
    ]
    assert [kind for kind, _ in knowing.journal.appends[0]] == ["usage", "turns", "turns", "told"]
    assert len(knowing.memory.positions) == 1


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {}}]}
TOLD = {"role": "tool", "tool_call_id": "c1", "content": "Bruno"}


def _says(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize(
    ("messages", "new"),
    [
        ([_user("Hi"), _says("Hi"), _user(), _user("Well?")], ["What is my dog called?", "Well?"]),
        ([_user(), CALL, TOLD], []),
        ([_user(), _says("I look.") | {"tool_calls": CALL["tool_calls"]}, TOLD], []),
        ([_user("Hi"), _says("Hi"), _user(), CALL, TOLD, CALL, TOLD, _user("Well?")], ["Well?"]),
        ([_user("Hi"), _says("Hi"), _user(), _says("It is")], ["What is my dog called?", "It is"]),
    ],
    ids=["turns", "a tool's result", "a tool's result after words", "steps", "a beginning of the answer"],
)
async def test_of_an_unnamed_thread_only_what_is_new_is_left(
    knowing: GatewayCalls, messages: list[dict[str, Any]], new: list[str]
) -> None:
    """A client sends all of it with each call: an agent's question would be kept once for each of its steps."""
    await knowing.call(messages=messages, user="ana")
    ((_, turns),) = knowing.memory.remembered
    assert [turn.content for turn in turns] == [*new, "Bruno"]


async def test_a_call_in_which_nobody_says_anything_leaves_nothing(knowing: GatewayCalls) -> None:
    await knowing.call(messages=[{"role": "system", "content": "Greet."}], user="ana")
    assert knowing.memory.remembered == []


async def test_of_several_streamed_answers_the_first_is_left_as_it_was_said(knowing: GatewayCalls) -> None:
    """As without a stream; the chunks of all come in between each other."""
    said = [event for one in ("Bru", "no") for index in (0, 1) for event in text(one, index=index)]
    knowing.transport.script("one", stream(ROLE, *said, STOP, chunk(finish="stop", index=1), DONE))
    await knowing.stream(messages=[_user()], user="ana", n=2)
    ((_, turns),) = knowing.memory.remembered
    assert [turn.content for turn in turns] == ["What is my dog called?", "Bruno"]
    assert knowing.row().completion_tokens > 1


async def test_a_streamed_answer_is_left_too(knowing: GatewayCalls) -> None:
    knowing.transport.script("one", stream(ROLE, *text("Bru", "no"), STOP, DONE))
    await knowing.stream(user="ana")
    assert [turn.content for turn in knowing.memory.remembered[0][1]][-1] == "Bruno"


NONE = [
    ({}, {}),
    ({"user": "ana", "memory": {"mode": "off"}}, {}),
    ({"user": "ana"}, {"x-cmg-memory": "off"}),
    ({"user": ""}, {}),
]


@pytest.mark.parametrize(("fields", "headers"), NONE)
async def test_without_a_user_or_with_mode_off_there_is_no_memory(
    knowing: GatewayCalls, fields: dict[str, Any], headers: dict[str, str]
) -> None:
    reply = await knowing.call(headers=headers, **fields)
    assert (knowing.memory.asked, knowing.memory.remembered) == ([], [])
    assert reply.headers["x-cmg-memory-status"] == "off"


async def test_a_key_with_memory_off_has_none_whatever_is_asked(knowing: GatewayCalls) -> None:
    key = msgspec.structs.replace(KEY, memory="off")
    await knowing.call(key, user="ana", memory={"mode": "on"})
    assert (knowing.memory.asked, knowing.memory.remembered) == ([], [])


async def test_a_key_may_share_one_memory_of_its_own(knowing: GatewayCalls) -> None:
    key = msgspec.structs.replace(KEY, memory_scope="key")
    await knowing.call(key)
    await knowing.call(key, user="ana")
    assert [scope.user_id for scope, *_ in knowing.memory.asked] == ["key:k1", "ana"]
    assert "user" not in knowing.transport.asked[0].json


@pytest.mark.parametrize(("mode", "reads", "writes"), [("read", 1, 0), ("write", 0, 1), ("on", 1, 1)])
async def test_modes_read_and_write_as_they_say(knowing: GatewayCalls, mode: str, reads: int, writes: int) -> None:
    await knowing.call(user="ana", memory={"mode": mode})
    assert (len(knowing.memory.asked), len(knowing.memory.remembered)) == (reads, writes)


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"), [(("chat", "memory:read"), 1, 0), (("chat", "memory:write"), 0, 1)]
)
async def test_memory_needs_its_scopes(knowing: GatewayCalls, scopes: tuple[str, ...], reads: int, writes: int) -> None:
    await knowing.call(msgspec.structs.replace(KEY, scopes=scopes), user="ana")
    assert (len(knowing.memory.asked), len(knowing.memory.remembered)) == (reads, writes)


async def test_a_message_marked_false_is_neither_asked_nor_kept(knowing: GatewayCalls) -> None:
    await knowing.call(messages=[_user("My secret is 81723.", memory=False)], user="ana")
    assert (knowing.memory.asked, knowing.memory.remembered) == ([], [])
    assert _sent(knowing) == [_user("My secret is 81723.")]


async def test_a_marked_message_beside_others_leaves_no_trace(knowing: GatewayCalls) -> None:
    """Neither itself nor an answer that may repeat it."""
    messages = [_user("Earlier."), {"role": "assistant", "content": "Yes."}, _user("My secret is 81723.", memory=False)]
    knowing.transport.script("one", whole(content="I keep 81723."))
    await knowing.call(messages=messages, user="ana")
    assert knowing.memory.asked == []
    kept = [turn.content for _, turns in knowing.memory.remembered for turn in turns]
    assert not [content for content in kept if "81723" in content]


async def test_text_of_parts_is_asked_and_kept(knowing: GatewayCalls) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    await knowing.call(messages=[_user([{"type": "text", "text": "Who is this?"}, image])], user="ana")
    assert knowing.memory.asked[0][1] == "Who is this?"
    assert knowing.memory.remembered[0][1][0].content == "Who is this?"
    assert _sent(knowing)[-1]["content"][1] == image


async def test_a_call_that_failed_leaves_nothing(knowing: GatewayCalls) -> None:
    knowing.transport.script("one", error(400))
    await knowing.call(user="ana")
    assert knowing.memory.remembered == []


async def test_what_was_said_before_a_cut_is_kept(knowing: GatewayCalls) -> None:
    from cmg.gateway.upstreams.transport import Truncated

    knowing.transport.script("one", stream(ROLE, *text("Bru"), 0.0, Truncated("cut")))
    await knowing.stream(user="ana")
    assert [turn.content for turn in knowing.memory.remembered[0][1]] == ["Hello there", "Bru"]


async def test_the_wish_reaches_the_memory_and_not_the_upstream(knowing: GatewayCalls) -> None:
    memory = {"token_budget": 50, "purpose": "support", "kinds": ["decision"]}
    await knowing.call(user="ana", agent_id="a", memory=memory)
    scope, _, wish = knowing.memory.asked[0]
    assert (scope.agent_id, wish["token_budget"], wish["purpose"], wish["kinds"]) == ("a", 50, "support", ["decision"])
    assert set(knowing.transport.asked[0].json) == {"model", "messages", "user"}


async def test_every_attempt_gets_the_same_note(knowing: GatewayCalls) -> None:
    knowing.transport.script("one", error(503))
    knowing.transport.script("two", whole())
    await knowing.call(user="ana", models=["two/m"])
    notes = [one.json["messages"][0]["content"] for one in knowing.transport.asked]
    assert len(notes) == 3
    assert len(set(notes)) == 1
    assert len(knowing.memory.asked) == 1


async def test_a_request_without_a_user_message_gets_no_note(knowing: GatewayCalls) -> None:
    await knowing.call(client=Client(chat_body(messages=[{"role": "system", "content": "Go."}], user="ana")))
    assert _sent(knowing) == [{"role": "system", "content": "Go."}]
