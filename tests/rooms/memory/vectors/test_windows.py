"""The window of a passage: whole in the middle, with as much of its neighbours as the model reads."""

from hypothesis import given
from hypothesis import strategies as st

from cmg.memory.vectors.windows import WINDOW_SIZE, Spoken, window

spoken = st.builds(Spoken, st.none() | st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=1500))


def test_three_short_passages_stand_below_each_other_with_their_speakers():
    text = window(Spoken("Ana", "I have a dog."), Spoken(None, "What is its name?"), Spoken("Ana", "Rex."))
    assert text == "Ana: I have a dog.\nWhat is its name?\nAna: Rex."


def test_a_passage_without_neighbours_has_no_window():
    assert window(None, Spoken("Ana", "hello"), None) is None


def test_a_passage_that_fills_the_room_has_no_window():
    assert window(Spoken(None, "before"), Spoken(None, "x" * WINDOW_SIZE), Spoken(None, "after")) is None


def test_of_long_neighbours_the_parts_next_to_the_passage_are_taken():
    text = window(Spoken(None, "a" * 900 + "END"), Spoken(None, "own"), Spoken(None, "START" + "b" * 900))
    before, own, after = text.split("\n")
    assert before.endswith("END")
    assert own == "own"
    assert after.startswith("START")
    assert abs(len(before) - len(after)) <= 1
    assert len(text) <= WINDOW_SIZE + 2


def test_what_one_neighbour_does_not_need_the_other_gets():
    text = window(Spoken(None, "short"), Spoken(None, "own"), Spoken(None, "b" * 2000))
    assert len(text) == WINDOW_SIZE + 2
    text = window(Spoken(None, "b" * 2000), Spoken(None, "own"), Spoken(None, "short"))
    assert len(text) == WINDOW_SIZE + 2


def test_scripts_beyond_ascii_take_more_room():
    text = window(Spoken(None, "前" * 900), Spoken(None, "自分"), Spoken(None, "後" * 900))
    assert 200 < len(text) <= WINDOW_SIZE // 4 + 2


@given(st.none() | spoken, spoken, st.none() | spoken)
def test_the_passage_itself_is_always_whole(before, own, after):
    text = window(before, own, after)
    assert text is None or str(own) in text
