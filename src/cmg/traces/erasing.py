"""Traces as a place that an erasure goes through."""

from collections.abc import Sequence

from cmg.storage.database import Database
from cmg.traces.store import TraceStore


class TracedUsers:
    """Traces hold no user's id, only what it makes; those of an erased user go all the same."""

    name = "traces"

    def __init__(self, database: Database) -> None:
        self._store = TraceStore(database)

    async def erase(self, workspace_id: str, user_id: str, pseudonym: str) -> int:  # noqa: ARG002  the port's signature
        """Delete the traces of the user's calls; returns how many."""
        return await self._store.erase(workspace_id, user_id)

    async def users(self, workspace_id: str) -> Sequence[str]:  # noqa: ARG002  the port's signature
        """Nobody: who stands in a trace cannot be read from it."""
        return []
