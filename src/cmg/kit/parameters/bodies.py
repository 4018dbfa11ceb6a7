"""The body of a request to the control plane, bounded while it comes."""

from collections.abc import AsyncIterator
from typing import Protocol

from cmg.kit.errors import TooLarge


class Streamed(Protocol):
    """What is needed of a request."""

    def stream(self) -> AsyncIterator[bytes]:
        """The pieces of its body."""
        ...


async def body_of(request: Streamed, most: int, told: str) -> bytes:
    """At most so many bytes. Raises `TooLarge` with what is `told` as soon as there are more."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise TooLarge(told)
    return body
