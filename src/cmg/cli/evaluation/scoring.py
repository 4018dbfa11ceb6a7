"""What share of the evidence an answer holds, and at which place. Pure: answers in, figures out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from cmg.cli.evaluation.conversations import Conversation, Question, words_of

RECALL_AT = (10, 50)
MAX_ITEMS, TOKEN_BUDGET = 50, 2000
_WORDS_MAX = 150  # of a long turn: an answer need not hold more of it than half of these


class Found(msgspec.Struct, frozen=True):
    """One question's score. `ranks`: the places of its evidence; `in_budget`: its share within the token budget."""

    kind: str
    ranks: tuple[int | None, ...]
    in_budget: float = 0.0
    tokens: int = 0
    stray: int = 0


class Ranked(msgspec.Struct, frozen=True):
    """The turns that an answer holds, by place; `stray`: sources that are no turns of the user."""

    places: dict[str, int]
    stray: int


class Known(msgspec.Struct, frozen=True):
    """What scoring needs of a conversation: the thread and the words of each turn."""

    threads: dict[str, str]
    words: dict[str, frozenset[str]]


def known(conversation: Conversation) -> Known:
    """The turns of a conversation by id."""
    turns = [(turn, conversation.thread(session)) for session in conversation.sessions for turn in session.turns]
    return Known({turn.id: thread for turn, thread in turns}, {turn.id: words_of(turn.text) for turn, _ in turns})


def ranked(items: Iterable[Mapping[str, Any]], turns: Known) -> Ranked:
    """Which turns the items hold.

    A turn that is cited counts from the item on whose content, with that of earlier items that cite it, holds half of
    its distinct words: naming a source without its words earns nothing. An item without a new turn takes a place too.
    """
    places: dict[str, int] = {}
    carried: dict[str, set[str]] = {}
    place = stray = 0
    for item in items:
        words, counted = words_of(item["content"]), False
        for source in item["sources"]:
            turn = source["message_id"]
            if turns.threads.get(turn) != source["thread_id"]:
                stray += 1
                continue
            have = carried.setdefault(turn, set())
            have |= words & turns.words[turn]
            if turn not in places and 2 * len(have) >= min(_WORDS_MAX, len(turns.words[turn])):
                place, counted = place + 1, True
                places[turn] = place
        place += not counted
    return Ranked(places, stray)


def scored(question: Question, by_items: Ranked, by_budget: Ranked, tokens: int) -> Found:
    """A question's score from its two answers."""
    held = sum(turn in by_budget.places for turn in question.evidence) / len(question.evidence)
    ranks = tuple(by_items.places.get(turn) for turn in question.evidence)
    return Found(question.kind, ranks, held, tokens, by_items.stray + by_budget.stray)


def table(found: Sequence[Found]) -> list[dict[str, Any]]:
    """A row for all questions and one for each kind."""
    kinds = sorted({one.kind for one in found})
    rows = [_row("all", found)]
    if len(kinds) > 1:
        rows += [_row(kind, [one for one in found if one.kind == kind]) for kind in kinds]
    return rows


def _row(name: str, found: Sequence[Found]) -> dict[str, Any]:
    row: dict[str, Any] = {"questions of": name, "questions": len(found)}
    for most in RECALL_AT:
        row[f"recall@{most}"] = _mean(found, lambda one, most=most: _share(one.ranks, most))  # type: ignore[misc]
    row[f"recall@{TOKEN_BUDGET}tok"] = _mean(found, lambda one: one.in_budget)
    row["tokens"] = round(_mean(found, lambda one: one.tokens))
    return row


def _share(ranks: Sequence[int | None], most: int) -> float:
    return sum(rank is not None and rank <= most for rank in ranks) / len(ranks)


def _mean(found: Sequence[Found], value: Callable[[Found], float]) -> float:
    return round(sum(map(value, found)) / len(found), 4) if found else 0.0
