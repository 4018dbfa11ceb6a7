"""Whatever a client sends becomes a text that the database can keep."""

import unicodedata
from hashlib import blake2b

_UNSEEN = frozenset({"Cc", "Cf", "Mn", "Zs", "Zl", "Zp"})
ID_CHARACTERS = 256  # what users, threads and messages may be called; also what an index entry can hold


def clean(text: str) -> str:
    """The text without NUL and with lone surrogates replaced: PostgreSQL stores neither."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen: spaces, controls, and what only joins, parts or turns letters."""
    text = text.strip()
    return not text or (not text.isascii() and all(unicodedata.category(one) in _UNSEEN for one in text))


def bounded_id(text: str) -> str:
    """An id of at most 256 characters; a longer one keeps its beginning and gets a hash of the whole."""
    text = clean(text)
    if len(text) <= ID_CHARACTERS:
        return text
    return f"{text[: ID_CHARACTERS - 33]}~{blake2b(text.encode(), digest_size=16).hexdigest()}"
