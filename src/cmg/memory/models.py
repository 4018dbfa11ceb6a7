"""What is stored and what is found, as plain values; ids that make a repetition meet itself."""

import uuid
from datetime import datetime
from hashlib import blake2b
from typing import Literal, NamedTuple

import msgspec

from cmg.kit.errors import Forbidden
from cmg.kit.turns import Scope
from cmg.memory.text.cleaning import bounded_id

Kind = Literal["message", "document", "diff", "log"]
KEPT_ROLES = frozenset({"user", "assistant"})
_SIGN = 1 << 63


class KeptTurn(msgspec.Struct, array_like=True, frozen=True):
    """A turn in the journal. `occurrence`: how many turns of the same words and speaker stand before it."""

    role: str
    content: str
    created_at: float
    name: str | None
    occurrence: int


class TurnBatch(msgspec.Struct, array_like=True, frozen=True):
    """The journal's payload of kind `turns`: what one call adds. New fields go to the end, with a default."""

    workspace_id: str
    user_id: str
    thread_id: str
    agent_id: str | None
    app_id: str | None
    implicit: bool
    turns: tuple[KeptTurn, ...]
    journalled_at: float = 0.0
    key_id: str | None = None


class Owner(NamedTuple):
    """Whose memory: every id cleaned and bounded, the same way for writing and reading."""

    workspace_id: str
    user_id: str


class Thread(NamedTuple):
    """A thread with what its turns share. `implicit`: the caller named none.

    `key_id`: in whose name its user is stored; None: everybody's.
    """

    owner: Owner
    thread_id: str
    implicit: bool = False
    agent_id: str | None = None
    app_id: str | None = None
    key_id: str | None = None


class UserOfAnotherKey(Forbidden):
    """403: another key of the workspace stored the user, and the workspace does not share its users."""

    code = "user_of_another_key"

    def __init__(self) -> None:
        super().__init__(
            "another API key of this workspace stored this user; use that key, or let the workspace share its users "
            "(`memory.shared`)",
            param="user_id",
        )


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to store; `metadata` is JSON."""

    thread: Thread
    message_id: str
    role: str
    name: str | None
    content: str
    created_at: datetime
    kind: Kind = "message"
    metadata: str | None = None

    @property
    def digest(self) -> int:
        """64 bits of who said what: another digest under the same id is another message."""
        return int.from_bytes(_hash(8, self.role, self.content), "big") - _SIGN

    def item_id(self, part: int = 0) -> uuid.UUID:
        """The id of one of its passages."""
        owner = self.thread.owner
        keys = (owner.workspace_id, owner.user_id, self.thread.thread_id, self.message_id, str(part))
        return uuid.UUID(bytes=_hash(16, *keys))


class Hit(msgspec.Struct, array_like=True, frozen=True):
    """A passage that was found, in the order of the search's columns.

    `score` is its BM25 relevance, `note_tokens` counts its line in a note, `created_at` is in epoch seconds.
    """

    id: str
    score: float
    tokens: int
    note_tokens: int
    kind: str
    role: str
    name: str | None
    thread_id: str
    implicit: bool
    message_id: str
    seq: int
    created_at: float
    content: str


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a search is narrowed to; None: anything. `as_of`: only what was known then.

    `kinds` is a JSON list, `metadata` JSON that a message contains.
    """

    kinds: str | None = None
    thread_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    role: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    as_of: datetime | None = None
    metadata: str | None = None

    @property
    def narrows(self) -> bool:
        """Whether it leaves out anything that is known."""
        return any(getattr(self, name) is not None for name in self.__struct_fields__ if name != "as_of")


def walled(key_id: str | None, users_key: str | None) -> bool:
    """Whether a key (None: any) may not reach a user whom a key stored (None: everybody's)."""
    return key_id is not None and users_key is not None and key_id != users_key


def owner_of(workspace_id: str, user_id: str) -> Owner:
    """The owner that these ids name."""
    return Owner(workspace_id, bounded_id(user_id))


def thread_of(scope: Scope) -> Thread:
    """The thread of a call."""
    agent = None if scope.agent_id is None else bounded_id(scope.agent_id)
    app = None if scope.app_id is None else bounded_id(scope.app_id)
    owner = owner_of(scope.workspace_id, scope.user_id)
    return Thread(owner, bounded_id(scope.thread_id), scope.implicit, agent, app, scope.key_id)


def content_id(role: str, name: str | None, content: str, occurrence: int) -> str:
    """The message id of what comes without one: the same words of the same speaker, the same time over."""
    return _hash(16, role, name or "", content, str(occurrence)).hex()


def content_thread(contents: list[str]) -> str:
    """The id of an unnamed thread: sending the same things again finds the same thread."""
    return f"ingest-{_hash(16, *contents).hex()}"


def _hash(size: int, *texts: str) -> bytes:
    """A hash of several texts that no shift of their borders can repeat."""
    hashed = blake2b(digest_size=size)
    for text in texts:
        data = text.encode("utf-8", "replace")
        hashed.update(b"%d:" % len(data) + data)
    return hashed.digest()
