"""An item's versions as mem0's clients know them."""

from collections.abc import Sequence
from typing import Any

from cmg.kit.clock import rfc3339
from cmg.memory.control.models import StoredItem


def history_view(versions: Sequence[StoredItem]) -> list[dict[str, Any]]:
    """One event for each version, oldest first: `ADD`, then `UPDATE`s."""
    events = []
    before: str | None = None
    for version in versions:
        event = {
            "id": str(version.id),
            "memory_id": str(version.root_id or version.id),
            "user_id": version.user_id,
            "event": "ADD" if before is None else "UPDATE",
            "old_memory": before,
            "new_memory": version.content,
            "metadata": version.metadata,
            "created_at": rfc3339(version.created_at.timestamp()),
            "updated_at": rfc3339(version.recorded_at.timestamp()),
        }
        events.append(event)
        before = version.content
    return events
