"""What goes into which section, and what fits. Pure: facts, messages and hits in, entries out."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from uuid import UUID

from cmg.kit.clock import rfc3339
from cmg.ledger import tokens
from cmg.memory.api.schemas import Source, WorkingSetEntry
from cmg.memory.api.views import source_view
from cmg.memory.extraction.sentences import ASKING, SENTENCE
from cmg.memory.items.models import folded
from cmg.memory.models import Hit
from cmg.memory.workingset.store import Fact, Said

ENTRIES = 12  # of one section
_CHARACTERS = 600  # of one entry; what is longer is cut at a word
_KINDS = {
    "constraints": ("constraint", "requirement"),
    "focus_decisions": ("decision",),
    "focus_tasks": ("task",),
    "artifacts": ("artifact",),
}
# In this order sections take their turns, so that none is crowded out by another.
ORDER = ("constraints", "focus_decisions", "focus_tasks", "open_questions", "runbook", "artifacts", "citations")
_STEPS = re.compile(r"^\s*(?:\d{1,2}[.)]|step \d+)\s+\S", re.MULTILINE | re.IGNORECASE)
_COMMANDS = re.compile(r"^```(?:bash|sh|shell|console|zsh|powershell)\b|^\s*\$ \w", re.MULTILINE)
_QUESTION_CHARACTERS = 4  # at least, with its mark


def of_facts(facts: Sequence[Fact], ranks: dict[UUID, int]) -> dict[str, list[WorkingSetEntry]]:
    """The sections that facts fill: found ones first, then the thread's newest, then by salience."""
    ordered = sorted(facts, key=lambda one: _rank(one, ranks))
    sections: dict[str, list[WorkingSetEntry]] = {}
    for section, kinds in _KINDS.items():
        fitting = (one for one in ordered if one.kind in kinds and not (one.kind == "task" and one.value == "done"))
        sections[section] = [
            entry(one.content, (one.id, *one.sources), one.created_at.timestamp(), one.kind) for one in fitting
        ]
    return sections


def mission(said: Sequence[Said]) -> WorkingSetEntry | None:
    """What the thread set out to do: the first thing its user said."""
    first = next((one for one in said if one.role == "user"), None)
    return None if first is None else entry(first.content, (first.id,), first.created_at.timestamp())


def open_questions(said: Sequence[Said]) -> list[WorkingSetEntry]:
    """Questions that nobody has answered yet: no message of the other side came right after; newest first."""
    found = []
    for place, one in enumerate(said):
        if place + 1 == len(said) or said[place + 1].role == one.role:
            found += [entry(question, (one.id,), one.created_at.timestamp()) for question in _asked(one.content)]
    return found[::-1]


def _asked(text: str) -> list[str]:
    """The sentences that ask, whole and in order."""
    told = (match.group().strip() for match in SENTENCE.finditer(text))
    return [one for one in told if one.rstrip("!.").endswith(ASKING) and len(one) >= _QUESTION_CHARACTERS]


def of_hits(hits: Iterable[Hit]) -> dict[str, list[WorkingSetEntry]]:
    """Hits that say how something is done, and those to cite."""
    sections: dict[str, list[WorkingSetEntry]] = {"runbook": [], "citations": []}
    for hit in hits:
        steps = len(_STEPS.findall(hit.content)) >= 2 or _COMMANDS.search(hit.content) is not None
        told = entry(hit.content, (UUID(hit.id),), hit.created_at, hit.kind, source_view(hit))
        sections["runbook" if steps else "citations"].append(told)
    return sections


def packed(
    sections: dict[str, list[WorkingSetEntry]], first: WorkingSetEntry | None, budget: int
) -> tuple[WorkingSetEntry | None, dict[str, list[WorkingSetEntry]], int]:
    """(mission, sections, tokens used): the sections take turns, best entries first, each text once."""
    take = _Purse(budget)
    kept_first = first if first is not None and take(first) else None
    kept: dict[str, list[WorkingSetEntry]] = {name: [] for name in ORDER}
    waiting = {name: iter(sections.get(name, ())) for name in ORDER}
    while waiting:
        for name in [one for one in ORDER if one in waiting]:
            one = _next(waiting[name], take)
            if one is None:
                del waiting[name]
                continue
            kept[name].append(one)
            if len(kept[name]) >= ENTRIES:
                del waiting[name]
    return kept_first, kept, take.spent


def entry(
    text: str, ids: Iterable[UUID], created_at: float, kind: str = "message", source: Source | None = None
) -> WorkingSetEntry:
    """An entry of a text, cut when it is long."""
    if len(text) > _CHARACTERS:
        text = f"{text[:_CHARACTERS].rsplit(None, 1)[0]} …"
    return WorkingSetEntry(
        text=text,
        kind=kind,
        item_ids=[str(one) for one in dict.fromkeys(ids)],
        created_at=rfc3339(created_at),
        tokens=tokens.count(text),
        source=source,
    )


class _Purse:
    """Takes entries while there is room, each text once."""

    def __init__(self, budget: int) -> None:
        self._left, self.spent = budget, 0
        self._seen: set[str] = set()

    def __call__(self, one: WorkingSetEntry) -> bool:
        key = folded(one.text)
        if key in self._seen or one.tokens > self._left:
            return False
        self._seen.add(key)
        self._left -= one.tokens
        self.spent += one.tokens
        return True


def _next(waiting: Iterator[WorkingSetEntry], take: Callable[[WorkingSetEntry], bool]) -> WorkingSetEntry | None:
    return next((one for one in waiting if take(one)), None)


def _rank(fact: Fact, ranks: dict[UUID, int]) -> tuple[float, ...]:
    found = ranks.get(fact.id)
    if found is not None:
        return (0, found)
    return (1, -fact.seq) if fact.own else (2, -fact.salience, -fact.seq)
