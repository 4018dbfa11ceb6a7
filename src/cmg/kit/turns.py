"""What the gateway and the memory tell each other: scopes, turns, and what was recalled.

The two rooms are siblings and never import each other; these plain values are their common words.
"""

from typing import Literal

import msgspec

MemoryStatus = Literal["ok", "off", "degraded"]


class Scope(msgspec.Struct, frozen=True):
    """Whose memory: the tenant, the person, and the thread (a thread is workspace + user + thread id).

    `implicit`: the caller named no thread, so the call is a thread of its own and `thread_id` is ours.
    """

    workspace_id: str
    user_id: str
    thread_id: str
    agent_id: str | None = None
    app_id: str | None = None
    implicit: bool = False


class Turn(msgspec.Struct, frozen=True):
    """One thing said. `created_at` in epoch seconds is when it was said, not when it was stored."""

    role: str
    content: str
    created_at: float
    name: str | None = None


class Recollection(msgspec.Struct, frozen=True):
    """What recall found: `text` is the whole note to inject (None: nothing), `tokens` its size."""

    text: str | None
    items: int
    tokens: int
    status: MemoryStatus


# Every injected note begins with this line; what carries it is never stored again, and `sim/memory` looks for it.
NOTE_MARK = "[context-memory-gateway: notes from earlier conversations]"
