"""The journal's record of what a call got from memory and how it was answered."""

from uuid import UUID

import msgspec

from cmg.kit.turns import Told
from cmg.memory.models import Owner
from cmg.memory.text.cleaning import clean

TOLD = "told"
_QUESTION_CHARACTERS, _ANSWER_CHARACTERS = 1000, 4000  # what the use of a note shows in
_ID_BYTES = 16
_encode = msgspec.msgpack.Encoder().encode


class ToldRecord(msgspec.Struct, array_like=True, frozen=True):
    """`items`: 16 bytes each; `at` in epoch seconds. New fields go to the end, with a default."""

    workspace_id: str
    user_id: str
    at: float
    items: tuple[bytes, ...]
    question: str
    answer: str
    left_out: int = 0

    @property
    def ids(self) -> list[UUID]:
        """The items' ids."""
        return [UUID(bytes=item) for item in self.items if len(item) == _ID_BYTES]


_decoder = msgspec.msgpack.Decoder(ToldRecord)


def encode_told(owner: Owner, told: Told, at: float) -> bytes:
    """The payload of a call; the words are cut, they only live until the journal is drained."""
    question, answer = clean(told.question[:_QUESTION_CHARACTERS]), clean(told.answer[:_ANSWER_CHARACTERS])
    return _encode(ToldRecord(*owner, at, told.items, question, answer, told.left_out))


def decode_told(payload: bytes) -> ToldRecord:
    """The record of a payload. Raises `msgspec.DecodeError`."""
    return _decoder.decode(payload)
