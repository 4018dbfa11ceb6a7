"""The way to the process that makes notes."""

from pathlib import Path

import msgspec

from cmg.kit.turns import Recollection
from cmg.memory.frames.client import AskFailed, FrameClient
from cmg.memory.notes.messages import Answer, Wish
from cmg.telemetry.tracing.trace import current

_CONNECT_S = 0.5
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


class NoteClient:
    """Has the notes of one gateway made elsewhere. Stays in its loop."""

    def __init__(self, path: Path) -> None:
        self._client = FrameClient(path, "process that makes notes", _decode)

    async def make(self, wish: Wish, timeout_s: float) -> Recollection:
        """The note. Raises `AskFailed`."""
        answer = await self._client.ask(
            lambda number, until: _encode(msgspec.structs.replace(wish, number=number, until=until)), timeout_s
        )
        trace = current()
        if trace is not None and answer.marks:
            trace.adopt(answer.marks)
        if answer.error is not None:
            raise AskFailed(answer.error)
        return Recollection(answer.text, answer.items, answer.tokens, answer.status, answer.ids)

    async def ready(self) -> None:
        """Raises `AskFailed` while the process cannot be reached."""
        await self._client.connect(_CONNECT_S)

    async def close(self) -> None:
        """Cut the connection."""
        self._client.close()
