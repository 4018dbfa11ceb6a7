"""Whether an answer made use of an item: it holds rare words of the item that the question does not hold.

Words are compared by their stems. How common a word is tells its number in the vocabulary of tokens, which is built by
frequency over many languages: a word of several tokens, or of a high number, is rare.
"""

from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID

from cmg.ledger import tokens
from cmg.memory.text.terms import FUNCTION_WORDS, stem_of, words

_SHARE = 0.2  # of an item's rare words
_ENOUGH = 2  # … or so many of them, however long the item is
_LETTERS, _DIGITS = 3, 2  # shorter ones tell nothing


def used(items: Mapping[UUID, str], question: str, answer: str) -> list[UUID]:
    """Those of the items (id → words) that the answer made use of."""
    said = _rare(answer) - _rare(question)
    return [item for item, content in items.items() if _shows(_rare(content), said)] if said else []


def _shows(rare: set[str], said: set[str]) -> bool:
    shared = len(rare & said)
    return shared >= _ENOUGH or (shared > 0 and shared >= _SHARE * len(rare))


def _rare(text: str) -> set[str]:
    return {stem for word in words(text) if (stem := _rare_stem(word))}


@lru_cache(maxsize=16_384)
def _rare_stem(word: str) -> str:
    """The stem of a rare word, else nothing."""
    if word in FUNCTION_WORDS or (word.isascii() and len(word) < (_DIGITS if word.isdigit() else _LETTERS)):
        return ""
    stem = stem_of(word)
    return "" if tokens.is_common(word) or tokens.is_common(stem) else stem
