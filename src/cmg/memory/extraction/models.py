"""What is read and what is found."""

from datetime import date, datetime
from uuid import UUID

import msgspec

from cmg.memory.items.models import FactKind, Origin
from cmg.memory.models import Thread


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A passage to draw facts from; `seq` is its place."""

    id: UUID
    seq: int
    kind: str
    role: str
    name: str | None
    agent_id: str | None
    app_id: str | None
    content: str
    created_at: datetime


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One fact in a passage. `quote` stands in it; `relation` and `value` as in `NewItem`; `day`: when it happens."""

    kind: FactKind
    content: str
    quote: str
    subject: str | None = None
    relation: str | None = None
    value: str | None = None
    importance: float = 0.5
    day: date | None = None
    origin: Origin = "rules"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A thread that this process works on. `wanted` counts the times that new turns asked for it."""

    thread_no: int
    thread: Thread
    extracted_seq: int
    wanted: int
    attempts: int
