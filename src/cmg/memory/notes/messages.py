"""What gateways and the process that makes notes tell each other, as MessagePack."""

from collections.abc import Collection
from hashlib import blake2b

import msgspec

_DIGEST_BYTES = 8


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """The note that a call wants. `until` is on the machine's monotonic clock: later nobody waits for it.

    `token_budget`: of the whole note. `kinds`: a JSON list, None: any. `present`: digests of what the request holds.
    """

    number: int
    until: float
    workspace_id: str
    user_id: str
    query: str
    purpose: str | None
    token_budget: int
    kinds: str | None
    present: frozenset[bytes]


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The note, its items and its tokens; None: there is nothing to say. `error` says why there is no answer."""

    number: int
    text: str | None = None
    items: int = 0
    tokens: int = 0
    error: str | None = None


def digest(content: str) -> bytes:
    """What stands for a content: another one has it too once in 2^64."""
    return blake2b(content.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).digest()


def digests(contents: Collection[str]) -> frozenset[bytes]:
    """What stands for several contents."""
    return frozenset(map(digest, contents))
