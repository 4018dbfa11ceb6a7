"""What is kept of calls: every turn once, whatever the client sends again."""

import asyncio

import msgspec
import pytest

from cmg.kit.turns import NOTE_MARK, Turn
from cmg.memory.models import TurnBatch
from rooms.memory.conftest import START, Memory, said, scope

HISTORY = [Turn("user", "Is he big?", START), Turn("assistant", "Rather.", START), Turn("user", "Is he old?", START)]


def _contents(payload: bytes) -> list[str]:
    return [turn.content for turn in msgspec.msgpack.decode(payload, type=TurnBatch).turns]


async def test_a_history_sent_again_is_stored_once(memory: Memory) -> None:
    await memory.keep(scope(), HISTORY)
    await memory.keep(scope(), [*HISTORY, Turn("assistant", "Nine.", START + 9), *said("Nine what?")])
    assert await memory.contents() == ["Is he big?", "Rather.", "Is he old?", "Nine.", "Nine what?"]


async def test_another_process_that_gets_the_history_stores_it_once_too(memory: Memory, instruments) -> None:
    await memory.keep(scope(), HISTORY)
    other = Memory(memory.database, memory.clock, instruments, memory.spool)
    await other.keep(scope(), [*HISTORY, Turn("assistant", "Nine.", START)])
    assert await memory.contents() == ["Is he big?", "Rather.", "Is he old?", "Nine."]


async def test_the_same_words_said_twice_are_two_turns(memory: Memory) -> None:
    twice = [*said("Yes"), Turn("assistant", "Sure?", START), *said("Yes"), Turn("assistant", "Good.", START)]
    await memory.keep(scope(), twice)
    await memory.keep(scope(), [*twice, *said("Yes")])
    assert (await memory.contents()).count("Yes") == 3


async def test_a_client_that_sends_only_the_end_of_its_history_doubles_nothing(memory: Memory) -> None:
    turns = [Turn(("user", "assistant")[place % 2], f"Sentence number {place}.", START + place) for place in range(12)]
    for end in range(2, 13, 2):
        await memory.keep(scope(), turns[max(0, end - 4) : end])
    assert await memory.contents() == [turn.content for turn in turns]


async def test_an_edited_message_is_stored_beside_the_old_one_and_the_rest_only_once(memory: Memory) -> None:
    await memory.keep(scope(), HISTORY)
    edited = [Turn("user", "Is he huge?", START), *HISTORY[1:]]
    await memory.keep(scope(), edited)
    assert sorted(await memory.contents()) == ["Is he big?", "Is he huge?", "Is he old?", "Rather."]


async def test_a_history_that_was_journalled_is_not_journalled_again(memory: Memory) -> None:
    (first,) = memory.remember(scope(), HISTORY)
    (second,) = memory.remember(scope(), [*HISTORY, Turn("assistant", "Nine.", START)])
    assert (_contents(first), _contents(second)) == (["Is he big?", "Rather.", "Is he old?"], ["Nine."])


async def test_a_history_whose_append_failed_is_journalled_with_the_next_call(memory: Memory) -> None:
    memory.service.remember(scope(), HISTORY)
    (payload,) = memory.remember(scope(), [*HISTORY, Turn("assistant", "Nine.", START)])
    assert _contents(payload)[0] == "Is he big?"


@pytest.mark.parametrize("role", ["system", "developer", "tool", "function"])
async def test_only_users_and_assistants_are_remembered(memory: Memory, role: str) -> None:
    assert memory.remember(scope(), [Turn(role, "You are a pirate.", START)]) == []


async def test_an_injected_note_is_never_stored(memory: Memory) -> None:
    note = Turn("user", f"{NOTE_MARK}\n- my dog is Bruno", START)
    parrot = Turn("assistant", f"I was told: {NOTE_MARK} - my dog is Bruno", START)
    assert memory.remember(scope(), [note, parrot]) == []


async def test_a_payload_that_comes_again_changes_nothing(memory: Memory) -> None:
    payloads = memory.remember(scope(), HISTORY)
    await memory.drain()
    memory.payloads = list(payloads) * 2
    await memory.drain()
    assert len(await memory.contents()) == 3


POISON = [
    "nul \x00 inside",
    "\x00",
    "\ud800 lone",
    "\u202etxt.exe",
    "a" * 200_000,
    "\\u0000",
    "'; DROP TABLE memory_turns;--",
]


async def test_odd_contents_do_not_poison_a_batch(memory: Memory) -> None:
    for number, content in enumerate(POISON):
        memory.remember(scope(thread=f"t{number}"), said(content))
    memory.remember(scope(user="u" * 5000, thread="\x00"), said("long name"))
    memory.remember(scope(thread="times"), [Turn("user", "when", at, "n\x00") for at in (float("nan"), -1e300, 1e300)])
    await memory.drain()
    stored = "".join(await memory.contents())
    assert "nul  inside" in stored
    assert await memory.contents("u" * 5000) == []  # the id is shortened, the same way for reading and writing
    found = await memory.recall(scope(user="u" * 5000), "long name")
    assert found.items == 1


async def test_drains_beside_each_other_store_each_turn_once(memory: Memory) -> None:
    payloads = [
        payload
        for user in ("ana", "ben", "cid")
        for payload in memory.remember(scope(user), said(*(f"turn {number} of {user}" for number in range(5))))
    ]

    async def drain(order: list[bytes]) -> None:
        async with memory.database.transaction() as conn:
            await memory.sink.write(conn, order)

    await asyncio.gather(*(drain(payloads if number % 2 else payloads[::-1]) for number in range(4)))
    assert [len(await memory.contents(user)) for user in ("ana", "ben", "cid")] == [5, 5, 5]


async def test_a_long_answer_is_kept_in_passages(memory: Memory) -> None:
    answer = "\n\n".join(f"Paragraph {number} speaks of topic{number}. " + "filler words " * 30 for number in range(8))
    await memory.keep(scope(), [Turn("assistant", answer, START)])
    stored = await memory.contents()
    assert len(stored) > 3
    assert max(len(passage) for passage in stored) <= 1000
    found = await memory.recall(scope(), "what about topic5")
    assert found.text is not None
    assert "topic5" in found.text
