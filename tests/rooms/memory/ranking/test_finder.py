"""Finding on the real database: everything of a usual user, candidates of one with very many passages."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import pytest

from cmg.memory.embedding.embedder import as_text
from cmg.memory.embedding.query_embedder import QueryVector
from cmg.memory.models import Filters, Owner, UserOfAnotherKey
from cmg.memory.ranking import finder as finder_module
from cmg.memory.ranking import store as store_module
from cmg.memory.ranking.finder import Finder, Wanted
from cmg.memory.vectors.index_store import index_name
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from rooms.memory.vectors.conftest import Desk

ANA = Owner("default", "ana")
WORDS = ["river", "bridge", "tower", "garden", "window", "letter", "engine", "market", "winter", "doctor", "forest"]


class Questions:
    """Gives a question its vector by the desk's embedder, unless it is away."""

    def __init__(self, desk: Desk, model_no: int) -> None:
        self.desk, self.model_no, self.asked, self.begun = desk, model_no, [""], [""]

    def begin(self, text: str) -> None:
        self.begun.append(text)

    async def vector(self, text: str, _timeout_s: float) -> QueryVector | None:
        self.asked.append(text)
        if self.desk.embedder.away:
            return None
        return QueryVector(self.model_no, as_text(self.desk.embedder.engine.embed(text)))

    async def vectors(self, text: str, timeout_s: float) -> list[QueryVector]:
        found = await self.vector(text, timeout_s)
        return [] if found is None else [found]


async def finder_of(desk: Desk) -> tuple[Finder, Questions]:
    model_no = await desk.database.fetchval("SELECT max(model_no) FROM memory_models")
    questions = Questions(desk, model_no or 0)
    return Finder(desk.database, questions, desk.clock, 5.0), questions


async def contents(finder: Finder, query: str, limit: int = 5, **more: object) -> list[str]:
    hits = await finder.find(Wanted(owner=ANA, query=query, limit=limit, **more), 20)
    return [hit.content for hit in hits]


async def test_what_means_the_same_is_found_without_a_word_in_common(desk: Desk):
    await desk.write("The physician examined my knee.", "We painted the fence green.", "Rain fell all of Sunday.")
    await desk.work()
    finder, _ = await finder_of(desk)
    assert (await contents(finder, "doctors and hospitals"))[0] == "The physician examined my knee."


async def test_a_question_of_a_user_not_met_before_is_embedded_while_the_user_is_looked_up(desk: Desk):
    await desk.write("The physician examined my knee.")
    await desk.work()
    finder, questions = await finder_of(desk)
    for _ in range(2):
        await contents(finder, "doctors and hospitals")
    assert questions.begun == ["", "doctors and hospitals"]
    assert questions.asked == ["", "doctors and hospitals", "doctors and hospitals"]


async def test_what_holds_the_kind_of_answer_that_is_asked_for_comes_first(desk: Desk):
    said = ("We painted the fence, and it was nice.", "We painted the fence a week ago.")
    await desk.write(*reversed(said))
    finder, _ = await finder_of(desk)
    for limits in ({}, {"token_budget": 100}):
        assert await contents(finder, "the painted fence", **limits) == list(said)
        assert await contents(finder, "When did we paint the fence?", **limits) == list(reversed(said))
        assert len(await contents(finder, "When did we paint the fence?", limit=1, **limits)) == 1


async def test_without_a_vector_words_find(desk: Desk):
    await desk.write("The physician examined my knee.", "We painted the fence green.")
    await desk.work()
    desk.embedder.away = True
    finder, _ = await finder_of(desk)
    assert (await contents(finder, "which fence"))[0] == "We painted the fence green."
    assert await contents(finder, "doctors and hospitals") == []


async def test_the_embedder_is_asked_without_the_names_of_those_who_take_part(desk: Desk):
    await desk.write("I moved to Lisbon.")  # the desk writes as Ana
    await desk.work()
    finder, questions = await finder_of(desk)
    await contents(finder, "Where does Ana live?")
    assert questions.asked[-1] == "Where does someone live?"


