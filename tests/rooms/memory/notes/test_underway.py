"""What is journalled and not stored yet: it is in the next note, as it would be once it is stored."""

import asyncio
import os

import msgspec
import pytest

from cmg.kit.turns import Recollection
from cmg.ledger.spool.wakeup import Ear
from cmg.memory.control.tombstone_store import bury
from cmg.memory.models import Owner, owner_of
from cmg.memory.notes import underway as underway_module
from cmg.memory.text.redaction import Redactor
from rooms.memory.conftest import START, Memory, policies, said, scope

DOG, CAT = "My dog is called Bruno and he loves the lake.", "My cat is called Mia."
ASK = "What is my cat called?"
ANA = owner_of("default", "ana")
FILLER = [f"In week {number} we talked about the garden of house {number}." for number in range(620)]


@pytest.fixture(autouse=True)
async def standing_still(memory: Memory) -> None:
    """The user is known, and the drain takes nothing more."""
    await memory.keep(scope(), said(DOG))


async def asked(memory: Memory, **options) -> Recollection:
    return await memory.recall(scope(thread="x"), ASK, **options)


def held(memory: Memory, key_id: str | None = None) -> list[str]:
    """What is on its way, as a key gets it."""
    batches = memory.service._underway.of(ANA, key_id, Redactor())
    return [turn.content for batch in batches for turn in batch.turns]


@pytest.mark.parametrize("others", [[], FILLER], ids=["all are ranked", "candidates are ranked"])
async def test_what_is_on_its_way_is_in_the_note_and_once_it_is_stored_the_same(
    memory: Memory, others: list[str]
) -> None:
    await memory.keep(scope(thread="long"), said(*others, at=START - 10_000))
    memory.remember(scope(thread="cats"), said(CAT, name="Ana", at=START + 60))
    before = await asked(memory)
    assert before.text is not None
    assert f'Ana (user), thread "cats": "{CAT}"' in before.text
    await memory.drain()
    after = await asked(memory)
    assert (after.text, after.items, after.tokens) == (before.text, before.items, before.tokens)
    assert after.ids == before.ids


async def test_what_is_on_its_way_is_ranked_and_not_just_added(memory: Memory) -> None:
    memory.remember(scope(thread="other"), said("The train to Lisbon leaves at nine."))
    found = await memory.recall(scope(thread="x"), "What is my dog called?")
    assert found.text is not None
    assert "Bruno" in found.text
    assert "Lisbon" not in found.text


async def test_several_turns_on_their_way_are_neighbours_in_their_thread(memory: Memory) -> None:
    for number in range(30):
        await memory.keep(scope(thread=f"t{number}"), said(*FILLER[number * 2 : number * 2 + 2]))
    question = "Which day does the vet see the cat?"
    memory.remember(scope(thread="vet"), [*said(question), *said("On Monday at nine.", role="assistant", at=START + 1)])
    before = await memory.recall(scope(thread="x"), question)
    assert before.text is not None
    assert "Monday at nine" in before.text
    await memory.drain()
    assert (await memory.recall(scope(thread="x"), question)).text == before.text


async def test_what_the_request_holds_is_not_repeated(memory: Memory) -> None:
    memory.remember(scope(), said(CAT))
    assert CAT not in ((await asked(memory, present=[CAT])).text or "")


async def test_kinds_are_of_what_is_stored(memory: Memory) -> None:
    memory.remember(scope(), said(CAT))
    assert (await asked(memory, kinds=["document"])).items == 0


async def test_what_somebody_deleted_does_not_come_back_while_it_is_on_its_way(memory: Memory) -> None:
    await memory.keep(scope(thread="cats"), said(CAT))
    row = await memory.database.fetchrow("SELECT id, workspace_id FROM memory_turns WHERE content = $1", CAT)
    await memory.database.execute("DELETE FROM memory_turns WHERE id = $1", row["id"])
    columns = "(item_id, workspace_id, user_no, deleted_at)"
    mark = f"INSERT INTO memory_deleted {columns} SELECT $1, $2, user_no, $3 FROM memory_users WHERE user_id = 'ana'"
    await memory.database.execute(mark, row["id"], row["workspace_id"], memory.clock.now())
    memory.service._heads.clear()  # another worker sends the history again
    memory.remember(scope(thread="cats"), said(CAT))
    assert held(memory) == [CAT]
    assert CAT not in ((await asked(memory)).text or "")


