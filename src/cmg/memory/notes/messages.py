"""What gateways and the process that makes notes tell each other, as MessagePack."""

from collections.abc import Collection
from hashlib import blake2b
from typing import Any

import msgspec

from cmg.kit.turns import MemoryStatus, Turn
from cmg.memory.models import TurnBatch

_DIGEST_BYTES = 8


class LeftOut(msgspec.Struct, frozen=True, array_like=True):
    """What a call leaves out of its thread: so many `messages`, of which memory may see these turns."""

    messages: int
    thread_id: str
    implicit: bool
    turns: tuple[Turn, ...]


class Wish(msgspec.Struct, frozen=True, array_like=True):
    """The note that a call wants. `until` is on the machine's monotonic clock: later nobody waits for it.

    `token_budget`: of the whole note. `kinds`: a JSON list, None: any. `present`: digests of what the request holds.
    `left_out`: what the note is to stand for, if the call is shortened. `key_id`: who asks, if only its own users are
    read. `coming`: what the user and the assistant said last, where that is not in the database yet.
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
    left_out: LeftOut | None = None
    key_id: str | None = None
    coming: tuple[TurnBatch, ...] = ()


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The note, its items, its tokens and the items' ids; None: there is nothing to say. `error`: why there is none."""

    number: int
    text: str | None = None
    items: int = 0
    tokens: int = 0
    error: str | None = None
    ids: tuple[bytes, ...] = ()
    status: MemoryStatus = "ok"
    marks: list[list[Any]] = []  # what making it took, for the call's trace


def digest(content: str) -> bytes:
    """What stands for a content: another one has it too once in 2^64."""
    return blake2b(content.encode("utf-8", "replace"), digest_size=_DIGEST_BYTES).digest()


def digests(contents: Collection[str]) -> frozenset[bytes]:
    """What stands for several contents."""
    return frozenset(map(digest, contents))
