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
        gone = await erased(conn, [whose(batch) for batch in batches])
        kept = [one for one in batches if not before(one, gone.get(whose(one)))] if gone else batches
        await self._writer.write(conn, [message for batch in kept for message in self._messages(batch)])

    def _messages(self, batch: TurnBatch) -> list[Message]:
        return messages_of(batch, self._policies.of(whose(batch)[0]).redactor, self._clock)


def messages_of(batch: TurnBatch, redactor: Redactor, clock: Clock) -> list[Message]:
    """A batch as it is stored; the time of a turn that is no time a calendar knows becomes the present."""
    owner = Owner(*whose(batch))
    given = (batch.implicit, batch.agent_id, batch.app_id, batch.key_id)
    thread = Thread(owner, clean(batch.thread_id), *given)
    return [_message(thread, turn, redactor, clock) for turn in batch.turns]


def _message(thread: Thread, turn: KeptTurn, redactor: Redactor, clock: Clock) -> Message:
    content = redactor.text(clean(turn.content))
    name = None if turn.name is None else redactor.text(clean(turn.name))
    return Message(
        thread=thread,
        message_id=content_id(turn.role, name, content, turn.occurrence),
        role=turn.role,
        name=name,
        content=content,
        created_at=at(turn.created_at) if 0 <= turn.created_at <= _LATEST_S else clock.now(),
    )


def decode_batch(payload: bytes) -> TurnBatch:
    """The batch of a payload. Raises `msgspec.DecodeError`."""
    return _decoder.decode(payload)


def whose(batch: TurnBatch) -> tuple[str, str]:
    """Workspace and user."""
    return clean(batch.workspace_id), clean(batch.user_id)


def before(batch: TurnBatch, erased_at: datetime | None) -> bool:
    """Whether it was said before its user was erased."""
    return erased_at is not None and batch.journalled_at <= erased_at.timestamp()