@pytest.mark.parametrize("every", [1, 4000], ids=["candidates", "all"])
async def test_who_takes_part_since_the_last_question_counts_at_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, every: int
):
    monkeypatch.setattr(finder_module, "SEARCH", finder_module.SEARCH._replace(every=every))
    await desk.write("I moved to Lisbon.", "It is warm.")
    await desk.work()
    finder, questions = await finder_of(desk)
    await contents(finder, "Where does Benedict live?")
    await desk.write("I moved to Porto.", name="Benedict")
    await desk.work()
    assert (await contents(finder, "Where did Benedict move?"))[0] == "I moved to Porto."
    assert questions.asked[-2:] == ["Where did Benedict move?", "Where did someone move?"]
    await contents(finder, "Where did Benedict move?")
    assert questions.asked[-2:] == [
        "Where did someone move?",
        "Where did someone move?",
    ]  # known now, so it is asked once


async def test_who_was_forgotten_is_asked_for_anew(desk: Desk):
    await desk.write("I moved to Lisbon.")
    await desk.database.execute("UPDATE memory_users SET key_id = 'one'")
    finder, _ = await finder_of(desk)
    assert await contents(finder, "Lisbon", key_id="one") == ["I moved to Lisbon."]
    with pytest.raises(UserOfAnotherKey):
        await contents(finder, "Lisbon", key_id="two")
    await desk.database.execute("DELETE FROM memory_turns")
    await desk.database.execute("DELETE FROM memory_threads")
    await desk.database.execute("DELETE FROM memory_users")
    await desk.write("I moved to Porto.")
    await desk.database.execute("UPDATE memory_users SET key_id = 'two'")
    assert await contents(finder, "Lisbon Porto", key_id="two") == ["I moved to Porto."]
    with pytest.raises(UserOfAnotherKey):
        await contents(finder, "Lisbon", key_id="one")


async def test_what_was_known_then_leaves_out_what_came_later(desk: Desk):
    await desk.write("The fence is green.")
    before = datetime.fromtimestamp(desk.clock.time() + 1, UTC)
    desk.clock.advance(3600)
    await desk.write("The fence is red.")
    finder, _ = await finder_of(desk)
    assert set(await contents(finder, "which colour has the fence")) == {"The fence is green.", "The fence is red."}
    assert await contents(finder, "the fence", filters=Filters(as_of=before)) == ["The fence is green."]


async def test_what_was_known_then_leaves_out_what_had_ended_and_holds_what_was_not_known_to_end(desk: Desk):
    await desk.write("The fence is green.", "The fence is red.")
    written = desk.clock.now()
    desk.clock.advance(3600)
    now = desk.clock.now()
    ended = "UPDATE memory_turns SET valid_to = $1, retired_at = $2 WHERE content LIKE $3"
    await desk.database.execute(ended, now, None, "%green.")
    await desk.database.execute(ended, written - timedelta(days=9), now, "%red.")  # a word about the past came now
    finder, _ = await finder_of(desk)
    before, after = Filters(as_of=now - timedelta(minutes=1)), Filters(as_of=now + timedelta(minutes=1))
    assert set(await contents(finder, "the fence", filters=before)) == {"The fence is green.", "The fence is red."}
    assert await contents(finder, "the fence", filters=after) == await contents(finder, "the fence") == []


async def test_what_expired_or_was_replaced_is_not_found(desk: Desk):
    await desk.write("The fence is green.", "The fence is red.", "The fence is blue.")
    await desk.database.execute(
        "UPDATE memory_turns SET expires_at = $1 WHERE content LIKE '%green.'", desk.clock.now()
    )
    await desk.database.execute("UPDATE memory_turns SET retired_at = $1 WHERE content LIKE '%red.'", desk.clock.now())
    finder, _ = await finder_of(desk)
    assert await contents(finder, "the fence") == ["The fence is blue."]


