"""Items that are written, not said: what an extractor or a caller asks to keep, and what became of it."""

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from cmg.memory.models import Thread

FactKind = Literal[
    "memory", "decision", "requirement", "constraint", "task", "preference", "profile", "event", "artifact", "failure"
]
SAID_KINDS = ("message", "document", "diff", "log")
FACT_KINDS: tuple[FactKind, ...] = (
    "memory", "decision", "requirement", "constraint", "task", "preference", "profile", "event", "artifact", "failure"
)  # fmt: skip
Origin = Literal["rules", "model", "caller"]
Outcome = Literal["added", "merged", "superseded", "refused"]


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item to keep. `subject` and `relation` name what a later value supersedes; without them nothing is.

    `quote` must stand verbatim in one of the `sources` (ids of passages), else the item is refused; a caller's needs
    neither. `importance` is 0 to 1; `metadata` is a JSON object.
    """

    thread: Thread
    kind: FactKind
    content: str
    origin: Origin
    subject: str | None = None
    relation: str | None = None
    value: str | None = None
    quote: str | None = None
    sources: tuple[UUID, ...] = ()
    importance: float = 0.5
    created_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    expires_at: datetime | None = None
    metadata: str | None = None


class Kept(msgspec.Struct, frozen=True):
    """What became of a new item: its id, None when it was refused, and why."""

    item_id: UUID | None
    outcome: Outcome
    reason: str | None = None
