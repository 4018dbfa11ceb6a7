"""A small set that never forgets and sometimes believes too much: whether a block may hold a word (1 in 100 wrongly).

After B. H. Bloom, "Space/time trade-offs in hash coding with allowable errors" (1970); positions by double hashing
(Kirsch and Mitzenmacher, 2006).
"""

from collections.abc import Collection
from hashlib import blake2b

import numpy as np

_BITS_A_WORD = 10
_HASHES = 7
_LEAST_BITS = 64


def bloom_of(words: Collection[str]) -> bytes:
    """The filter of these words, 10 bits each."""
    bits = max(_LEAST_BITS, len(words) * _BITS_A_WORD + 7 & ~7)
    flags = np.zeros(bits, dtype=np.uint8)
    if words:
        pairs = np.array([_pair(word) for word in words], dtype=np.uint64)
        steps = np.arange(_HASHES, dtype=np.uint64)
        places = (pairs[:, :1] + steps * pairs[:, 1:]) % np.uint64(bits)
        flags[places.ravel()] = 1
    return np.packbits(flags).tobytes()


def may_hold(bloom: bytes, words: Collection[str]) -> bool:
    """Whether all of these words may be in the filter's set; never False when they are."""
    bits = len(bloom) * 8
    for word in words:
        first, step = _pair(word)
        for number in range(_HASHES):
            place = (first + number * step) % bits
            if not bloom[place >> 3] & (0x80 >> (place & 7)):
                return False
    return True


def _pair(word: str) -> tuple[int, int]:
    # 56 bits each, so that no sum below overflows 64: both sides must count alike.
    digest = blake2b(word.encode("utf-8", "replace"), digest_size=14).digest()
    return int.from_bytes(digest[:7]), int.from_bytes(digest[7:]) | 1
