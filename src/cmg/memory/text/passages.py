"""Long texts in passages that can be found and quoted alone; turns of a usual length stay whole."""

import re
from collections.abc import Iterable

TURN_CHARACTERS = 1000  # a longer turn is several things, and embedders of this size read no more of it
PASSAGE_CHARACTERS = 800
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n")  # noqa: RUF001  the full-width signs end sentences in CJK
_WORD = re.compile(r"\s+")
_HUNK = re.compile(r"^(?=diff --git |Index: |--- |@@ )", re.MULTILINE)


def passages(text: str, kind: str) -> list[str]:
    """The passages of a text of this kind (`message`, `document`, `diff`, `log`); none is empty."""
    if kind == "message" and len(text) <= TURN_CHARACTERS:
        return [text] if text.strip() else []
    if kind == "diff":
        pieces: Iterable[str] = _HUNK.split(text)
        packed = _packed(_small(pieces, (_LINE,)), "\n")
    elif kind == "log":
        packed = _packed(_small(_LINE.split(text), (_WORD,)), "\n")
    else:
        packed = _packed(_small(_PARAGRAPH.split(text), (_LINE, _SENTENCE, _WORD)), "\n\n")
    return [passage for passage in packed if passage.strip()]


def _small(pieces: Iterable[str], finer: tuple[re.Pattern[str], ...]) -> Iterable[str]:
    """Pieces of at most a passage's length: too long ones are taken apart by the finer marks, at last by force."""
    for piece in pieces:
        if len(piece) <= PASSAGE_CHARACTERS:
            yield piece.strip("\n")
        elif finer:
            joint = " " if finer[0] is not _LINE else "\n"
            yield from _packed(_small((part for part in finer[0].split(piece) if part), finer[1:]), joint)
        else:
            yield from (piece[at : at + PASSAGE_CHARACTERS] for at in range(0, len(piece), PASSAGE_CHARACTERS))


def _packed(pieces: Iterable[str], joint: str) -> Iterable[str]:
    """Neighbouring pieces together, as long as they fit a passage."""
    held = ""
    for piece in pieces:
        if not piece.strip():
            continue
        if held and len(held) + len(joint) + len(piece) > PASSAGE_CHARACTERS:
            yield held
            held = piece
        else:
            held = f"{held}{joint}{piece}" if held else piece
    if held:
        yield held
