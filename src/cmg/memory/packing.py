"""Which of the passages that were found are given out: best first, each content once, never above the budget."""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from cmg.memory.models import Hit


def pack(
    hits: Iterable[Hit],
    cost: Callable[[Hit], int],
    *,
    token_budget: int | None = None,
    max_items: int | None = None,
) -> list[Hit]:
    """The hits to give out, in their order.

    A hit that is too large is passed over for smaller ones behind it, and no content is given out twice. What the user
    said and the assistant repeated is given out as the user's word.
    """
    taken: list[Hit] = []
    seen: set[str] = set()
    left = token_budget
    for hit in _own_first(list(hits)):
        if max_items is not None and len(taken) >= max_items:
            break
        if hit.content in seen:
            continue
        if left is not None:
            price = cost(hit)
            if price > left:
                continue
            left -= price
        seen.add(hit.content)
        taken.append(hit)
    return taken


def by_thread(hits: Sequence[Hit]) -> list[Hit]:
    """The same hits: the thread with the best one first, each thread in the order in which it was said."""
    places: dict[str, int] = {}
    for place, hit in enumerate(hits):
        places.setdefault(hit.thread_id, place)
    return sorted(hits, key=lambda hit: (places[hit.thread_id], hit.created_at, hit.seq))


def _own_first(hits: list[Hit]) -> list[Hit]:
    """Each content as its user said it, where one did, at the place and with the score of its best hit."""
    own: dict[str, Hit] = {}
    for hit in hits:
        if hit.role == "user":
            own.setdefault(hit.content, hit)
    return [
        msgspec.structs.replace(own[hit.content], score=hit.score) if hit.role != "user" and hit.content in own else hit
        for hit in hits
    ]
