"""What the embedder and its clients tell each other, as MessagePack."""

from typing import Literal

import msgspec

from cmg.memory.embedding.embedder import Model


class Request(msgspec.Struct, frozen=True, array_like=True):
    """What a client asks. `until` is on the machine's monotonic clock: later nobody waits for the answer.

    `query`: one text, answered as pgvector's text; `documents`: any number, answered as float32 rows; `describe`: none.
    `model`: None asks for the current one.
    """

    number: int
    kind: Literal["describe", "query", "documents"]
    until: float
    texts: tuple[str, ...] = ()
    model: str | None = None


class Reply(msgspec.Struct, frozen=True, array_like=True):
    """The answer to a request's number. `error` says why there is none; `refused`: the texts are the reason."""

    number: int
    model: Model | None = None
    text: str = ""
    rows: bytes = b""
    error: str | None = None
    refused: bool = False
