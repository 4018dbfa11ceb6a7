"""What is embedded of a passage: its own words, and a window that also holds what was said before and after it."""

from typing import NamedTuple

WINDOW_SIZE = 1000  # about the 256 tokens that small models read; a character beyond ASCII is often a token alone
_BEYOND_ASCII = 4
_LEAST = 10  # characters; a shorter piece of a neighbour says nothing


class Spoken(NamedTuple):
    """A passage and who said it, if that is known."""

    name: str | None
    content: str

    def __str__(self) -> str:
        return f"{self.name}: {self.content}" if self.name else self.content


def window(before: Spoken | None, own: Spoken, after: Spoken | None) -> str | None:
    """The three as one text; None when it would be the passage alone.

    The passage itself stays whole. Its neighbours share the rest of the room: the end of the one before, the beginning
    of the one after; what one does not need the other gets.
    """
    spare = WINDOW_SIZE - _size(str(own))
    first, last = "" if before is None else str(before), "" if after is None else str(after)
    half = spare // 2
    room_last = max(half, spare - _size(first))
    last = _head(last, room_last)
    first = _tail(first, spare - _size(last))
    if not first and not last:
        return None
    return "\n".join(part for part in (first, str(own), last) if part)


def _size(text: str) -> int:
    """Characters, those beyond ASCII weighed."""
    if text.isascii():
        return len(text)
    ascii_only = len(text.encode("ascii", "ignore"))
    return ascii_only + _BEYOND_ASCII * (len(text) - ascii_only)


def _fitting(text: str, room: int) -> int:
    """How many characters fit, by the text's own mean."""
    size = _size(text)
    if size <= room:
        return len(text)
    fitting = len(text) * max(room, 0) // size
    return fitting if fitting >= _LEAST else 0


def _head(text: str, room: int) -> str:
    return text[: _fitting(text, room)]


def _tail(text: str, room: int) -> str:
    fitting = _fitting(text, room)
    return text[len(text) - fitting :]
