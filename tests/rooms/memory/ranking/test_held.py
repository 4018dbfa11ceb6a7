"""What is held for a while: for how long, and how much."""

import gc
import weakref

from cmg.memory.ranking.held import Held


class _Thing:
    """Something that can be watched."""


def test_a_value_is_held_for_its_time_alone(clock):
    held: Held[str, int] = Held(clock, 2, 10.0)
    assert held.get("a") is None
    held.put("a", 0)
    clock.advance(9.9)
    assert held.get("a") == 0
    clock.advance(0.2)
    assert held.get("a") is None


def test_what_was_put_longest_ago_gives_way(clock):
    held: Held[str, int] = Held(clock, 2, 10.0)
    for key in ("a", "b", "a", "c"):
        held.put(key, 1)
    assert [held.get(key) for key in ("a", "b", "c")] == [1, None, 1]
    held.drop("a")
    held.drop("nobody")
    assert held.get("a") is None


def test_what_is_over_does_not_stay_in_memory(clock):
    held: Held[str, object] = Held(clock, 100, 10.0)
    old = _Thing()
    gone = weakref.ref(old)
    held.put("old", old)
    del old
    clock.advance(10.0)
    held.put("new", _Thing())
    gc.collect()
    assert gone() is None
    assert held.get("new") is not None
