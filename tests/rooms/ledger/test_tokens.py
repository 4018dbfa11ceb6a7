"""Token counts: exact for usual texts, bounded for all others, never an error."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cmg.ledger import tokens


def test_known_texts_have_their_known_counts() -> None:
    assert tokens.count("") == 0
    assert tokens.count("hello world") == 2
    assert tokens.count("The quick brown fox jumps over the lazy dog.") == 10


@settings(max_examples=50)
@given(st.text(max_size=500))
def test_no_text_is_an_error(text: str) -> None:
    assert 0 <= tokens.count(text) <= len(text.encode("utf-8", "replace"))


def test_half_a_surrogate_pair_is_counted_too() -> None:
    assert tokens.count("a \ud800 b") > 0


def test_special_tokens_of_the_vocabulary_are_text() -> None:
    assert tokens.count("<|endoftext|>") > 1


def test_a_text_in_pieces_counts_like_the_whole() -> None:
    sentence = "Every turn is written before it can be lost. "
    exact = tokens.count(sentence * 400)
    assert abs(tokens.count(sentence * 2000) - 5 * exact) <= 10


def test_a_very_long_text_is_judged_by_samples() -> None:
    sentence = "Every turn is written before it can be lost. "
    exact = tokens.count(sentence * 400)
    assert tokens.count(sentence * 40_000) == tokens.count(sentence * 40_000)
    assert 0.98 < tokens.count(sentence * 40_000) / (100 * exact) < 1.02


def test_a_body_is_estimated_by_its_length() -> None:
    assert tokens.estimate(0) == 1
    assert tokens.estimate(4000) == 1001
