"""Turns on their way into the database, as passages that a note can be made of."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.memory.models import TurnBatch
from cmg.memory.ranking.coming import Coming
from cmg.memory.text.passages import passages
from cmg.memory.text.redaction import Redactor
from cmg.memory.text.rows import rows_of
from cmg.memory.turn_sink import before, messages_of

_STORED_REDACTED = Redactor()  # a gateway sends them so


class Unstored:
    """One user's batches; of none that the drain would not store a passage is made. See `OnTheWay`."""

    def __init__(self, batches: Sequence[TurnBatch], clock: Clock) -> None:
        self._messages = [(batch, one) for batch in batches for one in messages_of(batch, _STORED_REDACTED, clock)]
        self.ids: Sequence[UUID] = [
            message.item_id(part)
            for _, message in self._messages
            for part in range(len(passages(message.content, message.kind)))
        ]

    def measure(self) -> None:
        """Make the passages, 50 µs each."""
        _ = self._made

    def passages(self, stored: Collection[UUID], erased_at: datetime | None) -> list[Coming]:
        """Those that are neither stored nor deleted, nor were said before the user was erased."""
        return [one for batch, one in self._made if one.row.id not in stored and not before(batch, erased_at)]

    @cached_property
    def _made(self) -> list[tuple[TurnBatch, Coming]]:
        return [
            (batch, Coming(row, message.thread)) for batch, message in self._messages for row in rows_of(message, 0, 0)
        ]
