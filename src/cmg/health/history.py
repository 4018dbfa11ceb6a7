"""What became of levels: transitions, first in memory and in a file, then in the database as soon as it is there."""

import asyncio
import os
from collections import deque
from pathlib import Path

import msgspec

from cmg.health.models import UNKNOWN, Level, Transition
from cmg.health.store import HealthStore
from cmg.kit.clock import Clock
from cmg.kit.ids import uuid7_hex
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

RECENT = 1000  # transitions that are known without the database
_UNWRITTEN_MAX = 10_000
_PAUSE_S = 2.0
_SEEN_S = 10.0  # how often the file is written although nothing happened
_GAP_S = 90.0  # a prober that was away for longer leaves a gap in the history
_BATCH = 500
_log = get_logger("cmg.health.history")


class Kept(msgspec.Struct):
    """The file. `levels` are those last noted; `seen_at` is when somebody looked last, epoch seconds."""

    seen_at: float = 0.0
    levels: dict[str, str] = {}
    recent: list[Transition] = []  # newest first
    unwritten: list[Transition] = []  # not in the database yet, oldest first


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


def read_kept(path: Path) -> Kept:
    """The file's content; an empty history when there is none that can be read."""
    try:
        return _decode(path.read_bytes())
    except FileNotFoundError:
        return Kept()
    except (OSError, msgspec.DecodeError) as error:
        _log.warning("the file of the history of health is not used", error=repr(error))
        return Kept()


class History:
    """The transitions of one machine. Those of others come from the database."""

    def __init__(self, path: Path, machine: str, store: HealthStore, clock: Clock, instruments: Instruments) -> None:
        self._path, self.machine, self._store, self._clock = path, machine, store, clock
        self._instruments = instruments
        self._levels: dict[str, str] = {}
        self._recent: deque[Transition] = deque(maxlen=RECENT)
        self._unwritten: deque[Transition] = deque()
        self._dirty = False
        self._written_at = float("-inf")

    async def load(self) -> None:
        """Go on where the process before has ended; a long absence is a transition to UNKNOWN."""
        kept = await asyncio.to_thread(read_kept, self._path)
        self._levels = dict(kept.levels)
        self._recent.extend(kept.recent)
        self._unwritten.extend(kept.unwritten)
        if kept.seen_at and self._clock.time() - kept.seen_at > _GAP_S:
            for component in kept.levels:
                self._add(component, UNKNOWN, kept.seen_at, "nobody looked: the service did not run")

    def note(self, component: str, level: Level, at: float, output: str) -> None:
        """Take note of a level; one that is as before is no transition."""
        if self._levels.get(component) != level.name:
            self._add(component, level.name, at, output)

    async def run(self) -> None:
        """Write for ever: the file when something changed, the database as soon as it is there."""
        while True:
            await self.keep()
            await self._clock.sleep(_PAUSE_S)

    async def keep(self) -> None:
        """Write what is not written yet."""
        now = self._clock.monotonic()
        if await self._flush():
            await self._learn()
        if self._dirty or now - self._written_at >= _SEEN_S:
            self._dirty, self._written_at = False, now
            kept = Kept(self._clock.time(), dict(self._levels), list(self._recent), list(self._unwritten))
            try:
                await asyncio.to_thread(_replace, self._path, _encode(kept))
            except OSError as error:
                _log.warning("the file of the history of health cannot be written", error=repr(error))

    def _add(self, component: str, after: str, at: float, output: str) -> None:
        before = self._levels.get(component, UNKNOWN)
        self._levels[component] = after
        moved = Transition(
            id=uuid7_hex(),
            at=at,
            machine=self.machine,
            component=component,
            before=before,
            after=after,
            output=output,
        )
        self._recent.appendleft(moved)
        self._dirty = True
        self._instruments.series("cmg_health_transitions_total", component, after).inc()
        if len(self._unwritten) >= _UNWRITTEN_MAX:
            self._instruments.series("cmg_health_transitions_lost_total").inc()
            self._unwritten.popleft()
        self._unwritten.append(moved)

    async def _flush(self) -> bool:
        """Whether something was written to the database."""
        written = 0
        while self._unwritten:
            batch = [self._unwritten[place] for place in range(min(_BATCH, len(self._unwritten)))]
            try:
                await self._store.add(batch)
            except Exception as error:  # noqa: BLE001  whatever it is, looking goes on and they wait
                if not isinstance(error, DatabaseAway):
                    _log.warning("changes of levels cannot be written; they wait", error=repr(error))
                break
            for _ in batch:
                self._unwritten.popleft()
            written += len(batch)
            self._dirty = True
        self._instruments.series("cmg_health_unwritten_entries_waiting").set(len(self._unwritten))
        return written > 0

    async def _learn(self) -> None:
        """The newest of all machines, once after something of ours was written."""
        try:
            stored = await self._store.newest(RECENT)
        except Exception as error:  # noqa: BLE001  what is in memory stays
            _log.debug("the history cannot be read", error=repr(error))
            return
        known = {one.id for one in stored}
        ours = [one for one in self._unwritten if one.id not in known]
        self._recent = deque(sorted([*stored, *ours], key=order, reverse=True)[:RECENT], maxlen=RECENT)


def order(one: Transition) -> tuple[float, str]:
    """By time; those of one moment, as when nobody looked at all, by id, as the database has them."""
    return one.at, one.id


def _replace(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    fresh.replace(path)
