"""What is on its way is read once, though it comes with each wish."""

from datetime import UTC, datetime

from cmg.memory.models import KeptTurn, TurnBatch
from cmg.memory.notes.unstored import Reader


def batch(content: str, at: float = 1000.0, user: str = "ana") -> TurnBatch:
    turns = (KeptTurn("user", content, at, None, 0), KeptTurn("assistant", "Noted.", at, None, 0))
    return TurnBatch("default", user, "pets", None, None, implicit=False, turns=turns, journalled_at=at)


def test_a_batch_that_comes_again_is_read_once(clock):
    reader = Reader(clock)
    first, second = reader.read([batch("My dog is called Bruno.")]), reader.read([batch("My dog is called Bruno.")])
    assert first is not None
    assert second is not None
    mine = first.passages([], None)
    assert [one.row.content for one in mine] == ["My dog is called Bruno.", "Noted."]
    assert all(one is other for one, other in zip(mine, second.passages([], None), strict=True))
    clock.advance(1.0)
    later = reader.read([batch("My dog is called Bruno.")])
    assert later is not None
    assert later.passages([], None)[0] is not mine[0]
    assert later.passages([], None) == mine


def test_another_persons_same_words_are_theirs(clock):
    reader = Reader(clock)
    both = reader.read([batch("My dog is called Bruno."), batch("My dog is called Bruno.", user="ben")])
    assert both is not None
    assert len(set(both.ids)) == 4


def test_what_is_stored_and_what_was_said_before_an_erasure_is_left_out(clock):
    read = Reader(clock).read([batch("My dog is called Bruno."), batch("My cat is called Mia.", at=2000.0)])
    assert read is not None
    read.measure()
    of = [one.row.content for one in read.passages(read.ids[:1], None)]
    assert of == ["Noted.", "My cat is called Mia.", "Noted."]
    erased = datetime.fromtimestamp(1500, UTC)
    assert [one.row.content for one in read.passages([], erased)] == ["My cat is called Mia.", "Noted."]


def test_of_nothing_nothing_is_read(clock):
    assert Reader(clock).read([]) is None