async def test_what_was_said_before_an_erasure_does_not_come_back_while_it_is_on_its_way(memory: Memory) -> None:
    memory.remember(scope(), said(CAT))
    memory.clock.advance(1)
    async with memory.database.transaction() as conn:
        await bury(conn, ANA, memory.clock.now())
    assert held(memory) == [CAT]
    assert CAT not in ((await asked(memory)).text or "")
    memory.clock.advance(1)
    memory.remember(scope(), said("My bird is called Pip."))
    found = await memory.recall(scope(thread="x"), "What is my bird called?")
    assert "Pip" in (found.text or "")
    assert "Mia" not in (found.text or "")


async def test_secrets_are_taken_out_before_they_are_stored_or_noted(memory: Memory) -> None:
    memory.service.policies = policies(msgspec.structs.replace(memory.service.policies.settings, redact=("email",)))
    memory.remember(scope(), said("My cat writes to mia@example.org.", name="ana@example.org"))
    found = await memory.recall(scope(thread="x"), "To whom does my cat write?")
    assert found.text is not None
    assert "[redacted:email]" in found.text
    assert "ana@example.org" not in found.text


async def test_another_users_words_on_their_way_are_nobody_elses(memory: Memory) -> None:
    await memory.keep(scope(user="ben"), said("I have a bird."))
    memory.remember(scope(), said(CAT))
    found = await memory.recall(scope(user="ben", thread="x"), ASK)
    assert "Mia" not in (found.text or "")


async def test_what_another_key_said_is_not_handed_out_while_keys_do_not_share(memory: Memory) -> None:
    memory.remember(msgspec.structs.replace(scope(), key_id="other"), said(CAT))
    assert held(memory, "mine") == []
    assert held(memory, "other") == held(memory) == [CAT]


async def test_what_is_stored_is_let_go(memory: Memory) -> None:
    memory.remember(scope(), said(CAT))
    await memory.drain()
    memory.remember(scope(user="ben"), said("I have a bird."))
    assert held(memory) == []
    assert [one.owner for one in memory.service._underway._kept] == [Owner("default", "ben")]


async def test_much_on_its_way_wakes_the_drain(memory: Memory) -> None:
    ear = Ear(memory.spool)
    ear.heard(asyncio.Event())  # what was rung before
    memory.remember(scope(), said(CAT))
    held(memory)
    with pytest.raises(BlockingIOError):
        os.read(ear.descriptor, 8)
    memory.remember(scope(), said("a story " * 800))
    held(memory)
    assert os.read(ear.descriptor, 8)
    ear.close()


async def test_long_turns_are_waited_for(memory: Memory) -> None:
    memory.remember(scope(), said("a long story " * 800))
    memory.remember(scope(), said(CAT))
    assert len(held(memory)) == 2
    memory.remember(scope(), said("another long story " * 800))
    assert held(memory) == []
    memory.remember(scope(), said("the longest story " * 2000))
    memory.remember(scope(), said("My dog is asleep."))
    assert held(memory) == []
    await memory.drain()
    memory.remember(scope(), said("My bird is called Pip."))
    assert held(memory) == ["My bird is called Pip."]


async def test_so_many_are_held_and_without_the_oldest_none_is_handed_out(memory: Memory, monkeypatch) -> None:
    monkeypatch.setattr(underway_module, "MOST", 2)
    for number in range(3):
        memory.remember(scope(thread=f"t{number}"), said(f"cat number {number}"))
    assert len(memory.service._underway._kept) == 2
    assert held(memory) == []
    await memory.drain()
    memory.remember(scope(), said(CAT))
    assert held(memory) == [CAT]


async def test_after_an_erasure_nothing_is_held(memory: Memory) -> None:
    memory.remember(scope(), said(CAT))
    await memory.service.forget(["ana"])
    assert not memory.service._underway._kept
    assert held(memory) == []
