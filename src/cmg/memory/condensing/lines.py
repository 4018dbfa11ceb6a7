"""The sentences that stand for a conversation: what it was begun for, what its facts stand in, and what it is about."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from cmg.kit.turns import NOTE_MARK
from cmg.ledger import tokens
from cmg.memory.extraction.models import Passage
from cmg.memory.extraction.rules import extract
from cmg.memory.extraction.sentences import sentences
from cmg.memory.items.models import folded
from cmg.memory.text.note import said
from cmg.memory.text.terms import FUNCTION_WORDS, words

CHARACTERS = 300  # of one line
_OPENING = 2.0  # of weight: above every fact
_CENTRAL = 0.35  # at most: below every fact that is not a mere name of a file
_ASSISTANT = 0.5  # of a user's weight
_WORDS = 6  # of a sentence that can stand for others
_FIRST = re.compile(r"\s*(.+?[.!?\u3002\uff01\uff1f](?=\s|$)|.+)", re.DOTALL)


class Line(msgspec.Struct, array_like=True, frozen=True):
    """A line of a summary. `place` orders lines; of two with the same weight the later one is kept."""

    place: int
    weight: float
    role: str
    name: str | None
    text: str

    @property
    def written(self) -> str:
        """As it stands in a note."""
        return said(self.role, self.name, self.text)


def lines_of(passages: Sequence[Passage], *, opening: bool) -> list[Line]:
    """The lines that passages have to offer (0.4 to 0.8 ms each); with `opening` the first begins the conversation."""
    told = [one for one in passages if NOTE_MARK not in one.content]
    common = _common(told)
    found: list[Line] = []
    for place, passage in enumerate(told):
        if opening and place == 0:
            found.append(_line(passage, _OPENING, _first(passage.content)))
        facts = [one for one in extract(passage) if one.kind not in {"artifact", "failure"}]
        found += [_line(passage, 0.2 + one.importance, one.content) for one in facts]
        if not facts:
            found += _central(passage, common)
    return found


def chosen(lines: Iterable[Line], budget: int) -> list[Line]:
    """The weightiest lines that have so many tokens together, each text once, in their places' order."""
    taken: dict[str, Line] = {}
    for line in sorted(lines, key=lambda one: (-one.weight, -one.place)):
        key = folded(line.text)
        price = tokens.count(line.written)
        if key not in taken and price <= budget:
            taken[key] = line
            budget -= price
    return sorted(taken.values(), key=lambda one: one.place)


def _common(passages: Sequence[Passage]) -> dict[str, float]:
    """Word → the share of these passages that hold it."""
    counts = Counter(word for one in passages for word in set(words(one.content)) if word not in FUNCTION_WORDS)
    return {word: count / len(passages) for word, count in counts.items()}


def _central(passage: Passage, common: dict[str, float]) -> list[Line]:
    """The sentence of a passage whose words the others have most in common."""
    best, weight = "", 0.0
    for sentence in [one.text for one in sentences(passage.content)] or [_first(passage.content)]:
        telling = {word for word in words(sentence) if word in common}
        if telling and len(sentence) <= CHARACTERS:
            mean = sum(common[word] for word in telling) / max(_WORDS, len(telling))
            if mean > weight:
                best, weight = sentence, mean
    if not best:
        return []
    share = 1.0 if passage.role == "user" or passage.name else _ASSISTANT
    return [_line(passage, min(_CENTRAL, weight) * share, best)]


def _line(passage: Passage, weight: float, text: str) -> Line:
    return Line(passage.seq, weight, passage.role, passage.name, text[:CHARACTERS].strip())


def _first(text: str) -> str:
    found = _FIRST.match(text)
    return text[:CHARACTERS].strip() if found is None else found[1][:CHARACTERS].strip()
