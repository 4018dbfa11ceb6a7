"""Turns on their way into the database, as passages that a note can be made of."""

from collections.abc import Iterator, Sequence

from cmg.kit.clock import Clock
from cmg.memory.control.tombstone_store import erased_at
from cmg.memory.models import Message, TurnBatch
from cmg.memory.ranking.coming import Coming
from cmg.memory.store import MemoryStore
from cmg.memory.text.redaction import Redactor
from cmg.memory.text.rows import rows_of
from cmg.memory.turn_sink import before, messages_of, whose
from cmg.storage.database import Database

_STORED_REDACTED = Redactor()  # a gateway sends them so


class Unstored:
    """Makes passages of batches, but of none that the drain would not store."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock, self._store = database, clock, MemoryStore()

    async def passages(self, batches: Sequence[TurnBatch], timeout_s: float) -> list[Coming]:
        """Those that are neither stored nor deleted, of users who were not erased since. Raises `DatabaseAway`."""
        coming = {
            one.row.id: (batch, one)
            for batch in batches
            for message in messages_of(batch, _STORED_REDACTED, self._clock)
            for one in _passages(message)
        }
        async with self._database.connection(timeout_s, keeps_plans=True) as conn:
            known = await self._store.known(conn, list(coming), {batch.workspace_id for batch in batches})
            gone = await erased_at(conn, map(whose, batches))
        return [
            one
            for item_id, (batch, one) in coming.items()
            if item_id not in known and not before(batch, gone.get(whose(batch)))
        ]


def _passages(message: Message) -> Iterator[Coming]:
    return (Coming(row, message.thread) for row in rows_of(message, 0, 0))
