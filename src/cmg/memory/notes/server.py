"""The process that makes notes: answers the gateways of a machine, never more at once than its bounds hold."""

import asyncio
from pathlib import Path

import msgspec

from cmg.memory.frames.connection import FrameConnection
from cmg.memory.frames.server import FrameServer
from cmg.memory.notes.maker import NoteMaker
from cmg.memory.notes.messages import Answer, Wish
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.telemetry.tracing.trace import Trace, enter

WAITING = 512  # notes at once: what their calls' deadline lets one process make, and a little more
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Wish).decode
_log = get_logger("cmg.memory.notes")
_CALLERS = "0" * 32  # its marks go back to the call that asks; ids are given there


class NoteServer:
    """Makes each note in a task of its own, for as long as somebody waits for it."""

    def __init__(self, path: Path, maker: NoteMaker, instruments: Instruments) -> None:
        self._server = FrameServer(path, self._received)
        self._maker, self._loop = maker, asyncio.get_running_loop()
        self._refused = instruments.series("cmg_memory_notes_refused_total")
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listen, for this user alone."""
        await self._server.open()

    async def close(self) -> None:
        """Stop; calls that wait for a note go on without one."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _received(self, connection: FrameConnection, frame: bytes) -> None:
        try:
            wish = _decode(frame)
        except msgspec.MsgspecError as error:
            _log.warning("a client sent what is no request; its connection is closed", error=str(error))
            connection.cut()
            return
        if len(self._tasks) >= WAITING:
            self._refused.inc()
            connection.send(_encode(Answer(wish.number, error="too many notes are wanted at once")))
            return
        task = self._loop.create_task(self._answer(connection, wish))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, connection: FrameConnection, wish: Wish) -> None:
        trace = Trace(_CALLERS, None, 0.0, 0.0)
        enter(trace)
        try:
            left = max(wish.until - self._loop.time(), 0)
            found = await self._maker.make(wish, left)
            told = (found.text, found.items, found.tokens)
            answer = Answer(wish.number, *told, ids=found.ids, status=found.status, marks=trace.marks)
        except (DatabaseAway, TimeoutError) as error:
            answer = Answer(wish.number, error=str(error) or "there was not enough time", marks=trace.marks)
        except Exception as error:  # noqa: BLE001  the call goes on without a note, the next one is tried
            _log.exception("a note failed", error=type(error).__name__)
            answer = Answer(wish.number, error=type(error).__name__)
        connection.send(_encode(answer))