async def test_another_user_is_never_searched(desk: Desk):
    await desk.write("The fence is green.", user="ben")
    finder, _ = await finder_of(desk)
    assert await contents(finder, "the fence") == []


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with more than 100 passages has very many."""
    monkeypatch.setattr(finder_module, "SEARCH", finder_module.SEARCH._replace(every=100))
    monkeypatch.setattr(finder_module, "LARGE", finder_module.LARGE._replace(every=100))
    monkeypatch.setattr(store_module, "ALL_RANKED", 100)
    monkeypatch.setattr(finder_module, "VERY_MANY", 300)


async def nearest_of(desk: Desk) -> str:
    return index_name(await desk.database.fetchval("SELECT max(model_no) FROM memory_models"))


async def indexed(desk: Desk) -> None:
    """Put all vectors into the index of neighbours, and have it counted."""
    await desk.database.execute("UPDATE memory_vectors SET indexed = true")
    await desk.database.execute("UPDATE memory_users SET vectors_indexed = 2")
    await desk.database.execute("ANALYZE memory_vectors")


def watched(monkeypatch: pytest.MonkeyPatch) -> list[Owner]:
    """Whose neighbours the index is asked for."""
    asked: list[Owner] = []
    by_neighbours = store_module.RankingStore.by_neighbours

    async def watching(store, conn, owner, vector, search):
        asked.append(owner)
        return await by_neighbours(store, conn, owner, vector, search)

    monkeypatch.setattr(store_module.RankingStore, "by_neighbours", watching)
    return asked


async def fill(desk: Desk, count: int, user: str = "ana") -> None:
    draw = random.Random(7)
    for thread in range(count // 20):
        texts = [f"The {' '.join(draw.sample(WORDS, 4))} of the year {draw.randrange(9999)}." for _ in range(20)]
        await desk.write(*texts, user=user, thread=f"t{thread}")


@pytest.mark.usefixtures("few")
async def test_candidates_of_a_large_user_hold_what_a_search_of_all_finds(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    await fill(desk, 400)
    await desk.write("My passport lies in the zebra box.", thread="needle")
    await desk.work()
    finder, _ = await finder_of(desk)
    assert (await contents(finder, "where is the zebra box"))[0] == "My passport lies in the zebra box."
    fast = await contents(finder, "a letter to the doctor in the forest", limit=3)
    monkeypatch.setattr(finder_module, "SEARCH", finder_module.SEARCH._replace(every=1000))
    every = await contents(finder, "a letter to the doctor in the forest", limit=10)
    assert set(fast) <= set(every)


@pytest.mark.parametrize("by", ["the index", "all vectors", "words"])
@pytest.mark.usefixtures("few")
async def test_what_the_person_said_is_a_candidate_among_many_longer_answers(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, by: str
):
    monkeypatch.setattr(finder_module, "SEARCH", finder_module.SEARCH._replace(every=100, candidates=10, sample=4))
    monkeypatch.setattr(finder_module, "LARGE", finder_module.LARGE._replace(every=100, candidates=10, sample=4))
    if by == "the index":
        monkeypatch.setattr(finder_module, "VERY_MANY", 100)
        monkeypatch.setattr(store_module, "_WORTH_AN_INDEX", 100.0)
    said = "The doctor said the garden is mine."
    await desk.write(said, *[f"Tell me about the river, part {number}." for number in range(40)], name=None)
    answers = [f"In winter a garden and its market need a doctor, rule {number}." for number in range(80)]
    await desk.write(*answers, name=None, role="assistant", thread="answers")
    await desk.work()
    await indexed(desk)
    desk.embedder.away = by == "words"
    finder, _ = await finder_of(desk)
    assert said in await contents(finder, "what about the garden, the winter market and the doctor", limit=30)


@pytest.mark.usefixtures("few")
async def test_searches_that_use_two_connections_each_do_not_wait_for_each_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, instruments: Instruments
):
    monkeypatch.setattr(finder_module, "LARGE", finder_module.LARGE._replace(every=100, candidates=10, sample=4))
    monkeypatch.setattr(finder_module, "VERY_MANY", 100)
    monkeypatch.setattr(store_module, "_WORTH_AN_INDEX", 100.0)
    await desk.write(*[f"Rule {number} of the garden." for number in range(120)], name=None)
    await desk.work()
    await indexed(desk)
    database = Database(desk.database.dsn, clock=desk.clock, instruments=instruments, max_size=2)
    await database.open()
    _, questions = await finder_of(desk)
    finder = Finder(database, questions, desk.clock, 5.0)
    found = await asyncio.gather(*(contents(finder, f"which is rule {number}?") for number in range(12)))
    assert all(f"Rule {number} of the garden." in hits for number, hits in enumerate(found))
    await database.close()


async def test_a_note_holds_what_ranks_near_the_best_and_nothing_where_nothing_was_said(desk: Desk):
    question, answer = "Which day do I see the doctor?", "On Monday at nine."
    await desk.write(question, answer, thread="doctor")
    for word in WORDS[:9]:
        await desk.write(f"There is a {word}.", thread=word)
    await desk.work()
    finder, _ = await finder_of(desk)
    assert await contents(finder, "when is the doctor", limit=20, floor=0.4) == [question, answer]
    assert await contents(finder, "when is the doctor", limit=20, floor=0.9) == [question]
    assert await contents(finder, "hello and thanks", limit=20, floor=0.4) == []


@pytest.mark.parametrize("by", ["vectors", "words"])
async def test_a_question_that_was_said_before_leaves_a_note_what_it_held(desk: Desk, by: str):
    """An agent sends its question with each step, and an answer may be wanted anew: the best is not the question."""
    question, answer = "When do I see my doctor in Porto about the knee?", "The clinic moved the knee to Monday."
    await desk.write(answer, thread="doctor")
    for word in WORDS[:9]:
        await desk.write(f"There is a {word}.", thread=word)
    await desk.work()
    finder, _ = await finder_of(desk)
    assert await contents(finder, question, limit=20, floor=0.4) == [answer]
    await desk.write(question, thread="asked")
    if by == "vectors":
        await desk.work()
    desk.embedder.away = by == "words"
    assert await contents(finder, question, limit=20, floor=0.4) == [question, answer]


@pytest.mark.parametrize("by", ["words and vectors", "words"])
async def test_a_note_finds_among_candidates_what_it_finds_among_all(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, by: str
):
    await fill(desk, 600)
    await desk.write("My passport lies in the zebra box.", thread="needle")
    await desk.work()
    desk.embedder.away = by == "words"
    finder, _ = await finder_of(desk)
    questions = ["where is the zebra box", "a letter to the doctor in the forest", "winter market and the engine"]
    found = [await contents(finder, question, limit=10, floor=0.3) for question in questions]
    assert found[0][0] == "My passport lies in the zebra box."
    monkeypatch.setattr(finder_module, "NOTE", finder_module.NOTE._replace(every=1000))
    for question, few_were_ranked in zip(questions, found, strict=True):
        every = await contents(finder, question, limit=20, floor=0.3)
        assert len(set(few_were_ranked) & set(every)) >= 0.8 * len(few_were_ranked)


async def test_a_notes_candidates_come_with_their_words_and_to_no_other_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(finder_module, "NOTE", finder_module.NOTE._replace(every=1))
    kept, ended = "My passport lies in the zebra box.", "My old passport lay in the zebra bag."
    await desk.write(*(f"There is a {word}." for word in WORDS), kept, ended, thread="things")
    await desk.work()
    desk.embedder.away = True
    await desk.database.execute("UPDATE memory_users SET key_id = 'one'")
    await desk.database.execute("UPDATE memory_turns SET expires_at = $2 WHERE content = $1", ended, desk.clock.now())
    finder, _ = await finder_of(desk)
    monkeypatch.delattr(store_module.RankingStore, "passages")
    note = {"query": "where is the zebra passport", "limit": 20, "floor": 0.3}
    found = await contents(finder, **note, key_id="one")
    assert (found[0], ended in found) == (kept, False)
    await desk.database.execute("UPDATE memory_users SET key_id = 'two'")  # which this finder does not know yet
    words = []
    candidates = store_module.RankingStore.candidates

    async def watching(self, *given):
        words.append(await candidates(self, *given))
        return words[-1]

    monkeypatch.setattr(store_module.RankingStore, "candidates", watching)
    with pytest.raises(UserOfAnotherKey):
        await contents(finder, **note, key_id="one")
    assert [one.texts for one in words] == [{}]


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many places each look for candidates has."""
    looks: list[int] = []
    candidates = store_module.RankingStore.candidates

    async def counting(store, conn, owner, asked, search, *given):
        looks.append(search.most)
        return await candidates(store, conn, owner, asked, search, *given)

    monkeypatch.setattr(store_module.RankingStore, "candidates", counting)
    return looks


