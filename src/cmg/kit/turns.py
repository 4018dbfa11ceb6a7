"""What the gateway and the memory tell each other: scopes, turns, and what was recalled.

The two rooms are siblings and never import each other; these plain values are their common words.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from cmg.kit.errors import InvalidRequest

# Of what is remembered: what was said, and what was written or drawn from it.
ITEM_KINDS = (
    "message", "document", "diff", "log", "memory", "decision", "requirement", "constraint", "task", "preference",
    "profile", "event", "artifact", "failure",
)  # fmt: skip
# holdout: the call went without memory so that calls with it can be compared. other_key: the user is another API key's.
MemoryStatus = Literal["ok", "off", "degraded", "holdout", "other_key"]


class Scope(msgspec.Struct, frozen=True):
    """Whose memory: the tenant, the person, and the thread (a thread is workspace + user + thread id).

    `implicit`: the caller named no thread, so the call is a thread of its own and `thread_id` is ours. `key_id`: the
    API key that speaks; None: an administrator, who speaks for everybody.
    """

    workspace_id: str
    user_id: str
    thread_id: str
    agent_id: str | None = None
    app_id: str | None = None
    implicit: bool = False
    key_id: str | None = None


class Turn(msgspec.Struct, frozen=True):
    """One thing said. `created_at` in epoch seconds is when it was said, not when it was stored."""

    role: str
    content: str
    created_at: float
    name: str | None = None


class Recollection(msgspec.Struct, frozen=True):
    """What recall found: `text` is the whole note to inject (None: nothing), `tokens` its size.

    `ids`: of those of its items that are stored, 16 bytes each.
    """

    text: str | None
    items: int
    tokens: int
    status: MemoryStatus
    ids: tuple[bytes, ...] = ()


class Shortened(msgspec.Struct, frozen=True):
    """A call that takes only a part of its conversation along.

    `turns`: what memory may see of the `messages` that are left out; `tokens`: of the note that stands for them;
    `present`: contents that the call still holds.
    """

    messages: int
    turns: Sequence[Turn]
    tokens: int
    present: Sequence[str]


class Told(msgspec.Struct, frozen=True):
    """What a call got from memory and how it was answered, to be judged later. `left_out` counts messages."""

    items: tuple[bytes, ...]
    question: str
    answer: str
    left_out: int = 0


# Every injected note begins with this line; what carries it is never stored again, and `sim/memory` looks for it.
NOTE_MARK = "[context-memory-gateway: notes from earlier conversations]"


def known_kinds(given: Iterable[str], param: str) -> list[str]:
    """The kinds of items that a request names. Raises `InvalidRequest`: one that is none would find nothing.

    No more does a list without any.
    """
    kinds = list(given)
    if not kinds:
        raise InvalidRequest(f"`{param}` is empty and would find nothing; leave it away for every kind", param=param)
    for kind in kinds:
        if kind not in ITEM_KINDS:
            shown, known = kind.encode("utf-8", "replace").decode()[:40], ", ".join(ITEM_KINDS)
            raise InvalidRequest(f"`{param}` names `{shown}`, which is none; there are: {known}", param=param)
    return kinds
