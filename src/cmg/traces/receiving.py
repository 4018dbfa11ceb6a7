"""Takes the records that this machine's processes send, and has them stored: bounded, and counted where it fails."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
import msgspec

from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.disk import DiskGuard
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger
from cmg.telemetry.tracing.record import Batch, TraceRecord
from cmg.traces.store import TraceStore

WAITING = 5000  # records that the database did not take yet
_BATCH = 500
_PAUSE_S = 1.0
_BUFFER_BYTES = 4 * 2**20
_DATAGRAM_BYTES = 256 * 1024
_decode = msgspec.msgpack.Decoder(Batch).decode
_log = get_logger("cmg.traces")


class Receiver:
    """The socket of a machine's traces.

    `also`, once it is set, gets every batch too, at once; it must not wait. Nothing is stored while `disk` says so.
    """

    def __init__(
        self, path: Path, store: TraceStore, clock: Clock, instruments: Instruments, disk: DiskGuard | None = None
    ) -> None:
        self._path, self._store, self._clock, self._disk = path, store, clock, disk
        self.also: Callable[[Batch], None] = nobody
        self._waiting: deque[TraceRecord] = deque()
        self._lost = instruments.series("cmg_traces_dropped_total", "receiver")
        self._unstored = instruments.series("cmg_traces_dropped_total", "store")
        self._shed = instruments.series("cmg_traces_dropped_total", "disk")
        self._shedding = instruments.series("cmg_disk_shedding_ratio", "traces")
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Listen, for this user alone; a socket that a killed predecessor left is replaced."""
        beside = self._path.with_suffix(".new")
        beside.unlink(missing_ok=True)
        self._socket = made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        made.settimeout(0)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        made.bind(str(beside))
        beside.chmod(0o600)
        beside.replace(self._path)
        asyncio.get_running_loop().add_reader(made, self._read, made)

    async def close(self) -> None:
        """Stop, and store what came."""
        if self._socket is not None:
            self._read(self._socket)
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        with contextlib.suppress(DatabaseAway):
            await self._write()

    async def run(self) -> None:
        """Store what comes, every second, until cancelled."""
        while True:
            await self._clock.sleep(_PAUSE_S)
            self._shedding.set(self._sheds())
            try:
                await self._write()
            except DatabaseAway:
                continue  # it waits, as far as there is room

    def _read(self, listening: socket.socket) -> None:
        while True:
            try:
                data = listening.recv(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            try:
                self._take(_decode(data))
            except msgspec.MsgspecError as error:
                self._lost.inc()
                _log.warning("a process sent what is no trace", error=str(error))

    def _take(self, batch: Batch) -> None:
        self.also(batch)
        if self._sheds():
            self._shed.inc(len(batch))
            return
        room = WAITING - len(self._waiting)
        self._waiting.extend(batch[:room])
        if len(batch) > room:
            self._unstored.inc(len(batch) - room)

    def _sheds(self) -> bool:
        return self._disk is not None and self._disk.sheds("traces")

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            try:
                await self._store.add(batch)
            except DatabaseAway:
                self._waiting.extendleft(reversed(batch))
                raise
            except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
                self._unstored.inc(len(batch))
                _log.warning("traces could not be stored", traces=len(batch), error=repr(error))


def nobody(_batch: Sequence[TraceRecord]) -> None:
    """Where traces go nowhere else."""
