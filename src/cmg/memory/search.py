"""Finds one user's passages for a question: its words, and the terms of the statement that ranks by BM25."""

import msgspec

from cmg.memory.models import Filters, Owner
from cmg.memory.text.terms import query_terms, salt

_QUESTION_CHARACTERS = 4000  # of a longer text the beginning and the end are the question
_TERMS = 48
_PURPOSE_WEIGHT = 0.5
NO_FILTERS = Filters()


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """One search. `floor`: the share of the best score that a hit must reach; `for_note`: budget in lines of a note."""

    owner: Owner
    terms: list[int]
    weights: list[float]
    limit: int
    token_budget: int | None = None
    for_note: bool = False
    floor: float = 0.0
    filters: Filters = NO_FILTERS


def weighted_terms(owner: Owner, query: str, purpose: str | None) -> tuple[list[int], list[float]]:
    """The terms to search by; words of the purpose count half."""
    user_salt = salt(*owner)
    asked = query_terms(_bounded(query), user_salt, _TERMS)
    weights = [1.0] * len(asked)
    if purpose:
        known = set(asked)
        more = [term for term in query_terms(_bounded(purpose), user_salt, _TERMS) if term not in known]
        asked, weights = asked + more, weights + [_PURPOSE_WEIGHT if asked else 1.0] * len(more)
    return asked, weights


def _bounded(text: str) -> str:
    if len(text) <= _QUESTION_CHARACTERS:
        return text
    half = _QUESTION_CHARACTERS // 2
    return f"{text[:half]} {text[-half:]}"
