"""How long a page of a list is to be."""

from cmg.kit.errors import InvalidRequest

PAGE, PAGE_MOST = 100, 1000
_DIGITS = 9


def page_size(told: object, most: int = PAGE_MOST, default: int = PAGE) -> int:
    """A whole number from 1 to `most`; `default` when nothing is told. Raises `InvalidRequest` that names `limit`."""
    if told is None or told == "":
        return default
    text = str(told)
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS and 1 <= int(text) <= most):
        raise InvalidRequest(f"`limit` is a whole number from 1 to {most}", param="limit")
    return int(text)
