"""Identifiers: sortable UUIDs for rows, readable ids and secrets for keys."""

import os
import secrets
import time
import uuid

_ID_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # no l, o, 0, 1: people read these aloud
_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def uuid7() -> uuid.UUID:
    """A version 7 UUID (RFC 9562): 48 bits of Unix milliseconds, then random bits; sorts by time."""
    return uuid.UUID(int=_uuid7_int())


def uuid7_hex() -> str:
    """32 hex digits of a new version 7 UUID; half the price of building a `UUID` object."""
    return f"{_uuid7_int():032x}"


def _uuid7_int() -> int:
    millis = time.time_ns() // 1_000_000
    value = (millis << 80) | int.from_bytes(_ten_random_bytes())
    return value & ~(0xF << 76) & ~(0x3 << 62) | (0x7 << 76) | (0x2 << 62)


_random: list[bytes] = []


def _ten_random_bytes() -> bytes:
    """The operating system's, fetched for 400 ids at once: a system call for each costs more than all the rest."""
    try:
        return _random.pop()
    except IndexError:
        fetched = os.urandom(4000)
        _random.extend(fetched[at : at + 10] for at in range(10, 4000, 10))
        return fetched[:10]


os.register_at_fork(after_in_child=_random.clear)  # a child must not give out its parent's ids


def public_id(length: int = 12) -> str:
    """A short id that may be logged and read aloud (5 bits a character)."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(length))


def secret(length: int = 40) -> str:
    """A secret of `length` base62 characters (5.95 bits each)."""
    return "".join(secrets.choice(_BASE62) for _ in range(length))
