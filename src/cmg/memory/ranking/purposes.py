"""What a purpose is after: kinds of items, by the words that name them (docs/api). English, as the patterns are."""

from collections import deque
from collections.abc import Collection, Sequence
from functools import lru_cache

import msgspec

from cmg.memory.items.models import FACT_KINDS, SAID_KINDS
from cmg.memory.models import Hit
from cmg.memory.text.terms import stem_of, words

LEAD = 1.0  # of score, for kinds that the purpose is after: less than a named person, more than any one list
_CHARACTERS = 1000
# Every rule of which a word stands in the purpose counts; so does the name of a kind itself.
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("plan planning roadmap next steps todo continue resume handover standup progress", ("task", "decision")),
    ("decide choose rationale architecture design tradeoff", ("decision", "requirement", "constraint")),
    ("specification spec scope acceptance implement build develop", ("requirement", "constraint", "decision")),
    ("debug troubleshoot error bug incident outage fix cause postmortem", ("failure", "artifact", "log")),
    ("review merge refactor patch commit pull", ("diff", "decision", "constraint", "artifact")),
    ("personalize personalise recommend recommendation suggestion gift tone style taste", ("preference", "profile")),
    ("introduce introduction biography onboard background greet", ("profile", "preference")),
    ("schedule calendar agenda appointment remind reminder timeline meeting", ("event", "task")),
    ("manual documentation reference runbook howto guide", ("document", "artifact")),
)


def kinds_for(purpose: str | None) -> tuple[str, ...]:
    """The kinds of items that a purpose is after, in the order of the rules; none for one that no rule knows."""
    return () if purpose is None else _kinds_for(purpose[:_CHARACTERS])


@lru_cache(maxsize=1024)
def _kinds_for(purpose: str) -> tuple[str, ...]:
    said = {stem_of(word) for word in words(purpose)}
    return tuple(dict.fromkeys(kind for stems, kinds in _rules() if stems & said for kind in kinds))


@lru_cache(maxsize=1)
def _rules() -> tuple[tuple[frozenset[str], tuple[str, ...]], ...]:
    named = tuple((kind, (kind,)) for kind in (*FACT_KINDS, *SAID_KINDS) if kind not in {"memory", "message"})
    return tuple((frozenset(map(stem_of, text.split())), kinds) for text, kinds in (*RULES, *named))


def steered(found: Sequence[Hit], of_kinds: Sequence[Hit], kinds: Collection[str], limit: int) -> list[Hit]:
    """Two lists as one: each stays in its order, the better of the two heads comes first, kinds of the purpose lead."""
    lists = [deque(_leading(found, kinds)), deque(_leading(of_kinds, kinds))]
    taken: dict[str, Hit] = {}
    while len(taken) < limit and any(lists):
        best = max((one for one in lists if one), key=lambda one: one[0].score)
        hit = best.popleft()
        taken.setdefault(hit.id, hit)
    return list(taken.values())


def _leading(hits: Sequence[Hit], kinds: Collection[str]) -> list[Hit]:
    return [msgspec.structs.replace(one, score=one.score + LEAD) if one.kind in kinds else one for one in hits]
