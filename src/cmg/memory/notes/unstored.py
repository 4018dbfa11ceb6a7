"""Turns on their way into the database, as passages that a note can be made of."""

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from uuid import UUID

from cmg.kit.clock import Clock
from cmg.memory.models import TurnBatch
from cmg.memory.ranking.coming import Coming
from cmg.memory.ranking.held import Held
from cmg.memory.text.passages import passages
from cmg.memory.text.redaction import Redactor
from cmg.memory.text.rows import rows_of
from cmg.memory.turn_sink import before, messages_of

_STORED_REDACTED = Redactor()  # a gateway sends them so
_HELD = 512  # batches of some hundred characters
_HELD_S = 1.0  # a batch comes with each wish of its user until it is stored


class Said:
    """One batch as passages, made when they are first asked for."""

    def __init__(self, batch: TurnBatch, clock: Clock) -> None:
        self.batch = batch
        self._messages = messages_of(batch, _STORED_REDACTED, clock)
        self.ids: Sequence[UUID] = [
            message.item_id(part)
            for message in self._messages
            for part in range(len(passages(message.content, message.kind)))
        ]

    @cached_property
    def passages(self) -> Sequence[Coming]:
        """With their words and tokens counted, 50 µs each."""
        return [Coming(row, message.thread) for message in self._messages for row in rows_of(message, 0, 0)]


class Unstored:
    """One user's batches; of none that the drain would not store a passage is given. See `OnTheWay`."""

    def __init__(self, said: Sequence[Said]) -> None:
        self._said = said
        self.ids: Sequence[UUID] = [item_id for one in said for item_id in one.ids]

    def measure(self) -> None:
        """Count the words of what came since the user's last wish."""
        for one in self._said:
            _ = one.passages

    def passages(self, stored: Collection[UUID], erased_at: datetime | None) -> list[Coming]:
        """Those that are neither stored nor deleted, nor were said before the user was erased."""
        here = (one.passages for one in self._said if not before(one.batch, erased_at))
        return [one for passages in here for one in passages if one.row.id not in stored]


class Reader:
    """Makes passages of what is on its way, and holds them for a moment: it comes again with the user's next wish."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: Held[TurnBatch, Said] = Held(clock, _HELD, _HELD_S)

    def read(self, batches: Sequence[TurnBatch]) -> Unstored | None:
        """None of none."""
        return Unstored([self._read(batch) for batch in batches]) if batches else None

    def _read(self, batch: TurnBatch) -> Said:
        said = self._held.get(batch)
        if said is None:
            said = Said(batch, self._clock)
            self._held.put(batch, said)
        return said
