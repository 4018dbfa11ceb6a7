"""Items as columns of the two tables they lie in."""

from datetime import datetime
from typing import Any

from msgspec import Raw

from cmg.memory.items.models import NewItem
from cmg.memory.models import Thread
from cmg.memory.text.rows import measured


def turn_columns(item: NewItem, numbers: tuple[int, int], now: datetime) -> dict[str, Any]:
    """A new item as a row of memory_turns, all but its id; `numbers` are the user's and the thread's."""
    thread = item.thread
    said_at = item.created_at or now
    return {
        "user_no": numbers[0],
        "thread_no": numbers[1],
        "workspace_id": thread.owner.workspace_id,
        "recorded_at": now,
        "digest": item.digest,
        "part": 0,
        "kind": item.kind,
        "agent_id": thread.agent_id,
        "app_id": thread.app_id,
        "metadata": None if item.metadata is None else Raw(item.metadata.encode()),
        "valid_from": item.valid_from,
        "valid_to": item.valid_to,
        "retired_at": None,
        "expires_at": item.expires_at,
        **text_columns(thread, (item.role, item.name), said_at, item.content),
    }


def text_columns(thread: Thread, speaker: tuple[str, str | None], said_at: datetime, content: str) -> dict[str, Any]:
    """What depends on the words; `speaker` is (role, name)."""
    size = measured(thread, speaker, said_at, content)
    return {
        "created_at": said_at,
        "role": speaker[0],
        "name": speaker[1],
        "content": content,
        "length": size.length,
        "tokens": size.tokens,
        "note_tokens": size.note_tokens,
        "terms": size.terms,
    }


def fact_columns(item: NewItem, said_at: datetime) -> dict[str, Any]:
    """A new item as a row of memory_facts, all but its ids and its owner."""
    return {
        "origin": item.origin,
        "digest": item.digest,
        "subject": item.subject,
        "relation": item.relation,
        "value": item.value,
        "quote": item.quote,
        "sources": list(dict.fromkeys(item.sources)),
        "importance": item.importance,
        "mentions": 1,
        "mentioned_at": said_at,
        "uses": 0,
        "used_at": None,
        "feedback": 0,
    }
