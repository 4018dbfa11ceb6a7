"""Which of the passages that were found are given out: best first, each content once, never above the budget."""

from collections.abc import Callable, Collection, Iterable

from cmg.memory.models import Hit


def pack(
    hits: Iterable[Hit],
    cost: Callable[[Hit], int],
    *,
    token_budget: int | None = None,
    max_items: int | None = None,
    present: Collection[str] = (),
) -> list[Hit]:
    """The hits to give out, in their order.

    A hit that is too large is passed over for smaller ones behind it; contents in `present`, or given out already,
    are not repeated.
    """
    taken: list[Hit] = []
    seen = set(present)
    left = token_budget
    for hit in hits:
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
