"""Texts that the database is searched for."""

from cmg.kit.errors import InvalidRequest


def without_nul(name: str, text: str | None) -> str | None:
    """The text, which PostgreSQL can take. Raises `InvalidRequest`."""
    if text is not None and "\x00" in text:
        raise InvalidRequest(f"`{name}` must not hold a NUL character", param=name)
    return text
