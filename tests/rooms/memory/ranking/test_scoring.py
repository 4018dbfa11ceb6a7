"""Which passage ranks before which, on columns written by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.memory.ranking.corpus import Corpus, column, rows_of
from cmg.memory.ranking.question import Dates, Question
from cmg.memory.ranking.scoring import Scores, looks_assisted, score

DAY_S = 86_400.0


def corpus(size: int, **columns: Any) -> Corpus:
    """`size` passages in one thread, ten words each, said a day apart, alternately by the user and the assistant."""
    postings = columns.pop("postings", [])
    given_columns = {
        "seq": np.arange(1, size + 1),
        "thread": np.ones(size, np.int64),
        "said_at": np.arange(size) * DAY_S,
        "length": np.full(size, 10),
        "by_user": np.arange(size) % 2 == 0,
        "person": np.full(size, -1),
        "asks": np.zeros(size, bool),
        "standing": np.zeros(size, bool),
        "salience": np.full(size, 0.5),
        "tokens": np.full(size, 12),
        "fits": np.ones(size, bool),
        "cosine": None,
        "window_cosine": None,
        "row": np.array([row for row, _, _ in postings], np.int64),
        "term": np.array([term for _, term, _ in postings], np.int64),
        "repeats": np.array([repeats for _, _, repeats in postings], float),
    }
    return Corpus(**(given_columns | {name: np.asarray(values) for name, values in columns.items()}))


def question(terms: int = 1, **fields: Any) -> Question:
    usual = {"names": frozenset(), "bare": "", "named": None, "speaker": None, "dates": Dates()}
    return Question(terms=list(range(100, 100 + terms)), weights=[1.0] * terms, **(usual | fields))


def best(scores: Scores) -> int:
    return int(np.argmax(scores.total))


def test_the_rarer_word_decides():
    common = [(row, 0, 1) for row in range(0, 40, 2)]
    scores = score(corpus(50, postings=[*common, (45, 1, 1)], thread=np.arange(50)), question(2))
    assert best(scores) == 45


def test_a_word_that_all_passages_hold_tells_nothing():
    scores = score(corpus(30, person=[1] * 30, postings=[(row, 0, 1) for row in range(30)]), question())
    assert np.ptp(scores.total) < 0.2


def test_neighbours_of_a_hit_rank_above_the_rest_and_are_no_hits():
    scores = score(corpus(20, person=[1] * 20, postings=[(10, 0, 1)]), question())
    assert set(np.argsort(-scores.total)[:3]) == {9, 10, 11}
    assert scores.hit.sum() == 1
    assert scores.related.nonzero()[0].tolist() == [9, 10, 11]


def test_beside_long_answers_that_hold_every_word_the_person_is_found_by_the_score_alone():
    scores = score(corpus(20, postings=[(11, 0, 1)]), question())
    assert scores.related.nonzero()[0].tolist() == [10, 11, 12]
    assert (scores.hit == scores.related).all()
    assert {10, 12} < set(np.argsort(-scores.total)[:4].tolist())


def test_a_neighbour_in_another_thread_is_none():
    thread = np.array([1] * 10 + [2] * 10)
    assert score(corpus(20, thread=thread, postings=[(10, 0, 1)]), question()).related.nonzero()[0].tolist() == [10, 11]


def test_a_vector_finds_what_shares_no_word():
    cosine = np.full(20, 0.05)
    cosine[7] = 0.6
    people = {"thread": np.arange(20), "person": [1] * 20}
    scores = score(corpus(20, cosine=cosine, window_cosine=cosine, **people), question())
    assert best(scores) == 7
    assert scores.hit.nonzero()[0].tolist() == [7]


def test_a_passage_without_a_vector_yet_is_found_by_its_words():
    cosine = np.full(20, 0.1)
    cosine[3] = np.nan
    people = {"person": [1] * 20}
    found = score(corpus(20, cosine=cosine, window_cosine=cosine, postings=[(3, 0, 1)], **people), question())
    assert best(found) == 3
    assert not np.isnan(found.total).any()


def test_the_words_of_the_one_who_is_named_come_first():
    person = np.array([0, 1] * 10)
    postings = [(row, 0, 1) for row in (4, 5)]
    scores = score(corpus(20, person=person, postings=postings), question(named="Maria"))
    assert best(scores) == 4
    assert scores.total[5] < scores.total[4]


def test_a_name_leads_nowhere_by_itself_in_a_neighbourhood():
    postings = [(row, 0, 1) for row in range(0, 20, 2)] + [(13, 1, 1)]
    asking = question(2, names=frozenset({100}))
    assert best(score(corpus(20, person=[1] * 20, postings=postings), asking)) == 13


@pytest.mark.parametrize(("speaker", "expected"), [(None, 4), ("user", 4), ("assistant", 5)])
def test_among_long_answers_the_side_that_the_question_means_comes_first(speaker: str | None, expected: int):
    length = np.array([8, 80] * 10)
    postings = [(4, 0, 1), (5, 0, 4)]
    scores = score(corpus(20, length=length, postings=postings), question(speaker=speaker))
    assert best(scores) == expected


def test_where_an_assistants_answer_begins_it_follows_what_it_answers():
    said = {"by_user": np.arange(20) == 8, "postings": [(8, 0, 1)]}
    for speaker in (None, "assistant"):
        total = score(corpus(20, **said), question(speaker=speaker)).total
        assert total[9] > total[7] + 0.1
    between_people = score(corpus(20, **said, person=np.ones(20, np.int64)), question()).total
    assert between_people[9] == pytest.approx(between_people[7])
    elsewhere = score(corpus(20, **said, thread=np.repeat([1, 2, 3], [9, 10, 1])), question()).total
    assert elsewhere[9] == pytest.approx(elsewhere[11])


def assisted(passages):
    return looks_assisted(passages.by_user, passages.person >= 0, passages.length)


def test_beside_long_answers_what_looks_like_an_answer_counts_less():
    people = score(corpus(20, person=np.ones(20, np.int64)), question())
    assert 0 < score(corpus(20), question()).answer < people.answer


def test_people_who_talk_with_each_other_have_names():
    assert assisted(corpus(20))
    assert not assisted(corpus(20, person=np.array([0, 1] * 10)))


def test_an_assistant_is_known_by_its_lack_of_a_name_or_by_its_long_answers():
    assert assisted(corpus(20, person=np.array([-1, 1] * 10)))
    assert assisted(corpus(20, person=np.array([1, -1] * 10)))
    assert assisted(corpus(20, person=np.array([0, 1] * 10), length=np.array([10, 40] * 10)))
    assert not assisted(corpus(20, person=np.array([0, 1] * 10), length=np.array([10, 25] * 10)))
    assert not assisted(corpus(20, person=np.full(20, 1), by_user=np.ones(20, bool)))


def test_without_vectors_a_word_in_common_weighs_more_among_long_answers():
    cosine = np.full(200, 0.3)
    words_alone, both = (
        score(corpus(200, postings=[(5, 0, 1)], thread=np.arange(200), **vectors), question()).total
        for vectors in ({}, {"cosine": cosine, "window_cosine": cosine})
    )
    assert words_alone[5] - words_alone[7] > both[5] - both[7] + 0.5


def test_what_a_person_wants_in_general_is_raised_whatever_is_asked_of_an_assistant():
    said = {"standing": np.arange(20) == 6, "thread": np.arange(20)}
    raised = score(corpus(20, **said), question()).total - score(corpus(20), question()).total
    assert raised.argmax() == 6
    assert np.delete(raised, 6).max() < raised[6] / 2
    people = {"person": np.ones(20, np.int64), "thread": np.arange(20)}
    assert score(corpus(20, **said | people), question()).total[6] == score(corpus(20, **people), question()).total[6]


def test_a_summary_is_drawn_from_many_threads():
    cosine = np.full(30, 0.3)
    cosine[[0, 2, 4, 6]] = 0.32
    cosine[14], cosine[25] = 0.318, 0.9
    said = {"thread": np.repeat([1, 2, 3], 10), "cosine": cosine, "window_cosine": cosine}
    narrow, broad = (
        np.argsort(-score(corpus(30, **said), question(0, broad=wide)).total, kind="stable").tolist().index(14)
        for wide in (False, True)
    )
    assert broad < narrow
    of_the_other = (question(0, broad=wide, speaker="assistant") for wide in (False, True))
    totals = [score(corpus(30, **said), one).total for one in of_the_other]
    assert (totals[0] == totals[1]).all()


def test_who_asks_an_assistant_says_as_much_as_who_tells_it():
    asks = np.arange(20) == 4
    named, unnamed = ({"person": np.ones(20, np.int64)}, {})
    for people, moved in ((named, True), (unnamed, False)):
        plain, asking = (
            score(corpus(20, postings=[(4, 0, 1)], asks=one, **people), question()).total[4]
            for one in (np.zeros(20, bool), asks)
        )
        assert bool(asking < plain) is moved


def test_what_was_said_at_the_time_that_is_named_comes_first():
    said_at = np.array([float(day) * DAY_S * 30 for day in range(20)])  # 1970 and 1971, about a month apart
    people = {"thread": np.arange(20), "person": [1] * 20}
    scores = score(corpus(20, said_at=said_at, **people), question(0, dates=Dates((3,), (1971,))))
    assert scores.words[best(scores)] == scores.words.max() > 0
    assert best(scores) == 15


def test_salience_moves_what_ranks_alike():
    salience = np.array([0.5, 0.1, 0.9, 0.5])
    scores = score(corpus(4, thread=np.arange(4), salience=salience), question())
    assert np.argsort(-scores.total).tolist()[0] == 2
    assert np.argsort(-scores.total).tolist()[-1] == 1


def test_candidates_are_measured_against_the_sample():
    """Two thirds of the candidates hold the word, but hardly any passage of the sample: it stays a rare word."""
    size = 60
    postings = [(row, 0, 1) for row in range(40)]
    stands_for = np.where(np.arange(size) < 40, 1.0, 5000.0)
    few = score(corpus(size, thread=np.arange(size), postings=postings, stands_for=stands_for), question())
    every = score(corpus(size, thread=np.arange(size), postings=postings), question())
    assert few.words.max() > 5 * every.words.max()


def test_a_word_that_no_passage_of_the_sample_holds_counts_all_the_same():
    size = 30
    stands_for = np.where(np.arange(size) < 10, 1.0, 50.0)
    scores = score(corpus(size, thread=np.arange(size), postings=[(4, 0, 1)], stands_for=stands_for), question())
    assert best(scores) == 4
    assert scores.total[4] > scores.total[5] + 1


def test_one_rare_word_among_very_many_passages_is_not_all_that_counts():
    """Deviations grow with the root of the number of passages; from a thousand on they do not."""
    gains = []
    for each in (99.0, 99_999.0):
        stands_for = np.where(np.arange(20) < 10, 1.0, each)
        scores = score(corpus(20, thread=np.arange(20), postings=[(4, 0, 1)], stands_for=stands_for), question())
        gains.append(scores.total[4] - scores.total[5])
    assert 0.5 < gains[1] / gains[0] < 2


@given(
    size=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
    with_vectors=st.booleans(),
    terms=st.integers(0, 5),
)
def test_scores_are_numbers_whatever_the_columns(size: int, seed: int, with_vectors: bool, terms: int):  # noqa: FBT001  hypothesis gives it
    random = np.random.default_rng(seed)
    cells = {(int(random.integers(size)), int(random.integers(terms))): 1 for _ in range(size if terms else 0)}
    cosine = np.where(random.random(size) < 0.2, np.nan, random.random(size)) if with_vectors else None
    given_columns: dict[str, Any] = {
        "thread": np.sort(random.integers(1, 5, size)),
        "length": random.integers(0, 50, size),
        "person": random.integers(-1, 2, size),
        "asks": random.random(size) < 0.5,
        "postings": [(row, term, 1) for row, term in cells],
    }
    if cosine is not None:
        given_columns |= {"cosine": cosine, "window_cosine": cosine}
    scores = score(corpus(size, **given_columns), question(terms))
    assert np.isfinite(scores.total).all()
    assert len(scores.total) == len(scores.hit) == size
    assert (scores.related | ~scores.hit).all()


def test_an_array_of_postgresql_is_read_without_a_loop():
    sent = (
        b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x17\x00\x00\x00\x02\x00\x00\x00\x01"
        b"\x00\x00\x00\x04\x00\x00\x00\x07\x00\x00\x00\x04\xff\xff\xff\xff"
    )
    assert column(sent, ">i4").tolist() == [7, -1]
    assert column(None, ">i8").tolist() == []
    assert rows_of(np.array([30, 10, 20]), np.array([10, 25, 30])).tolist() == [1, -1, 0]
