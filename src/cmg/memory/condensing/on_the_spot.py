"""A summary and quotes from the very turns that a call leaves out, for what is not stored or not summarised yet."""

import math
from collections.abc import Sequence
from uuid import UUID

from cmg.kit.clock import at
from cmg.kit.turns import NOTE_MARK, Turn
from cmg.ledger import tokens
from cmg.memory.condensing.lines import Line, chosen, lines_of
from cmg.memory.extraction.models import Passage
from cmg.memory.text.note import said
from cmg.memory.text.passages import passages
from cmg.memory.text.terms import query_terms, terms, words

_CHARACTERS = 120_000  # that are looked at: of each call, the oldest and the newest half of it
_SUMMARISED = 32  # passages that lines are drawn from: some 25 ms, in a thread
_QUERY_TERMS = 32
_FLOOR = 0.3  # of the best score
_K, _B = 0.9, 0.4
_NOBODY = UUID(int=0)


def both_ends(turns: Sequence[Turn]) -> Sequence[Turn]:
    """The first and the last turns, as many as are looked at."""
    if sum(len(turn.content) for turn in turns) <= _CHARACTERS:
        return turns
    first = _fitting(turns)
    return first + _fitting(turns[len(first) :][::-1])[::-1]


def looked_at(turns: Sequence[Turn]) -> list[Passage]:
    """The turns in passages, in order; of very long conversations the beginning and the end."""
    taken = both_ends([turn for turn in turns if NOTE_MARK not in turn.content])
    return [
        _passage(turn, part, place) for place, turn in enumerate(taken) for part in passages(turn.content, "message")
    ]


def summary(told: Sequence[Passage], budget: int) -> list[Line]:
    """Lines of so many tokens: how it began, and what users said at even distances."""
    rest = [one for one in told[1:] if one.role == "user" or one.name] or list(told[1:])
    stride = max(1, -(-len(rest) // _SUMMARISED))
    return chosen(lines_of([*told[:1], *rest[::stride]], opening=True), budget)


def quotes(told: Sequence[Passage], query: str, budget: int) -> list[Passage]:
    """The passages that share the query's words, best first by BM25, of so many tokens as lines."""
    scores = _scores(told, query_terms(query, 0, _QUERY_TERMS))
    ranked = sorted(range(len(told)), key=lambda place: (-scores[place], -place))
    taken: dict[str, Passage] = {}
    for place in ranked:
        one, score = told[place], scores[place]
        if score <= 0 or score < _FLOOR * scores[ranked[0]]:
            break
        price = tokens.count(said(one.role, one.name, one.content))
        if price <= budget and one.content not in taken:
            budget -= price
            taken[one.content] = one
    return list(taken.values())


def _scores(told: Sequence[Passage], asked: Sequence[int]) -> list[float]:
    held = [terms(words(one.content), 0) for one in told]
    mean = sum(map(len, held)) / max(1, len(held)) or 1.0
    scores = [0.0] * len(told)
    for term in asked:
        counts = [one.count(term) for one in held]
        among = sum(count > 0 for count in counts)
        weight = math.log(1 + (len(told) - among + 0.5) / (among + 0.5))
        for place, count in enumerate(counts):
            if count:
                scores[place] += weight * count * (_K + 1) / (count + _K * (1 - _B + _B * len(held[place]) / mean))
    return scores


def _fitting(turns: Sequence[Turn]) -> list[Turn]:
    left, taken = _CHARACTERS // 2, []
    for turn in turns:
        left -= len(turn.content)
        if left < 0:
            break
        taken.append(turn)
    return taken


def _passage(turn: Turn, content: str, place: int) -> Passage:
    return Passage(
        id=_NOBODY,
        seq=place,
        kind="message",
        role=turn.role,
        name=turn.name,
        agent_id=None,
        app_id=None,
        content=content,
        created_at=at(turn.created_at),
    )
