"""The usage record of one call, and what the journal and its sinks say to each other."""

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import msgspec

from cmg.kit.errors import Unavailable

Status = Literal["ok", "error", "cut", "cancelled"]
CostOrigin = Literal["upstream", "catalogue", "estimate"]
USAGE = "usage"
_MOST = 2**63 - 1


class JournalFull(Unavailable):
    """503: too much is waiting for the database, or the disk is full; new calls wait until it has drained."""

    code = "journal_full"


class TokenUsage(msgspec.Struct, frozen=True):
    """What a call used. `cached` and `cache_write` are parts of `prompt`, `reasoning` is a part of `completion`.

    `cost_nano` is what the upstream itself says it cost, in nano-USD; `estimated`: the upstream told no numbers.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0
    cost_nano: int | None = None
    estimated: bool = False


class UsageRecord(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """One row of the ledger: who called, what answered, what it took.

    `id` is the call's id (32 hex digits, version 7), `at` epoch seconds when the call ended, money nano-USD,
    times milliseconds. The journal holds it as a MessagePack array: new fields go to the end, with a default.
    """

    id: str
    at: float
    workspace_id: str
    key_id: str
    user_id: str | None = None
    thread_id: str | None = None
    agent_id: str | None = None
    app_id: str | None = None
    tags: tuple[str, ...] = ()
    route: str = "chat"
    upstream: str | None = None
    model_asked: str = ""
    model_answered: str | None = None
    status: Status = "ok"
    http_status: int = 200
    error_type: str | None = None
    finish_reason: str | None = None
    stream: bool = False
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_nano: int = 0
    cost_origin: CostOrigin = "estimate"
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    attempts: int = 1
    memory_items: int = 0
    memory_tokens: int = 0
    memory_status: str = "off"
    trace_id: str | None = None
    replayed: bool = False

    @property
    def model(self) -> str:
        """The model that reports name: the one that answered, else the one asked for."""
        return self.model_answered or self.model_asked


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(UsageRecord)


def encode_usage(record: UsageRecord) -> bytes:
    """The record as the journal's payload of kind `usage` (about 1 µs).

    Never raises for what an upstream or a client may have sent: absurd numbers are cut to 63 bits, and halves of
    surrogate pairs replaced.
    """
    try:
        return _encoder.encode(record)
    except (OverflowError, UnicodeEncodeError):
        values = {name: _encodable(getattr(record, name)) for name in record.__struct_fields__}
        return _encoder.encode(UsageRecord(**values))


def _encodable(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return max(-_MOST, min(value, _MOST))
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return tuple(map(_encodable, value)) if isinstance(value, tuple) else value


def decode_usage(payload: bytes) -> UsageRecord:
    """The record of a payload. Raises `msgspec.DecodeError` or `msgspec.ValidationError`."""
    return _decoder.decode(payload)


class RecordSink(Protocol):
    """Where records of one kind go."""

    async def write(self, conn: Any, payloads: Sequence[bytes]) -> None:
        """Store the payloads inside the drain's transaction on `conn`.

        Any error that is not the database's own trouble (connection, locks, disk) means: one of these payloads
        can never be stored. The drain then finds it by halving the batch and sets it aside. The same payload may
        come again after a rollback, so nothing outside the transaction may count it.
        """
        ...
