"""Where in an expression its error is: the parser says what is wrong and not where."""

import re
from collections.abc import Iterator

from cmg.timeseries.errors import BadData
from cmg.timeseries.promql.parsing import parse

_PIECE = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`|[\w:.]+|[=!<>]=|=~|!~|\S")
_CLOSERS = {"(": ")", "{": "}", "[": "]"}
_MOST_PIECES = 400
# What the parser says of a tree that it could read: the place is no single piece.
_OF_TREES = ("expected type", "argument", "BOOL modifier", "set twice")


def column(text: str) -> int | None:
    """The column (from 1) of the first piece after which nothing that could follow makes an expression.

    None: it is too long to be looked at, or what is wrong is no matter of one place.
    """
    ends = [found.end() for found in _PIECE.finditer(text)]
    if not ends or len(ends) > _MOST_PIECES or _reads(text):
        return None
    good = 0
    for end in ends:
        if not any(_reads(text[:end] + rest) for rest in _endings(text[:end])):
            break
        good = end
    else:
        return len(text) + 1
    return good + len(text[good:]) - len(text[good:].lstrip()) + 1


def _endings(begun: str) -> Iterator[str]:
    """What may finish something that was begun: an operand, and whatever closes what is open."""
    open_ones: list[str] = []
    for piece in _PIECE.findall(begun):
        if piece in _CLOSERS:
            open_ones.append(_CLOSERS[piece])
        elif open_ones and piece == open_ones[-1]:
            open_ones.pop()
    for first in ("", "x", "1", "x[1m]", '"x"', '=""', "1m", "1m]", "1m:]", "(x)", "(x[1m])", "x, x", ":]"):
        rest = list(open_ones)
        if first.endswith("]") and rest and rest[-1] == "]":
            rest.pop()
        yield " " * (first[:1].isalnum() and begun[-1:] != "[") + first + "".join(reversed(rest))
    yield "".join(reversed(open_ones)) + " (x)"


def _reads(text: str) -> bool:
    try:
        parse(text)
    except BadData as error:
        return any(one in str(error) for one in _OF_TREES)
    return True