@pytest.mark.parametrize(
    ("name", "query", "looks"),
    [
        (None, "where is the zebra box", [96]),
        ("Zoe", "where is the zebra box", [96]),
        ("Zoe", "where has Zoe got the zebra box", [96, 64]),  # her name is in nearly every passage
    ],
    ids=["nobody has a name", "nobody is named", "somebody is named"],
)
async def test_somebody_not_met_before_is_looked_up_while_their_words_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str | None, query: str, looks: list[int]
):
    await fill(desk, 600)
    await desk.write("My passport lies in the zebra box.", thread="needle", name=name)
    finder = Finder(desk.database, None, desk.clock, 5.0)
    seen = counted(monkeypatch)
    first = await contents(finder, query, limit=10, floor=0.3)
    assert (first[0], seen) == ("My passport lies in the zebra box.", looks)
    again = await contents(finder, query, limit=10, floor=0.3)
    assert (again[0], seen) == (first[0], [*looks, 64])
    assert len(set(first) & set(again)) >= 0.8 * len(again)


@pytest.mark.parametrize("size", ["few passages", "very many", "none"])
async def test_what_was_taken_for_a_usual_user_and_is_none_is_searched_as_it_should(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, size: str
):
    if size == "very many":
        monkeypatch.setattr(finder_module, "ALL_RANKED", 500)
    if size != "none":
        await fill(desk, 100 if size == "few passages" else 600)
        await desk.write("My passport lies in the zebra box.", thread="needle")
    finder = Finder(desk.database, None, desk.clock, 5.0)
    found = await contents(finder, "where is the zebra box", limit=10, floor=0.3)
    assert found == await contents(finder, "where is the zebra box", limit=10, floor=0.3)
    assert found[:1] == ([] if size == "none" else ["My passport lies in the zebra box."])


