"""Items: what merges, supersedes and comes late; edits that archive; deletes that leave nothing."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from cmg.kit.errors import InvalidRequest, NotFound
from cmg.kit.turns import ITEM_KINDS
from cmg.memory.items.models import FACT_KINDS, SAID_KINDS, Changes, Gone, Kept, NewItem, Version
from cmg.memory.items.store import ItemStore
from cmg.memory.items.writing import VERSIONS, ItemWriter
from cmg.memory.models import Owner, Thread
from rooms.memory.conftest import PATIENT, START, Memory, said, scope
from support.policies import policies

ANA = Owner("default", "ana")
THREAD = Thread(ANA, "monday")
NOW = datetime.fromtimestamp(START, UTC)
DAY = timedelta(days=1)


def test_the_kinds_that_requests_may_name_are_those_that_there_are() -> None:
    assert (*SAID_KINDS, *FACT_KINDS) == ITEM_KINDS


def note(text: str, **changes) -> NewItem:
    return NewItem(**{"thread": THREAD, "kind": "memory", "content": text, "origin": "caller", **changes})


def lives_in(city: str, source: UUID, at: datetime, **changes) -> NewItem:
    quote = f"I live in {city}"
    about = {"subject": "user", "relation": "lives in", "value": city}
    drawn = {"kind": "profile", "origin": "rules", "quote": quote, "sources": (source,), "created_at": at}
    return note(quote, **{**about, **drawn, **changes})


class Items:
    """The writer with its transaction, and a look at the tables."""

    def __init__(self, memory: Memory) -> None:
        self.memory, self.writer = memory, ItemWriter(memory.clock, policies(PATIENT))

    async def put(self, *items: NewItem) -> list[Kept]:
        async with self.memory.database.transaction() as conn:
            return await self.writer.put(conn, items)

    async def edit(self, item_id: UUID, owner: Owner = ANA, **changes) -> Version:
        async with self.memory.database.transaction() as conn:
            return await self.writer.edit(conn, owner, item_id, Changes(**changes))

    async def delete(self, *ids: UUID, owner: Owner = ANA) -> Gone:
        async with self.memory.database.transaction() as conn:
            return await self.writer.delete(conn, owner, ids)

    async def history(self, item_id: UUID, owner: Owner = ANA) -> list[Version]:
        return await ItemStore().versions(self.memory.database, owner, item_id)

    async def say(self, *contents: str) -> list[UUID]:
        """Store turns a day apart; returns their ids, in order."""
        turns = [said(text, at=START + 86_400 * place)[0] for place, text in enumerate(contents)]
        await self.memory.keep(scope(), turns)
        rows = await self.memory.database.fetch("SELECT id FROM memory_turns WHERE kind = 'message' ORDER BY seq")
        return [row["id"] for row in rows][-len(contents) :]

    async def counts_are_right(self) -> bool:
        row = await self.memory.database.fetchrow(
            "SELECT u.turns, u.length, count(t.id) AS rows, coalesce(sum(t.length), 0) AS words FROM memory_users u "
            "LEFT JOIN memory_turns t USING (user_no) WHERE u.user_id = 'ana' GROUP BY u.user_no"
        )
        return (row["turns"], row["length"]) == (row["rows"], row["words"])


@pytest.fixture
def items(memory: Memory) -> Items:
    return Items(memory)


async def test_a_memory_is_kept_and_found_by_its_words(items: Items) -> None:
    (kept,) = await items.put(note("The spare key hangs behind the boiler."))
    assert (kept.outcome, await items.counts_are_right()) == ("added", True)
    found = await items.memory.recall(scope(thread="tuesday"), "Where is the spare key?")
    assert found.text is not None
    assert "behind the boiler" in found.text


async def test_what_a_caller_wrote_is_found_whatever_its_kind(items: Items) -> None:
    await items.put(note("Zed prefers green tea.", kind="preference"))
    found = await items.memory.recall(scope(thread="tuesday"), "Which tea does Zed prefer?")
    assert found.text is not None
    assert "green tea" in found.text


async def test_a_fact_that_was_drawn_is_left_to_its_turn_unless_its_kind_is_asked_for(items: Items) -> None:
    (turn,) = await items.say("Oh, and by the way: I live in Berlin.")
    await items.put(lives_in("Berlin", turn, NOW, content="The user lives in Berlin."))
    found = await items.memory.recall(scope(thread="tuesday"), "Who lives in Berlin?")
    assert found.text is not None
    assert ("by the way" in found.text, "The user lives" in found.text) == (True, False)
    found = await items.memory.recall(scope(thread="tuesday"), "Who lives in Berlin?", kinds=["profile"])
    assert found.text is not None
    assert ("by the way" in found.text, "The user lives" in found.text) == (False, True)


async def test_the_same_said_again_merges_and_counts(items: Items) -> None:
    (first,) = await items.put(note("The spare key hangs behind the boiler."))
    again = await items.put(note("the spare key  hangs behind the boiler"), note("Another thing."))
    assert [one.outcome for one in again] == ["merged", "added"]
    (version,) = await items.history(first.item_id)
    assert (version.mentions, again[0].item_id) == (2, first.item_id)
    assert version.salience > 0.5


async def test_what_a_caller_says_of_the_same_again_is_not_lost(items: Items) -> None:
    (first,) = await items.put(note("Likes plums", metadata='{"a": 1, "b": 1}', expires_at=NOW + 9 * DAY))
    (again,) = await items.put(note("Likes plums", metadata='{"b": 2}', expires_at=NOW + 5 * DAY))
    await items.put(note("likes plums."))
    (version,) = await items.history(first.item_id)
    assert (again.item_id, version.mentions) == (first.item_id, 3)
    assert (version.metadata, version.expires_at) == ('{"a": 1, "b": 2}', NOW + 5 * DAY)


async def test_what_has_expired_takes_nothing_with_it_that_is_said_again(items: Items) -> None:
    (first,) = await items.put(note("The code is 1234", expires_at=NOW + DAY))
    items.memory.clock.advance(2 * 86_400)
    (again,) = await items.put(note("The code is 1234"))
    assert (again.outcome, again.item_id == first.item_id) == ("added", False)
    found = await items.memory.recall(scope(thread="tuesday"), "What is the code?")
    assert found.text is not None
    assert "1234" in found.text


async def test_what_was_ended_and_is_said_again_is_true_again(items: Items) -> None:
    (first,) = await items.put(note("Works at Acme"))
    await items.edit(first.item_id, valid_to=NOW + DAY)
    items.memory.clock.advance(2 * 86_400)
    (again,) = await items.put(note("Works at Acme"))
    ended, current = (await items.history(first.item_id))[-2:]
    assert (again.outcome, ended.valid_to, current.valid_to) == ("superseded", NOW + DAY, None)


async def test_a_fact_drawn_twice_from_the_same_turn_is_not_doubled(items: Items) -> None:
    turn, later = await items.say("I live in Berlin.", "Did I say? I live in Berlin.")
    fact = lives_in("Berlin", turn, NOW)
    outcomes = [(await items.put(one))[0].outcome for one in (fact, fact, lives_in("Berlin", later, NOW + DAY), fact)]
    assert outcomes == ["added", "known", "merged", "known"]
    (version,) = await items.history((await items.put(fact))[0].item_id)
    assert (version.mentions, sorted(version.sources)) == (2, sorted([turn, later]))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quote": "I live in Rome"}, "quote"),
        ({"quote": None}, "quote"),
        ({"sources": ()}, "sources"),
        ({"sources": (UUID(int=7),)}, "source"),
        ({"content": "  "}, "characters"),
        ({"thread": Thread(Owner("default", "ben"), "monday")}, "source"),
        ({"thread": Thread(Owner("other", "ana"), "monday")}, "source"),
    ],
)
async def test_a_fact_without_its_words_in_a_source_of_its_user_is_refused(items: Items, changes, reason: str) -> None:
    (turn,) = await items.say("By the way,\n  I  live in Berlin.")
    (kept,) = await items.put(lives_in("Berlin", turn, NOW, **changes))
    assert (kept.item_id, kept.outcome) == (None, "refused")
    assert reason in (kept.reason or "")
    assert (await items.put(lives_in("Berlin", turn, NOW)))[0].outcome == "added"


async def test_a_new_value_supersedes_and_keeps_the_id_and_the_history(items: Items) -> None:
    turns = await items.say("I live in Berlin.", "I live in Paris now.")
    (old,) = await items.put(lives_in("Berlin", turns[0], NOW))
    items.memory.clock.advance(2 * 86_400)
    (new,) = await items.put(lives_in("Paris", turns[1], NOW + DAY))
    assert (new.outcome, new.item_id) == ("superseded", old.item_id)
    before, current = await items.history(old.item_id)
    assert (before.content, before.valid_to, before.retired_at) == ("I live in Berlin", NOW + DAY, NOW + 2 * DAY)
    assert (current.content, current.retired_at, current.id) == ("I live in Paris", None, old.item_id)
    assert ([before.version, current.version], before.sources, current.sources) == ([1, 2], turns[:1], turns[1:])
    assert await items.history(before.id) == [before, current]
    assert await items.counts_are_right()
    rerun = await items.put(lives_in("Berlin", turns[0], NOW), lives_in("Paris", turns[1], NOW + DAY))
    assert [one.outcome for one in rerun] == ["known", "known"]


async def test_a_late_word_about_the_past_becomes_an_earlier_version(items: Items) -> None:
    turns = await items.say("I live in Berlin.", "I live in Rome.", "I live in Paris.")
    await items.put(lives_in("Berlin", turns[0], NOW))
    (paris,) = await items.put(lives_in("Paris", turns[2], NOW + 2 * DAY))
    (rome,) = await items.put(lives_in("Rome", turns[1], NOW + DAY))
    assert rome.outcome == "archived"
    versions = await items.history(paris.item_id)
    assert [(one.value, one.valid_to) for one in versions] == [
        ("Berlin", NOW + DAY),
        ("Rome", NOW + 2 * DAY),
        ("Paris", None),
    ]
    assert sorted(one.version for one in versions) == [1, 2, 3]
    assert versions[-1].version == 3
    assert (await items.put(lives_in("Rome", turns[1], NOW + DAY)))[0].outcome == "known"
    assert await items.counts_are_right()


async def test_a_value_that_comes_back_is_current_again(items: Items) -> None:
    turns = await items.say("I live in Berlin.", "I live in Paris.", "I live in Berlin again.")
    for place, city in enumerate(("Berlin", "Paris", "Berlin")):
        (kept,) = await items.put(lives_in(city, turns[place], NOW + place * DAY))
    assert [one.value for one in await items.history(kept.item_id)] == ["Berlin", "Paris", "Berlin"]


async def test_an_edited_turn_keeps_what_it_was_and_loses_what_was_drawn_from_its_words(items: Items) -> None:
    (turn,) = await items.say("I live in Berlin. The dog is called Bruno.")
    (city,) = await items.put(lives_in("Berlin", turn, NOW))
    dog = {"kind": "profile", "origin": "rules", "quote": "The dog is called Bruno", "sources": (turn,)}
    (kept,) = await items.put(note("The dog is called Bruno", **dog))
    items.memory.clock.advance(60)
    edited = await items.edit(turn, content="I live in Bern. The dog is called Bruno.", metadata='{"a": 1}')
    assert (edited.id, edited.origin, edited.version, edited.metadata) == (turn, "caller", 2, '{"a": 1}')
    before, _ = await items.history(turn)
    assert (before.content, before.origin) == ("I live in Berlin. The dog is called Bruno.", "said")
    assert await items.history(city.item_id) == []
    assert (await items.history(kept.item_id))[0].sources == [turn]
    assert await items.counts_are_right()
    again = await items.memory.keep(scope(), said("I live in Berlin. The dog is called Bruno.", at=START))
    assert (again, (await items.history(turn))[-1].content) == (None, edited.content)


async def test_only_the_current_version_of_an_own_item_is_edited(items: Items) -> None:
    (kept,) = await items.put(note("The code is 1234."))
    await items.edit(kept.item_id, content="The code is 9876.")
    archived = (await items.history(kept.item_id))[0].id
    for item_id, owner in ((archived, ANA), (kept.item_id, Owner("default", "ben")), (kept.item_id, Owner("b", "ana"))):
        with pytest.raises(NotFound):
            await items.edit(item_id, owner, content="Nothing.")
    for wrong in ({}, {"content": " "}, {"content": "x" * 8001}):
        with pytest.raises(InvalidRequest):
            await items.edit(kept.item_id, **wrong)


async def test_deleting_a_turn_deletes_what_came_from_it_alone(items: Items) -> None:
    turns = await items.say("I live in Berlin.", "I live in Berlin, really.", "I have a boat")
    (kept,) = await items.put(lives_in("Berlin", turns[0], NOW))
    await items.put(lives_in("Berlin", turns[1], NOW))
    boat = {"kind": "profile", "origin": "rules", "quote": "I have a boat", "sources": (turns[2],)}
    (other,) = await items.put(note("I have a boat", **boat))
    assert await items.delete(turns[0], turns[2], owner=Owner("default", "ben")) == (0, 0, 0)
    assert await items.delete(turns[0], turns[2]) == (3, 2, 1)
    assert ((await items.history(kept.item_id))[0].sources, await items.history(other.item_id)) == (turns[1:2], [])
    assert await items.delete(turns[1]) == (2, 1, 1)
    assert await items.memory.contents() == []
    assert await items.memory.database.fetchval("SELECT count(*) FROM memory_facts") == 0
    assert await items.counts_are_right()


async def test_deleting_the_newest_word_makes_the_one_before_current_again(items: Items) -> None:
    turns = await items.say("I live in Berlin.", "I live in Paris.")
    for place, city in enumerate(("Berlin", "Paris")):
        (kept,) = await items.put(lives_in(city, turns[place], NOW + place * DAY))
    assert await items.delete(turns[1]) == (2, 1, 1)
    assert await items.history(kept.item_id) == []
    rows = await items.memory.database.fetch("SELECT item_id FROM memory_facts")
    (berlin,) = await items.history(rows[0]["item_id"])
    assert (berlin.value, berlin.retired_at, berlin.valid_to, berlin.root_id) == ("Berlin", None, None, berlin.id)
    assert (await items.put(lives_in("Berlin", turns[0], NOW)))[0].outcome == "known"


async def test_deleting_an_item_deletes_all_its_versions(items: Items) -> None:
    (kept,) = await items.put(note("The code is 1234."))
    await items.edit(kept.item_id, content="The code is 9876.")
    assert await items.delete(kept.item_id) == (2, 0, 1)
    assert await items.memory.contents() == []


async def test_an_edited_turn_is_one_turn_when_it_is_deleted(items: Items) -> None:
    (turn,) = await items.say("The code is 1234.")
    await items.edit(turn, content="The code is 9876.")
    await items.edit(turn, content="The code is 5555.")
    assert await items.delete(turn) == (3, 1, 0)
    assert await items.memory.contents() == []
    assert await items.counts_are_right()


async def test_a_history_is_bounded(items: Items) -> None:
    (kept,) = await items.put(note("Number 0"))
    for number in range(1, VERSIONS + 3):
        await items.edit(kept.item_id, content=f"Number {number}")
    versions = await items.history(kept.item_id)
    assert (len(versions), versions[-1].content) == (VERSIONS, f"Number {VERSIONS + 2}")
    assert await items.counts_are_right()


async def test_writers_of_one_user_wait_for_each_other(items: Items) -> None:
    await items.say("hello")
    kept = await asyncio.gather(*(items.put(note("The same thing.")) for _ in range(8)))
    assert sorted(one.outcome for (one,) in kept) == ["added", *["merged"] * 7]
    assert len({one.item_id for (one,) in kept}) == 1
