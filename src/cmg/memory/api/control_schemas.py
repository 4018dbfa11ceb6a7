"""Requests and answers of `/v1/memories`, `/v1/expand`, `/v1/feedback`, `/v1/threads`, `/v1/export`, `/v1/erase`."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from cmg.memory.api.schemas import (
    MAX_ITEMS,
    MESSAGES,
    Id,
    IngestMessage,
    Moment,
    Question,
    RecallFilters,
    Source,
    UserId,
)
from cmg.memory.items.models import ITEM_CHARACTERS, FactKind

Share = Annotated[float, Meta(ge=0, le=1)]
Content = Annotated[str, Meta(min_length=1, max_length=ITEM_CHARACTERS)]


class AddRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A memory as `content`, or `messages` to remember as they were said.

    `valid_from` and `valid_to` say when it is true, `expires_at` when it is to be deleted; `importance` is 0 to 1.
    """

    user_id: UserId
    agent_id: Id | None = None
    app_id: Id | None = None
    thread_id: Id | None = None
    content: Content | None = None
    messages: Annotated[list[IngestMessage], Meta(min_length=1, max_length=MESSAGES)] | None = None
    kind: FactKind = "memory"
    importance: Share = 0.5
    metadata: dict[str, Any] | None = None
    created_at: Moment | None = None
    valid_from: Moment | None = None
    valid_to: Moment | None = None
    expires_at: Moment | None = None


class EditRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change; what is left out stays, null takes away."""

    content: Content | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType | None = UNSET
    importance: Share | UnsetType = UNSET
    valid_from: Moment | UnsetType | None = UNSET
    valid_to: Moment | UnsetType | None = UNSET
    expires_at: Moment | UnsetType | None = UNSET


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to find among a user's memories."""

    user_id: UserId
    query: Annotated[Question, Meta(min_length=1)]
    limit: Annotated[int, Meta(ge=1, le=MAX_ITEMS)] = 10
    kinds: Annotated[list[str], Meta(max_length=20)] | None = None
    filters: RecallFilters | None = None
    as_of: Moment | None = None


class FeedbackRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A judgement on an item; `value` weighs it, 0 to 1."""

    item_id: str
    feedback_type: Literal["helpful", "not_helpful", "outdated", "duplicate"]
    value: Share | None = None
    comment: Annotated[str, Meta(max_length=1000)] | None = None


class UserRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose data: the user's id as the calls named it."""

    user_id: UserId


class MemoryItem(msgspec.Struct, frozen=True, kw_only=True):
    """A memory as it stands. `updated_at`: when this version was stored; `score`: only where something was searched."""

    id: str
    kind: str
    content: str
    user_id: str
    agent_id: str | None
    app_id: str | None
    thread_id: str | None
    message_id: str
    role: str
    name: str | None
    metadata: dict[str, Any] | None
    tokens: int
    salience: float
    version: int
    created_at: str
    updated_at: str
    valid_from: str
    valid_to: str | None
    expires_at: str | None
    retired_at: str | None
    score: float | UnsetType = UNSET


class MemoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list; `next` is the cursor of the next part, null at the end."""

    items: list[MemoryItem]
    next: str | None


class MemoryList(msgspec.Struct, frozen=True, kw_only=True):
    """Memories, all of them."""

    items: list[MemoryItem]


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """What a salience is made of: `(importance + mentions + uses + feedback, held to 0..1) * age`."""

    salience: float
    importance: float
    mentions: float
    uses: float
    feedback: float
    age: float


class FeedbackAnswer(Explained, frozen=True, kw_only=True):
    """An item's salience after a judgement, and what it is made of."""

    item_id: str


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement that was made."""

    feedback_type: str
    value: float
    comment: str | None
    created_at: str


class Expanded(msgspec.Struct, frozen=True, kw_only=True):
    """An item with all that is known of it.

    `sources`: where it was said; `links`: items that were drawn from it; `uses`: how often an answer made use of it.
    """

    item: MemoryItem
    origin: str
    quote: str | None
    subject: str | None
    relation: str | None
    value: str | None
    sources: list[Source]
    versions: list[MemoryItem]
    links: list[MemoryItem]
    mentions: int
    uses: int
    used_at: str | None
    feedback: list[Judged]
    salience: Explained


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """An item's own words and those of the passages it was drawn from."""

    item: MemoryItem
    sources: list[MemoryItem]


class ThreadInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A thread of a user; `named`: the caller named it."""

    id: str
    user_id: str
    named: bool
    items: int
    created_at: str
    updated_at: str


class ThreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list of threads."""

    items: list[ThreadInfo]
    next: str | None


class ThreadView(msgspec.Struct, frozen=True, kw_only=True):
    """A thread with a part of its items, in their order."""

    thread: ThreadInfo
    items: list[MemoryItem]
    next: str | None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """How many passages that were said, and memories that were written or drawn from them, are gone."""

    turns: int
    facts: int
