"""An answer as it went to a client."""

import msgspec


class Stored(msgspec.Struct, frozen=True):
    """Status, headers (names in lower case) and whole body; `stream`: the body is server-sent events."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    stream: bool = False
