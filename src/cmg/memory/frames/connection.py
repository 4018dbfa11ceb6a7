"""Frames between processes of one machine: four bytes of length, then MessagePack; many may be on their way."""

import asyncio
from collections.abc import Callable
from struct import Struct
from typing import cast

MAX_BYTES = 16 * 2**20  # of one frame
_UNREAD_BYTES = 64 * 2**20  # answers that a client does not fetch; then its connection is cut
_LENGTH = Struct("!I")


class FrameConnection(asyncio.Protocol):
    """One end of a connection. `received` gets each whole frame; a frame over the bound cuts the connection."""

    def __init__(
        self,
        received: Callable[["FrameConnection", bytes], None],
        ended: Callable[["FrameConnection"], None],
    ) -> None:
        self._received, self._ended = received, ended
        self._transport: asyncio.Transport | None = None
        self._held = bytearray()

    @property
    def open(self) -> bool:
        """Whether frames can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, frame: bytes) -> None:
        """Queue one frame; into a closed connection it vanishes."""
        if self._transport is None or not self.open:
            return
        if self._transport.get_write_buffer_size() > _UNREAD_BYTES:
            self.cut()
            return
        self._transport.write(_LENGTH.pack(len(frame)) + frame)

    def cut(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._held += data
        place = 0
        while len(self._held) - place >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held, place)
            if length > MAX_BYTES:
                self.cut()
                return
            end = place + _LENGTH.size + length
            if len(self._held) < end:
                break
            frame = bytes(self._held[place + _LENGTH.size : end])
            place = end
            self._received(self, frame)
        del self._held[:place]

    def connection_lost(self, _error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._ended(self)
