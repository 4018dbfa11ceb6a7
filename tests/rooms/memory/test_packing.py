"""Packing never exceeds a bound, whatever was found."""

import uuid

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cmg.memory.models import Hit
from cmg.memory.packing import by_thread, pack

AT = 1.7e9


def _hit(content: str, tokens: int) -> Hit:
    names = (None, "t", False, "m", 1, AT, content)
    return Hit(uuid.uuid4().hex, 1.0, tokens, tokens + 15, "message", "user", *names)


HITS = st.lists(st.builds(_hit, st.text(max_size=3), st.integers(0, 500)), max_size=40)


@given(HITS, st.none() | st.integers(0, 2000), st.none() | st.integers(1, 30))
def test_bounds_hold_and_nothing_is_repeated(hits: list[Hit], budget: int | None, most: int | None) -> None:
    taken = pack(hits, lambda hit: hit.note_tokens, token_budget=budget, max_items=most)
    assert budget is None or sum(hit.note_tokens for hit in taken) <= budget
    assert most is None or len(taken) <= most
    contents = [hit.content for hit in taken]
    assert len(set(contents)) == len(contents)


@given(HITS)
def test_without_bounds_every_content_is_taken_in_order(hits: list[Hit]) -> None:
    taken = pack(hits, lambda hit: hit.tokens)
    assert [hit.content for hit in taken] == list(dict.fromkeys(hit.content for hit in hits))


def test_a_large_hit_is_passed_over_for_smaller_ones() -> None:
    large, small = _hit("large", 100), _hit("small", 10)
    assert pack([large, small], lambda hit: hit.tokens, token_budget=50) == [small]


def test_what_the_assistant_repeated_is_given_out_as_the_users_word() -> None:
    said, other = _hit("on 3 May", 5), _hit("something else", 5)
    repeated = msgspec.structs.replace(_hit("on 3 May", 5), role="assistant", score=2.0)
    taken = pack([repeated, other, said], lambda hit: hit.tokens)
    assert taken == [msgspec.structs.replace(said, score=2.0), other]


def test_threads_come_by_their_best_hit_and_each_in_its_own_order() -> None:
    told = [("a", 2), ("b", 9), ("a", 1), ("c", 5), ("b", 3)]
    hits = [msgspec.structs.replace(_hit(f"{t}{seq}", 1), thread_id=t, seq=seq, created_at=AT + seq) for t, seq in told]
    assert [hit.content for hit in by_thread(hits)] == ["a1", "a2", "b3", "b9", "c5"]