async def test_somebody_elses_user_who_was_not_met_before_is_not_read(desk: Desk):
    await fill(desk, 600)
    await desk.database.execute("UPDATE memory_users SET key_id = 'two'")
    finder = Finder(desk.database, None, desk.clock, 5.0)
    with pytest.raises(UserOfAnotherKey):
        await contents(finder, "the river and the bridge", limit=10, floor=0.3, key_id="one")
    assert await contents(finder, "the river and the bridge", limit=10, floor=0.3, key_id="two")


async def test_strangers_who_need_two_connections_each_do_not_wait_for_each_other(desk: Desk, instruments: Instruments):
    owners = [f"user-{number}" for number in range(8)]
    for user in owners:
        await fill(desk, 520, user)
    database = Database(desk.database.dsn, clock=desk.clock, instruments=instruments, max_size=2)
    await database.open()
    finder = Finder(database, None, desk.clock, 5.0)
    wanted = [
        Wanted(owner=Owner("default", user), query="the river and the bridge", limit=10, floor=0.3) for user in owners
    ]
    found = await asyncio.gather(*(finder.find(one, 20) for one in wanted))
    assert all(found)
    await database.close()


@pytest.mark.usefixtures("few")
async def test_a_large_user_is_found_by_meaning_through_the_index(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store_module, "_WORTH_AN_INDEX", 100.0)
    await fill(desk, 320)
    await desk.write("A sonata for violin and piano.", thread="needle")
    await desk.work()
    await indexed(desk)
    finder, _ = await finder_of(desk)
    asked_index = watched(monkeypatch)
    assert "A sonata for violin and piano." in await contents(finder, "orchestra music by a composer", limit=10)
    assert asked_index == [ANA]


@pytest.mark.parametrize("why", ["others fill it", "vectors are being moved", "there is none"])
@pytest.mark.usefixtures("few")
async def test_the_index_is_not_asked_where_comparing_all_is_quicker_or_it_is_not_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, why: str
):
    monkeypatch.setattr(store_module, "_WORTH_AN_INDEX", 250.0)
    await fill(desk, 320)
    await desk.write("A sonata for violin and piano.", thread="needle")
    if why == "others fill it":
        await fill(desk, 320, user="ben")
    await desk.work()
    await indexed(desk)
    if why == "vectors are being moved":
        await desk.database.execute("UPDATE memory_users SET vectors_indexed = 1")
    elif why == "there is none":
        await desk.database.execute(f"DROP INDEX {await nearest_of(desk)}")
    finder, _ = await finder_of(desk)
    asked_index = watched(monkeypatch)
    assert "A sonata for violin and piano." in await contents(finder, "orchestra music by a composer", limit=10)
    assert asked_index == []


@pytest.mark.usefixtures("few")
async def test_a_user_not_quite_so_large_is_found_by_comparing_all_vectors(desk: Desk):
    await fill(desk, 200)
    await desk.write("A sonata for violin and piano.", thread="needle")
    await desk.work()
    finder, _ = await finder_of(desk)
    assert "A sonata for violin and piano." in await contents(finder, "orchestra music by a composer", limit=10)


@pytest.mark.usefixtures("few")
async def test_filters_hold_for_a_large_user(desk: Desk):
    await fill(desk, 300)
    await desk.write("The letter in the forest.", thread="needle")
    finder, _ = await finder_of(desk)
    assert await contents(finder, "letter", filters=Filters(thread_id="needle")) == ["The letter in the forest."]
