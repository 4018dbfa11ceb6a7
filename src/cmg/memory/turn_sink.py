"""Turns of the journal into the memory, inside the drain's transaction."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from cmg.kit.clock import Clock, at
from cmg.ledger import tokens
from cmg.memory.control.tombstone_store import erased
from cmg.memory.models import KeptTurn, Message, Owner, Thread, TurnBatch, content_id
from cmg.memory.policies import Policies
from cmg.memory.store import MemoryStore
from cmg.memory.text.cleaning import clean
from cmg.memory.text.redaction import Redactor
from cmg.memory.writing import TurnWriter
from cmg.storage.database import Connection

TURNS = "turns"
_decoder = msgspec.msgpack.Decoder(TurnBatch)
_LATEST_S = 253_402_300_799  # the end of the year 9999


class TurnSink:
    """Stores batches of turns; a batch that comes again finds its turns stored."""

    def __init__(self, clock: Clock, policies: Policies) -> None:
        self._clock, self._policies = clock, policies
        self._writer = TurnWriter(MemoryStore(), clock, policies)
        tokens.warm_up()  # the first turn must not wait for the vocabulary

    async def write(self, conn: Connection, payloads: Sequence[bytes]) -> None:
        """Store the turns of all payloads with a handful of statements.

        Raises `msgspec.DecodeError` for a payload that is no batch of turns; contents are cleaned, never refused.
        """
        batches = [decode_batch(payload) for payload in payloads]
        gone = await erased(conn, [_whose(batch) for batch in batches])
        kept = [one for one in batches if not _before(one, gone.get(_whose(one)))] if gone else batches
        await self._writer.write(conn, [message for batch in kept for message in self._messages(batch)])

    def _messages(self, batch: TurnBatch) -> list[Message]:
        owner = Owner(*_whose(batch))
        given = (batch.implicit, batch.agent_id, batch.app_id, batch.key_id)
        thread = Thread(owner, clean(batch.thread_id), *given)
        redactor = self._policies.of(owner.workspace_id).redactor
        return [self._message(thread, turn, redactor) for turn in batch.turns]

    def _message(self, thread: Thread, turn: KeptTurn, redactor: Redactor) -> Message:
        content = redactor.text(clean(turn.content))
        name = None if turn.name is None else clean(turn.name)
        return Message(
            thread=thread,
            message_id=content_id(turn.role, name, content, turn.occurrence),
            role=turn.role,
            name=name,
            content=content,
            created_at=self._moment(turn.created_at),
        )

    def _moment(self, epoch_s: float) -> datetime:
        """The time of a turn; what is no time a calendar knows becomes the present."""
        return at(epoch_s) if 0 <= epoch_s <= _LATEST_S else self._clock.now()


def decode_batch(payload: bytes) -> TurnBatch:
    """The batch of a payload. Raises `msgspec.DecodeError`."""
    return _decoder.decode(payload)


def _whose(batch: TurnBatch) -> tuple[str, str]:
    return clean(batch.workspace_id), clean(batch.user_id)


def _before(batch: TurnBatch, erased_at: datetime | None) -> bool:
    """Whether it was said before its user was erased."""
    return erased_at is not None and batch.journalled_at <= erased_at.timestamp()
