"""Vectors of what is written, edited and deleted one by one: always those of the present text, and nothing is left."""

from datetime import timedelta
from uuid import UUID

import pytest

from cmg.memory.control.removal import Removal
from cmg.memory.items.models import Changes, NewItem
from cmg.memory.items.writing import ItemWriter
from cmg.memory.models import Owner, Thread
from cmg.memory.vectors.windows import Spoken, window
from rooms.memory.vectors.conftest import EMBEDDED, UNEMBEDDED, Desk
from support.policies import policies

ANA = Owner("default", "ana")
LEASE = timedelta(seconds=60)
SAID = ("I have a dog", "it is called Rex", "we walk by the river")


class Writing:
    """Puts, edits and deletes as a service with an embedder does, or one without."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def put(self, content: str, **changes) -> UUID:
        item = {"thread": Thread(ANA, "t"), "kind": "memory", "content": content, "origin": "caller", **changes}
        async with self.desk.database.transaction() as conn:
            (kept,) = await ItemWriter(self.desk.clock, policies(EMBEDDED)).put(conn, [NewItem(**item)])
        return kept.item_id

    async def edit(self, item_id: UUID, content: str, *, embedded: bool = True) -> None:
        async with self.desk.database.transaction() as conn:
            writer = ItemWriter(self.desk.clock, policies(EMBEDDED if embedded else UNEMBEDDED))
            await writer.edit(conn, ANA, item_id, Changes(content=content))

    async def delete(self, item_id: UUID) -> None:
        async with self.desk.database.transaction() as conn:
            await ItemWriter(self.desk.clock, policies(EMBEDDED)).delete(conn, ANA, [item_id])

    async def id_of(self, content: str) -> UUID:
        return await self.desk.database.fetchval("SELECT id FROM memory_turns WHERE content = $1", content)


@pytest.fixture
def writing(desk: Desk) -> Writing:
    return Writing(desk)


def _like(desk: Desk, text: str) -> object:
    return pytest.approx(desk.embedder.engine.embed(text).tolist(), abs=2e-3)


def _window(*contents: str | None) -> str | None:
    before, own, after = (None if one is None else Spoken("Ana", one) for one in contents)
    return window(before, own, after)


async def test_an_item_gets_a_vector_and_is_nobodys_neighbour(desk: Desk, writing: Writing) -> None:
    await desk.write(SAID[0])
    await writing.put("Rex is afraid of thunder.")
    await desk.write(SAID[1])
    await desk.work()
    found = await desk.vectors()
    assert found["Rex is afraid of thunder."] == (_like(desk, "Rex is afraid of thunder."), None)
    assert found[SAID[0]][1] == _like(desk, _window(None, *SAID[:2]))
    assert found[SAID[1]][1] == _like(desk, _window(*SAID[:2], None))


async def test_an_edited_turn_and_its_neighbours_windows_are_embedded_anew(desk: Desk, writing: Writing) -> None:
    await desk.write(*SAID)
    await desk.work()
    edited = await writing.id_of(SAID[1])
    await writing.edit(edited, "it is called Max")
    assert SAID[1] not in await desk.vectors()
    await desk.work()
    found = await desk.vectors()
    assert found["it is called Max"][0] == _like(desk, "Ana: it is called Max")
    assert found[SAID[0]][1] == _like(desk, _window(None, SAID[0], "it is called Max"))
    assert found[SAID[2]][1] == _like(desk, _window("it is called Max", SAID[2], None))
    assert found[SAID[1]] == (_like(desk, f"Ana: {SAID[1]}"), None), "an earlier version is found as of then"


async def test_a_superseded_fact_gets_the_vector_of_what_is_true_now(desk: Desk, writing: Writing) -> None:
    about = {"kind": "profile", "subject": "user", "relation": "lives in"}
    first = await writing.put("I live in Rome", **about, value="Rome")
    await desk.work()
    desk.clock.advance(60)
    assert await writing.put("I live in Oslo", **about, value="Oslo") == first
    await desk.work()
    found = await desk.vectors()
    assert {content: own for content, (own, _) in found.items()} == {
        "I live in Oslo": _like(desk, "I live in Oslo"),
        "I live in Rome": _like(desk, "I live in Rome"),
    }


async def test_what_is_deleted_leaves_no_vector_and_stands_in_no_window(desk: Desk, writing: Writing) -> None:
    await desk.write(*SAID)
    await desk.work()
    await writing.delete(await writing.id_of(SAID[1]))
    assert all(around is None for _, around in (await desk.vectors()).values())
    await desk.work()
    found = await desk.vectors()
    assert set(found) == {SAID[0], SAID[2]}
    assert found[SAID[0]][1] == _like(desk, _window(None, SAID[0], SAID[2]))
    await writing.put("Rex is afraid of thunder.")
    for content in (SAID[0], SAID[2], "Rex is afraid of thunder."):
        await writing.delete(await writing.id_of(content))
    for table in ("memory_turns", "memory_vectors", "memory_unembedded"):
        assert await desk.rows(f"SELECT * FROM {table}") == [], table


async def test_an_erasure_takes_vectors_and_what_waits_for_one_or_was_refused(desk: Desk, writing: Writing) -> None:
    desk.embedder.refused = "poison"
    await desk.write(*SAID, "poison ivy")
    await desk.write("Bob's own words", user="bob")
    await writing.put("Rex is afraid of thunder.")
    for _ in range(4):
        await desk.work()
        desk.clock.advance(10)
    await desk.write("it waits")
    tables = ("memory_vectors", "memory_unembedded", "memory_unembeddable")
    assert [len(await desk.rows(f"SELECT * FROM {table}")) for table in tables] == [5, 1, 1]
    await Removal(desk.database, ItemWriter(desk.clock, policies(EMBEDDED)), desk.clock).forget(ANA)
    await desk.work()
    assert [len(await desk.rows(f"SELECT * FROM {table}")) for table in tables] == [1, 0, 0]
    assert list(await desk.vectors()) == ["Bob's own words"]


async def test_an_item_that_was_refused_is_tried_again_when_it_is_edited(desk: Desk, writing: Writing) -> None:
    desk.embedder.refused = "poison"
    item = await writing.put("poison ivy")
    for _ in range(4):
        await desk.work()
        desk.clock.advance(10)
    assert len(await desk.rows("SELECT * FROM memory_unembeddable")) == 1
    await writing.edit(item, "ivy")
    await desk.work()
    assert "ivy" in await desk.vectors()
    await writing.delete(item)
    assert await desk.rows("SELECT * FROM memory_unembeddable") == []


@pytest.mark.parametrize("edited", [SAID[0], SAID[1]])
async def test_an_edit_while_a_turn_is_embedded_is_not_overlooked(desk: Desk, writing: Writing, edited: str) -> None:
    await desk.write(*SAID[:2])
    await desk.backlog._described()
    until = desk.clock.now() + LEASE
    claimed = await desk.store.claim(desk.clock.now(), LEASE, 10)
    early = await desk.backlog._vectors(await desk.store.passages(claimed, desk.backlog._model_no))
    await writing.edit(await writing.id_of(edited), "something else")
    await desk.store.keep(early, desk.backlog._model_no, 5000, until)
    await desk.work()
    now = ["something else" if one == edited else one for one in SAID[:2]]
    found = await desk.vectors()
    assert found[now[0]] == (_like(desk, f"Ana: {now[0]}"), _like(desk, _window(None, *now)))
    assert found[now[1]] == (_like(desk, f"Ana: {now[1]}"), _like(desk, _window(*now, None)))
    assert await desk.waiting() == 0


async def test_what_is_edited_without_an_embedder_gets_its_vectors_when_there_is_one(
    desk: Desk, writing: Writing
) -> None:
    await desk.write(*SAID)
    await desk.work()
    await writing.edit(await writing.id_of(SAID[1]), "it is called Max", embedded=False)
    assert await desk.waiting() == 0
    await desk.work(desk.another(desk.embedder))
    found = await desk.vectors()
    assert found["it is called Max"][0] == _like(desk, "Ana: it is called Max")
    assert found[SAID[0]][1] == _like(desk, _window(None, SAID[0], "it is called Max"))
