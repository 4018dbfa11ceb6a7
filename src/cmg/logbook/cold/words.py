"""The words of lines and of questions, outside the database: what a question demands, and whether a line fulfils it."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from cmg.logbook.models import Line

_WORD = re.compile(r"\w+")
_PART = re.compile(r'(-?)"([^"]*)"|(-?)(\S+)')


class Question(msgspec.Struct, frozen=True):
    """As PostgreSQL's `websearch_to_tsquery`: one of `anyof` must hold wholly; each is phrases wanted and unwanted."""

    anyof: tuple[tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]], ...]

    def fits(self, words: list[str]) -> bool:
        """Whether a line with these words, in their order, is meant."""
        held = set(words)
        return any(
            all(_holds(words, held, phrase) for phrase in wanted)
            and not any(_holds(words, held, phrase) for phrase in unwanted)
            for wanted, unwanted in self.anyof
        )

    def demands(self) -> list[set[str]]:
        """For each alternative the words that a line must hold at the least."""
        return [{word for phrase in wanted for word in phrase} for wanted, _ in self.anyof]


def question(text: str) -> Question:
    """What a text asks for: words, "phrases", `or`, and `-` before what must not be there."""
    anyof = []
    wanted: list[tuple[str, ...]] = []
    unwanted: list[tuple[str, ...]] = []
    for part in _PART.finditer(text):
        if part[0].lower() == "or":
            anyof.append((tuple(wanted), tuple(unwanted)))
            wanted, unwanted = [], []
            continue
        phrase = tuple(words_of(part[2] if part[2] is not None else part[4]))
        if phrase:
            (unwanted if part[1] or part[3] else wanted).append(phrase)
    anyof.append((tuple(wanted), tuple(unwanted)))
    return Question(tuple(one for one in anyof if any(one)))


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return _WORD.findall(text.lower())


def words_of_line(line: Line) -> list[str]:
    """The words of a line: of its message, then of every text in its fields."""
    words = words_of(line.message)
    for text in _texts(line.fields.values()):
        words += words_of(text)
    return words


def _texts(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from _texts(value.values())
        elif isinstance(value, list):
            yield from _texts(value)


def _holds(words: list[str], held: set[str], phrase: tuple[str, ...]) -> bool:
    if not held.issuperset(phrase):
        return False
    if len(phrase) == 1:
        return True
    size = len(phrase)
    return any(tuple(words[at : at + size]) == phrase for at in range(len(words) - size + 1))
