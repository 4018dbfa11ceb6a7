"""Items and threads as they are stored, and what a list is narrowed to."""

from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

import msgspec

from cmg.memory.text.cleaning import bounded_id


class StoredItem(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the view `memory_items`; what stands after `salience` is None for what was simply said."""

    id: UUID
    seq: int
    user_no: int
    user_id: str
    thread_id: str
    implicit: bool
    agent_id: str | None
    app_id: str | None
    kind: str
    role: str
    name: str | None
    message_id: str
    part: int
    content: str
    tokens: int
    metadata: dict[str, Any] | None
    created_at: datetime
    recorded_at: datetime
    valid_from: datetime | None
    valid_to: datetime | None
    retired_at: datetime | None
    expires_at: datetime | None
    salience: float
    root_id: UUID | None
    version: int | None
    origin: str | None
    subject: str | None
    relation: str | None
    value: str | None
    quote: str | None
    sources: list[UUID] | None
    importance: float | None
    mentions: int | None
    uses: int | None
    used_at: datetime | None
    feedback: float | None


class StoredJudgement(msgspec.Struct, frozen=True, kw_only=True):
    """A judgement on an item; `value` is what it added to the item's feedback."""

    item_id: UUID
    feedback_type: str
    value: float
    comment: str | None
    created_at: datetime


class StoredThread(msgspec.Struct, frozen=True, kw_only=True):
    """A thread of one user; `items` counts its current items."""

    thread_no: int
    thread_id: str
    implicit: bool
    created_at: datetime
    updated_at: datetime
    items: int


class StoredSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The summary of a thread: lines as `condensing.lines.Line`, and a model's words if one wrote it."""

    thread_no: int
    thread_id: str
    lines: list[tuple[int, float, str, str | None, str]]
    told: str | None
    updated_at: datetime


class Entity(msgspec.Struct, frozen=True):
    """Somebody or something that has memories: a user, an agent, an application or a thread."""

    type: str
    name: str
    items: int
    created_at: datetime
    updated_at: datetime


class Narrow(msgspec.Struct, frozen=True, kw_only=True):
    """What a list holds. `predicate`: a jsonpath that the item as JSON must fulfil (7 µs an item)."""

    kinds: list[str] | None = None
    thread_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    predicate: str | None = None


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Whose items, over all users of a workspace: those of any of these users, agents, applications or threads.

    `key_id`: only users whom this key stored, and everybody's; None: all.
    """

    users: list[str] = []
    agents: list[str] = []
    apps: list[str] = []
    threads: list[str] = []
    key_id: str | None = None

    @property
    def one_user(self) -> str | None:
        """The user, when it is a single one and nothing else."""
        alone = len(self.users) == 1 and not (self.agents or self.apps or self.threads)
        return self.users[0] if alone else None


class Tombstone(msgspec.Struct, frozen=True):
    """One erasure: `digest` is SHA-256 of salt and user id."""

    workspace_id: str
    salt: bytes
    digest: bytes
    erased_at: datetime

    def names(self, user_id: str) -> bool:
        """Whether it is this user's."""
        return digest_of(self.salt, bounded_id(user_id)) == self.digest


class BegunErasure(msgspec.Struct, frozen=True):
    """An erasure that is not through. `user_id`: as the caller named it; `last_seq`: their newest item then."""

    workspace_id: str
    digest: bytes
    user_id: str
    pseudonym: str
    actor: str
    client: str
    erased_at: datetime
    last_seq: int


def digest_of(salt: bytes, user_id: str) -> bytes:
    """What a tombstone keeps of a user's id."""
    return sha256(salt + user_id.encode()).digest()


EVERYTHING = Narrow()
