"""Templates of messages, mined as lines come: words that differ between messages of one kind become `<*>`.

The idea is Drain's (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017): a short path
(scope, number of words, first word) leads to few templates, and the most similar one takes the message.
"""

import re
from collections import OrderedDict
from hashlib import blake2b

import msgspec

ANY = "<*>"
_WORDS_MAX = 40
_SIMILAR = 0.6  # of the words must be equal
_LEAF_MAX = 50  # templates that one path leads to
_REMEMBERED = 20_000  # messages whose template is known without looking
_LOOKED_AT = 2000  # letters of a message
_VARIABLE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\b(?:0x)?[0-9a-f]{12,}\b"
    r"|\b\d{4}-\d\d-\d\d(?:[T ][\d:.,]+(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|(?<![\w.+-])[\w.+-]++@[\w-]++\.[\w.]+"  # tried once for each run of letters, not at each of them
    r"|\"[^\"]{0,500}\"|'[^']{0,500}'"
    r"|[-+]?\d[\d.,:]*(?:[eE][-+]?\d+)?",
    re.IGNORECASE,
)

Scope = tuple[str, str]
"""Workspace (empty: the service's own) and logger: patterns of different ones are never one."""


class Template(msgspec.Struct):
    """A kind of message. `number` was made of its first words and stays when words become `<*>`."""

    number: int
    scope: Scope
    words: list[str]
    fresh: bool = False  # made by this miner and not stored yet

    @property
    def text(self) -> str:
        """As it is shown."""
        return " ".join(self.words)


class Miner:
    """Knows at most `most` templates; what comes when it is full has none. Not thread-safe."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self.by_number: dict[int, Template] = {}
        self._leaves: dict[tuple[Scope, int, str], list[Template]] = {}
        self._remembered: OrderedDict[tuple[Scope, str], Template] = OrderedDict()

    def learn(self, template: Template) -> None:
        """A template that was mined before."""
        self._leaves.setdefault(_path(template.scope, template.words), []).append(template)
        self.by_number[template.number] = template

    def mine(self, scope: Scope, message: str) -> Template | None:
        """The template of a message, by its first letters; None when there are too many."""
        message = message[:_LOOKED_AT]  # what is remembered is no longer either
        found = self._remembered.get((scope, message))
        if found is not None:
            self._remembered.move_to_end((scope, message))
            return found
        words = _VARIABLE.sub(ANY, message).split()[:_WORDS_MAX] or [""]
        found = self._closest(scope, words) or self._new(scope, words)
        if found is not None:
            self._remembered[scope, message] = found
            if len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)
        return found

    def _closest(self, scope: Scope, words: list[str]) -> Template | None:
        best, score = None, _SIMILAR
        for template in self._leaves.get(_path(scope, words), ()):
            equal = sum(one == other for one, other in zip(template.words, words, strict=True))
            if equal >= score * len(words):
                best, score = template, equal / len(words)
        if best is not None and score < 1:
            best.words = [one if one == other else ANY for one, other in zip(best.words, words, strict=True)]
        return best

    def _new(self, scope: Scope, words: list[str]) -> Template | None:
        leaf = self._leaves.setdefault(_path(scope, words), [])
        if len(self.by_number) >= self._most or len(leaf) >= _LEAF_MAX:
            return leaf[-1] if leaf else None
        template = Template(_number(scope, words), scope, words, fresh=True)
        leaf.append(template)
        self.by_number[template.number] = template
        return template


def _path(scope: Scope, words: list[str]) -> tuple[Scope, int, str]:
    return scope, len(words), words[0]


def _number(scope: Scope, words: list[str]) -> int:
    digest = blake2b("\0".join((*scope, *words)).encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
