"""Items that are written, not said: what an extractor or a caller asks to keep, and what became of it."""

import re
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b
from typing import Literal, NamedTuple
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
Origin = Literal["said", "rules", "model", "caller"]
Outcome = Literal["added", "merged", "known", "superseded", "archived", "refused"]
FeedbackType = Literal["helpful", "not_helpful", "outdated", "duplicate"]
ITEM_CHARACTERS = 8000
_SIGN = 1 << 63
_BLANKS = re.compile(r"\s+")


class NewItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item to keep. `subject` and `relation` name what a later value supersedes; without them nothing is.

    `quote` must stand in one of the `sources` (ids of passages; blanks may differ), else the item is refused; a
    caller's needs neither. `role` and `name` are whose words it holds. `importance` is 0 to 1; `metadata` is a JSON
    object. `valid_from` is when it became true, by default when it was said.
    """

    thread: Thread
    kind: FactKind
    content: str
    origin: Origin
    role: str = "user"
    name: str | None = None
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

    @property
    def digest(self) -> int:
        """64 bits of kind and folded content: the same said again has the same."""
        return digest_of(self.kind, self.content)


class Kept(msgspec.Struct, frozen=True):
    """What became of a new item: its id, None when it was refused, and why.

    `known`: nothing changed, it was drawn from these sources before. `archived`: a late word about the past, kept as an
    earlier version; the id is that version's.
    """

    item_id: UUID | None
    outcome: Outcome
    reason: str | None = None


class Gone(NamedTuple):
    """What was deleted. Passages and facts count once, however many earlier versions went with them; rows are all."""

    rows: int
    turns: int
    facts: int


NOTHING_GONE = Gone(0, 0, 0)


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit changes; what is not given stays. `metadata` is a JSON object."""

    content: str | msgspec.UnsetType = msgspec.UNSET
    metadata: str | msgspec.UnsetType | None = msgspec.UNSET
    importance: float | msgspec.UnsetType = msgspec.UNSET
    valid_from: datetime | msgspec.UnsetType | None = msgspec.UNSET
    valid_to: datetime | msgspec.UnsetType | None = msgspec.UNSET
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One version of an item, as it is stored. `retired_at` None: the current one.

    A turn that was never edited nor judged has `origin` "said" and version 1.
    """

    id: UUID
    root_id: UUID
    version: int
    kind: str
    role: str
    name: str | None
    thread_id: str
    implicit: bool
    agent_id: str | None
    app_id: str | None
    message_id: str
    content: str
    tokens: int
    metadata: str | None
    created_at: datetime
    recorded_at: datetime
    valid_from: datetime | None
    valid_to: datetime | None
    retired_at: datetime | None
    expires_at: datetime | None
    salience: float
    origin: Origin
    digest: int
    subject: str | None
    relation: str | None
    value: str | None
    quote: str | None
    sources: list[UUID]
    importance: float
    mentions: int
    mentioned_at: datetime
    uses: int
    used_at: datetime | None
    feedback: float

    @property
    def since(self) -> datetime:
        """Since when it is true."""
        return self.valid_from or self.created_at


def folded(text: str) -> str:
    """Without case, superfluous blanks and an end mark: what two ways of writing the same share."""
    return _BLANKS.sub(" ", text).strip().rstrip(".!").rstrip().casefold()


def digest_of(kind: str, content: str) -> int:
    """64 bits of kind and folded content."""
    data = f"{kind}\n{folded(content)}".encode("utf-8", "replace")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") - _SIGN


def is_quoted(quote: str, texts: Iterable[str]) -> bool:
    """Whether one of the texts holds the quote word for word; only blanks may differ."""
    wanted = _BLANKS.sub(" ", quote).strip()
    return bool(wanted) and any(wanted in _BLANKS.sub(" ", text) for text in texts)
