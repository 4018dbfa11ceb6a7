"""Reading what people send: every function gives a clean value or an `InvalidRequest` that names the field."""

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from cmg.kit.errors import InvalidRequest

T = TypeVar("T")

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_YEARS = range(2000, 2200)


def wrong(field: str, message: str) -> InvalidRequest:
    """The error for a field; text that cannot be encoded is replaced, since it comes from the caller."""
    clean = field.encode("utf-8", "replace").decode()[:100]
    return InvalidRequest(f"`{clean}` {message}", param=clean)


def text(value: Any, field: str, *, least: int = 0, most: int, lines: bool = False) -> str:
    """A string without control characters (line breaks only where `lines`), stripped, of bounded length."""
    if not isinstance(value, str):
        raise wrong(field, "must be a string")
    stripped = value.strip()
    if not least <= len(stripped) <= most:
        raise wrong(field, f"must have {least} to {most} characters")
    allowed = "\n\t" if lines else ""
    if any(unicodedata.category(one) in {"Cc", "Cs"} and one not in allowed for one in stripped):
        raise wrong(field, "holds a control character or a broken one; leave it away")
    return stripped


def one_of(value: Any, field: str, choices: tuple[str, ...]) -> str:
    """One of a few words."""
    if not isinstance(value, str) or value not in choices:
        raise wrong(field, f"must be one of {', '.join(choices)}")
    return value


def integer(value: Any, field: str, least: int, most: int) -> int:
    """A whole number in bounds; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise wrong(field, f"must be a whole number from {least} to {most}")
    return value


def number(value: Any, field: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > 1e15:  # noqa: PLR0124 - NaN alone differs from itself
        raise wrong(field, "must be a number")
    return float(value)


def boolean(value: Any, field: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong(field, "must be true or false")
    return value


def array(value: Any, field: str, most: int, item: Callable[[Any, str], T]) -> tuple[T, ...]:
    """A bounded list, each item read by `item(value, field)`, doubles left out."""
    if not isinstance(value, list | tuple):
        raise wrong(field, "must be a list")
    if len(value) > most:
        raise wrong(field, f"may have {most} entries at most")
    return tuple(dict.fromkeys(item(one, f"{field}[{index}]") for index, one in enumerate(value)))


def members(value: Any, field: str, names: tuple[str, ...]) -> Mapping[str, Any]:
    """An object that has no other members than these."""
    if not isinstance(value, Mapping):
        raise wrong(field, "must be an object")
    for name in value:
        if name not in names:
            raise wrong(f"{field}.{name}", f"is not known; known are {', '.join(names)}")
    return value


def moment(value: Any, field: str) -> float:
    """Epoch seconds of an RFC 3339 time with its offset, as `2026-12-31T23:59:59Z`."""
    odd = wrong(field, "must be a time as in 2026-12-31T23:59:59Z, with its offset")
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise odd
    try:
        read = datetime.fromisoformat(value.upper().replace(" ", "T"))
        seconds = read.timestamp()
    except (ValueError, OverflowError):
        raise odd from None
    if read.year not in _YEARS:
        raise wrong(field, f"must lie in the years {_YEARS.start} to {_YEARS.stop - 1}")
    return seconds
