"""What the rules look for: a table of patterns in a file for each language, applied to one sentence at a time."""

import re
import tomllib
from functools import cache
from importlib import resources
from typing import Any, Literal

import msgspec

from cmg.memory.items.models import FactKind

_WORDS = re.compile(r"%(\w+)%")


class Pattern(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule, as `english.toml` describes it."""

    kind: FactKind
    find: str
    relation: str | None = None
    value: str | None = None
    by: Literal["user", "person", "anybody"] = "person"
    whole: bool = False
    conditional: bool = False
    importance: float = 0.5


@cache
def patterns(language: str = "english") -> tuple[tuple[Pattern, re.Pattern[str]], ...]:
    """The patterns of a language with their expressions, in their order."""
    text = resources.files("cmg.memory.extraction").joinpath(f"{language}.toml").read_text(encoding="utf-8")
    tree = tomllib.loads(text)
    listed = msgspec.convert(tree["pattern"], list[Pattern])
    return tuple((one, re.compile(_expanded(one.find, tree["words"]), re.IGNORECASE)) for one in listed)


def _expanded(text: str, words: dict[str, Any]) -> str:
    """The expression with the words of the table in their places; words may hold words."""
    while _WORDS.search(text):
        text = _WORDS.sub(lambda found: words[found[1]], text)
    return text
