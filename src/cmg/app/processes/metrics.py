"""How `/metrics` sees every worker: each one answers a unix socket with a snapshot, backstage merges them.

A process that died is counted as it was last seen (see `telemetry.merging`): no counter falls and none counts twice,
but what it counted after the last poll, at most `POLL_S` before its end, is lost. Calls and costs are never lost: they
are in the ledger.
"""

import asyncio
from pathlib import Path

import msgspec

from cmg.app.processes.resources import Resource, Resources
from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7_hex
from cmg.telemetry import logs
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.machine.process import ProcessFigures
from cmg.telemetry.merging import Departed, Snapshot, snapshot

POLL_S = 2.0
_OWN = "backstage"
_ANSWER_S = 2.0
_MAX_BYTES = 64 * 2**20
_decode = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
_log = logs.get_logger("cmg.app.metrics")


def own_instruments() -> Instruments:
    """The metrics of a process, which count its log lines too."""
    instruments = Instruments()
    logs.count_into(instruments)
    return instruments


def process_figures(name: str, resources: Resources, instruments: Instruments) -> ProcessFigures:
    """The figures of this process."""
    figures = ProcessFigures(name, instruments)

    async def close() -> None:
        figures.close()

    resources.add(Resource("figures", close))
    return figures


class MetricsSocket:
    """A worker's side: whoever connects gets `[incarnation, snapshot]` as MessagePack, then the connection ends."""

    def __init__(self, path: Path, instruments: Instruments) -> None:
        self._path, self._instruments = path, instruments
        self._incarnation = uuid7_hex()
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; a socket left over by a killed predecessor is replaced."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, str(self._path))
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening; the file stays until the next one replaces it."""
        if self._server is not None:
            self._server.close()

    async def _answer(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(msgspec.msgpack.encode((self._incarnation, snapshot(self._instruments.registry))))
            await asyncio.wait_for(writer.drain(), _ANSWER_S)
        except (OSError, TimeoutError) as error:
            _log.debug("a reader of the metrics went away", error=repr(error))
        finally:
            writer.close()


class MergedMetrics:
    """Backstage's side: the sum over every worker that ever ran, its own registry included."""

    def __init__(self, folder: Path, own: Instruments, departed: Departed, clock: Clock) -> None:
        self._folder, self._own, self._departed, self._clock = folder, own, departed, clock
        self._incarnation = uuid7_hex()
        self.workers: dict[str, bool] = {}  # this machine's processes, and whether they answered last
        self.last: Snapshot = []  # what was merged last
        self._turn = asyncio.Lock()

    async def collect(self) -> Snapshot:
        """Ask every worker now and merge."""
        async with self._turn:
            sockets = sorted(self._folder.glob("*.metrics"))
            told = await asyncio.gather(*(self._ask(path) for path in sockets))
            answers = {path.stem: answer for path, answer in zip(sockets, told, strict=True)}
            self.workers = {place: answer is not None for place, answer in answers.items()}
            self.last = self._departed.merged({**answers, _OWN: (self._incarnation, snapshot(self._own.registry))})
            return self.last

    async def poll(self) -> None:
        """Collect for ever, so that little is lost when a worker is killed."""
        while True:
            await self._clock.sleep(POLL_S)
            await self.collect()

    async def _ask(self, path: Path) -> tuple[str, bytes] | None:
        try:
            async with asyncio.timeout(_ANSWER_S):
                reader, writer = await asyncio.open_unix_connection(str(path), limit=_MAX_BYTES)
                try:
                    return _decode(await reader.read(-1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, msgspec.DecodeError):
            return None
