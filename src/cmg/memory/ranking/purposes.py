"""What a purpose is after: kinds of items, by the words that name them (docs/api). English, as the patterns are."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate

from cmg.memory.items.models import FACT_KINDS, SAID_KINDS
from cmg.memory.models import Hit
from cmg.memory.text.terms import stem_of, words

LEAD = 0.5  # of score, for kinds that the purpose is after: more than any one list moves a passage by a deviation
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


def steered(found: Sequence[Hit], of_kinds: Sequence[Hit], limit: int) -> list[Hit]:
    """What was found and what was found of the purpose's kinds, as one list without repetitions.

    Each stays in its order. They are laid side by side by their best hits, since scores depend on what is searched; the
    purpose's kinds then lead.
    """
    lists = [deque(_placed(of_kinds, LEAD)), deque(_placed(found, 0.0))]
    taken: dict[str, Hit] = {}
    while len(taken) < limit and any(lists):
        best = max((one for one in lists if one), key=lambda one: one[0][0])
        _, hit = best.popleft()
        taken.setdefault(hit.id, hit)
    return list(taken.values())


def _placed(hits: Sequence[Hit], lead: float) -> Iterator[tuple[float, Hit]]:
    """Hits with what they are compared by: how far behind the best they are; nothing overtakes what precedes it."""
    behind = accumulate((one.score - hits[0].score for one in hits), min)
    return ((place + lead, one) for place, one in zip(behind, hits, strict=True))
