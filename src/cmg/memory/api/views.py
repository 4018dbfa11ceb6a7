"""Stored items and threads as answers show them."""

from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET

from cmg.kit.clock import rfc3339
from cmg.memory.api.control_schemas import MemoryItem, ThreadInfo
from cmg.memory.api.schemas import Source
from cmg.memory.control.models import StoredItem, StoredThread
from cmg.memory.models import Hit
from cmg.memory.store import SaidAt


def time_of(moment: datetime | None) -> str | None:
    """A time as RFC 3339."""
    return None if moment is None else rfc3339(moment.timestamp())


def item_view(item: StoredItem, score: float | None = None) -> MemoryItem:
    """An item, with its score where something was searched."""
    return MemoryItem(
        id=str(item.id),
        kind=item.kind,
        content=item.content,
        user_id=item.user_id,
        agent_id=item.agent_id,
        app_id=item.app_id,
        thread_id=item.thread_id,
        message_id=item.message_id,
        role=item.role,
        name=item.name,
        metadata=item.metadata,
        tokens=item.tokens,
        salience=round(item.salience, 4),
        version=item.version or 1,
        created_at=rfc3339(item.created_at.timestamp()),
        updated_at=rfc3339(item.recorded_at.timestamp()),
        valid_from=rfc3339((item.valid_from or item.created_at).timestamp()),
        valid_to=time_of(item.valid_to),
        expires_at=time_of(item.expires_at),
        retired_at=time_of(item.retired_at),
        score=UNSET if score is None else round(score, 4),
    )


def thread_view(thread: StoredThread, user_id: str) -> ThreadInfo:
    """A thread of a user."""
    return ThreadInfo(
        id=thread.thread_id,
        user_id=user_id,
        named=not thread.implicit,
        items=thread.items,
        created_at=rfc3339(thread.created_at.timestamp()),
        updated_at=rfc3339(thread.updated_at.timestamp()),
    )


def source_view(said: StoredItem | SaidAt | Hit) -> Source:
    """Where an item was said."""
    at = said.created_at
    return Source(
        thread_id=said.thread_id,
        message_id=said.message_id,
        role=said.role,
        name=said.name,
        created_at=rfc3339(at.timestamp() if isinstance(at, datetime) else at),
    )


def mem0_view(item: StoredItem, score: float | None = None) -> dict[str, Any]:
    """An item as mem0's clients know it, with our own fields beside theirs."""
    own = msgspec.to_builtins(item_view(item, score))
    return {
        **own,
        "memory": item.content,
        "run_id": None if item.implicit else item.thread_id,
        "categories": [],
        "expiration_date": None if item.expires_at is None else item.expires_at.date().isoformat(),
    }
