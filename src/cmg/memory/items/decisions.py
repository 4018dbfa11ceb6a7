"""What a new item is beside what is known already. Pure: rows in, a decision out."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple

from cmg.memory.items.models import NewItem, folded


class Decision(NamedTuple):
    """What to do with a new item; `match` is the stored version that it concerns.

    `merge`: the same, true since `since`; one that had ended before is superseded. `late`: true until `until`, when the
    known next version began.
    """

    action: Literal["add", "known", "merge", "supersede", "late"]
    match: Any = None
    since: datetime | None = None
    until: datetime | None = None


def decide(item: NewItem, since: datetime, found: Sequence[Any]) -> Decision:
    """What becomes of an item that is true since a moment; `found` are `matching_items`, oldest first."""
    same = [one for one in found if _same(item, one)]
    if item.sources:
        for one in same:
            if set(item.sources) <= set(one["sources"]):
                return Decision("known", one)
    chain = [one for one in found if _about_the_same(item, one)]
    current = next((one for one in (*chain, *same) if one["retired_at"] is None), None)
    if current is None:
        return Decision("add")
    ended = current["valid_to"] is not None and current["valid_to"] <= since
    if _same(item, current) and not ended:
        between = any(since < one["since"] < current["since"] for one in chain)
        return Decision("merge", current, current["since"] if between else min(since, current["since"]))
    if since >= current["since"]:
        return Decision("supersede", current)
    return _late(item, since, chain, current)


def _late(item: NewItem, since: datetime, chain: Sequence[Any], current: Any) -> Decision:
    """A word about the past: it merges into what was true then, or into the same that began soon after."""
    before = [one for one in chain if one["since"] <= since]
    after = next((one for one in chain if one["since"] > since), current)
    for one in (*before[-1:], after):
        if _same(item, one):
            return Decision("merge", one, min(since, one["since"]))
    return Decision("late", current, since, after["since"])


def _same(item: NewItem, one: Any) -> bool:
    if one["digest"] == item.digest:
        return True
    return _about_the_same(item, one) and None not in (item.value, one["value"]) and _value(item.value, one["value"])


def _value(left: str | None, right: str | None) -> bool:
    return folded(left or "") == folded(right or "")


def _about_the_same(item: NewItem, one: Any) -> bool:
    if item.subject is None or item.relation is None:
        return False
    return bool(one["subject"] == item.subject and one["relation"] == item.relation)
