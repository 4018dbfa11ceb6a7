"""Requests and answers of the memory's raw routes (ingest, operations, recall, working sets); their OpenAPI too."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

MESSAGES = 1000
MESSAGE_CHARACTERS = 100_000
CONTENT_CHARACTERS = 1_000_000
MAX_ITEMS = 500
TOKEN_BUDGET = 1_000_000

USER_CHARACTERS = 512  # what a chat call may name: users, agents and threads alike
Id = Annotated[str, Meta(min_length=1, max_length=USER_CHARACTERS)]
UserId = Id
Text = Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)]
Question = Annotated[str, Meta(max_length=MESSAGE_CHARACTERS)]
Moment = str | float  # RFC 3339 or seconds since the epoch
Role = Literal["user", "assistant", "system", "developer", "tool"]


class IngestMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Without an `id` its content names it; `created_at` is when it was said, RFC 3339 or epoch seconds.

    Only what users and assistants said is kept; other roles are passed over, and messages without a text, as an
    assistant's calls of tools are. A content in parts is the text of its parts. A `name` that only says which side
    speaks (`user`, `Assistant`) is none.
    """

    role: Role
    content: Text | list[dict[str, Any]] | None = None
    id: Id | None = None
    name: Annotated[str, Meta(max_length=256)] | None = None
    created_at: Moment | None = None


class IngestRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to remember: `messages`, or `content` of a `content_type`. `wait`: answer when it is searchable."""

    user_id: UserId
    agent_id: Id | None = None
    app_id: Id | None = None
    thread_id: Id | None = None
    messages: Annotated[list[IngestMessage], Meta(max_length=MESSAGES)] | None = None
    content: Annotated[str, Meta(min_length=1, max_length=CONTENT_CHARACTERS)] | None = None
    content_type: Literal["chat", "document", "diff", "log"] | None = None
    created_at: Moment | None = None
    metadata: dict[str, Any] | None = None
    wait: bool = False


class IngestedItem(msgspec.Struct, frozen=True):
    """A stored passage and the message it belongs to."""

    id: str
    message_id: str


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an ingest; `done`: everything is searchable by words and vectors. `finished_at`: it was stored.

    `facts`: whether its thread was read for facts, which happens a moment later; null when it is not.
    """

    operation_id: str
    status: Literal["queued", "done", "failed"]
    items: list[IngestedItem]
    error: str | None = None
    facts: Literal["queued", "done", "failed"] | None = None
    created_at: str | None = None
    finished_at: str | None = None


class RecallFilters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Narrow a recall; times by when it was said, `created_before` exclusive; `metadata` must be contained."""

    thread_id: Id | None = None
    agent_id: Id | None = None
    app_id: Id | None = None
    role: Role | None = None
    created_after: Moment | None = None
    created_before: Moment | None = None
    metadata: dict[str, Any] | None = None


class RecallRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to find. `max_items` alone sets no token limit, `token_budget` alone no item limit; neither: a note's size.

    `as_of`: answer from what was known then. `thread_id` is where the question is asked, it narrows nothing. `order`:
    best first, or the best thread first with its items as they were said.
    """

    user_id: UserId
    thread_id: Id | None = None
    query: Question | None = None
    purpose: Question | None = None
    token_budget: Annotated[int, Meta(ge=0, le=TOKEN_BUDGET)] | None = None
    max_items: Annotated[int, Meta(ge=1, le=MAX_ITEMS)] | None = None
    kinds: Annotated[list[str], Meta(max_length=20)] | None = None
    filters: RecallFilters | None = None
    as_of: Moment | None = None
    order: Literal["score", "thread"] = "score"


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where an item's content was said."""

    thread_id: str
    message_id: str
    role: str
    name: str | None
    created_at: str


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something remembered; `tokens` counts its content (o200k)."""

    id: str
    kind: str
    content: str
    score: float
    tokens: int
    created_at: str
    valid_from: str
    valid_to: str | None
    sources: list[Source]


class RecallAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The items in the order that was asked for. `tokens_available`: what is left of the budget; null without one."""

    items: list[Item]
    tokens_used: int
    tokens_available: int | None


class WorkingSetRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose working set, of which thread, and what for. Without a `token_budget`: a note's size."""

    user_id: UserId
    thread_id: Id | None = None
    query: Question | None = None
    purpose: Question | None = None
    token_budget: Annotated[int, Meta(ge=0, le=TOKEN_BUDGET)] | None = None


class WorkingSetEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry: a text as it was said or drawn, and the items it stands on, the entry's own first.

    `source`: where a citation or a step of the runbook was said.
    """

    text: str
    kind: str
    item_ids: list[str]
    created_at: str
    tokens: int
    source: Source | None = None


class WorkingSetAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The sections; what nobody said stays empty. Texts are counted against the budget."""

    mission: WorkingSetEntry | None
    constraints: list[WorkingSetEntry]
    focus_decisions: list[WorkingSetEntry]
    focus_tasks: list[WorkingSetEntry]
    runbook: list[WorkingSetEntry]
    artifacts: list[WorkingSetEntry]
    citations: list[WorkingSetEntry]
    open_questions: list[WorkingSetEntry]
    tokens_used: int
    tokens_available: int
