"""Long texts in passages that can be found and quoted alone; turns of a usual length stay whole."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from cmg.memory.text.cleaning import is_blank

TURN_CHARACTERS = 1000  # a longer turn is several things, and embedders of this size read no more of it
PASSAGE_CHARACTERS = 800
_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_LINE = re.compile(r"\n")
_SENTENCE = re.compile(r"(?<=[.!?。！？؟۔।])\s+|(?<=[。！？])|\n")  # noqa: RUF001  CJK, Arabic, Urdu, Hindi end so
_WORD = re.compile(r"\s+")
_BREAK = re.compile(r"\n(?:[ \t]*\n)*")
_HEADING = re.compile(r"\s*(?:#.*|\*\*[^*]+\*\*:?|.{0,120}:)\s*")
_HUNK = re.compile(r"^(?=diff --git |Index: |--- |@@ )", re.MULTILINE)


def passages(text: str, kind: str) -> list[str]:
    """The passages of a text of this kind (`message`, `document`, `diff`, `log`); none is empty."""
    if kind == "message":
        return ([text] if len(text) <= TURN_CHARACTERS else list(_even(text))) if not is_blank(text) else []
    if kind == "diff":
        pieces: Iterable[str] = _HUNK.split(text)
        packed = _packed(_small(pieces, (_LINE,)), "\n")
    elif kind == "log":
        packed = _packed(_small(_LINE.split(text), (_WORD,)), "\n")
    else:
        packed = _packed(_small(_PARAGRAPH.split(text), (_LINE, _SENTENCE, _WORD)), "\n\n")
    return [passage for passage in packed if not is_blank(passage)]


def _even(text: str) -> Iterator[str]:
    """A long message in passages of about one length: a heading stands with what follows, and no rest stands alone."""
    lines = list(_lines(text))
    left = sum(map(len, lines))
    parts = math.ceil(left / TURN_CHARACTERS)
    held: list[str] = []
    size = 0
    for line in lines:
        full = size + len(line) > TURN_CHARACTERS
        if held and (full or (parts > 1 and size + len(line) / 2 > left / parts)):
            end = _end(held)
            if sum(map(len, held[end:])) + len(line) > TURN_CHARACTERS:
                end = len(held)
            yield _joined(held[:end])
            left -= sum(map(len, held[:end]))
            parts = math.ceil(left / TURN_CHARACTERS)
            held = held[end:]
            size = sum(map(len, held))
        held.append(line)
        size += len(line)
    yield _joined(held)


def _joined(lines: Sequence[str]) -> str:
    return "".join(lines).removeprefix(" ").strip("\n")


def _end(lines: Sequence[str]) -> int:
    """How many of these lines end a passage: not the headings behind the others."""
    return next((place for place in range(len(lines), 0, -1) if not _HEADING.fullmatch(lines[place - 1])), len(lines))


def _lines(text: str) -> Iterator[str]:
    """The lines of a text that hold something, too long ones by sentences, each behind what parts it from the last."""
    before, at = "", 0
    for end, after in [*((found.start(), found.end()) for found in _BREAK.finditer(text)), (len(text), len(text))]:
        line = text[at:end]
        if line.strip():
            parts = [line] if len(line) < TURN_CHARACTERS else list(_small(_SENTENCE.split(line), (_WORD,)))
            yield from (f"{before if place == 0 else ' '}{part}" for place, part in enumerate(parts) if part.strip())
        before, at = "\n\n" if text.count("\n", end, after) > 1 else "\n", after


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
