"""Carries the journal of every worker into the database, each record exactly once.

A batch is one transaction: the workers' offsets move from exactly the old to the new position, and the sinks
store the payloads. A killed drain, worker or database therefore leaves a batch wholly done or wholly undone.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmg.kit.clock import Clock
from cmg.ledger.journal import UNFINISHED
from cmg.ledger.models import RecordSink
from cmg.ledger.spool.folder import Taken, WorkerFolder
from cmg.ledger.spool.refusal import Refusals, is_poison
from cmg.ledger.spool.store import Move, Overtaken, forget_worker, load_offsets, move_offsets, purge_offsets
from cmg.ledger.spool.wakeup import Ear
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

MAX_RECORDS = 2000  # of one batch
POLL_S = 0.25  # looks that need no wake-up: new folders, dead workers, a lost wake-up
_REST, _REST_S, _LONGER = 4.0, (0.02, 0.2), 1.5
COMMIT_S = 30.0  # deadline of one batch
BACKOFF_S = (0.1, 5.0)
MEASURE_S = 1.0
PURGE_S = 3600.0
_NAME = 32  # letters of a worker's id
_UNFINISHED_S = 3600.0  # a folder that was never finished is a killed worker's after this time

_log = get_logger("cmg.ledger.drain")


@dataclass(slots=True)
class Batch:
    """What one transaction carries: records by kind, in each worker's order, and the offsets it moves."""

    kinds: dict[str, list[Taken]] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)
    damaged: int = 0
    count: int = 0


def rest_s(records: int, took_s: float, rounds: int) -> float:
    """How long to rest after a round: some times as long as it took, and longer with each of so many rounds in a row.

    Most of what a small batch costs are its statements, so lasting load shall make batches larger, not more. After a
    full batch more is waiting. Who waits for a turn knocks, and ends the rest.
    """
    least, most = _REST_S
    lasting = least * _LONGER ** min(rounds - 1, 10)
    return 0.0 if records >= MAX_RECORDS else min(max(_REST * took_s, lasting), most)


class JournalDrain:
    """One per machine drains at a time (a lock in the spool); further ones wait as spares.

    `committed` is called after every committed batch, on the event loop: it must be quick.
    """

    def __init__(
        self,
        database: Database,
        spool: Path,
        sinks: Mapping[str, RecordSink],
        clock: Clock,
        instruments: Instruments,
        committed: Callable[[], None] | None = None,
    ) -> None:
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database, self._sinks, self._clock = database, sinks, clock
        self._instruments = instruments
        self._committed = committed or (lambda: None)
        self._path = spool
        self._refusals = Refusals(spool / "refused", instruments)
        for kind in sinks:
            instruments.series("cmg_journal_records_refused_total", kind)  # from 0 on
        self._folders: dict[str, WorkerFolder] = {}
        self._turn = asyncio.Lock()
        self._measured_at = self._purged_at = float("-inf")

    async def run(self) -> None:
        """Drain until cancelled; the database away means trying again for ever, with nothing held in memory."""
        lock = os.open(self._path / "drain.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        ear, woken, loop = Ear(self._path), asyncio.Event(), asyncio.get_running_loop()
        loop.add_reader(ear.descriptor, ear.heard, woken)
        try:
            while not _locked(lock):
                await self._clock.sleep(1.0)
            await self._forever(woken)
        finally:
            loop.remove_reader(ear.descriptor)
            ear.close()
            os.close(lock)

    async def drain_once(self) -> int:
        """Commit one bounded batch over all workers; returns how many records it held.

        Raises what the database raised when it could not be committed; nothing is lost then.
        """
        async with self._turn:
            return (await self._round()).count

    async def drain_all(self) -> int:
        """Commit everything that is in the spool; returns how many records. Raises as `drain_once`."""
        total = 0
        while True:
            async with self._turn:
                batch = await self._round()
            total += batch.count
            if not batch.moves:
                return total

    def waiting(self) -> tuple[int, float]:
        """Bytes that are not in the database yet, and for how many seconds the oldest of them has waited."""
        folders = list(self._folders.values())
        since = [folder.waiting_since for folder in folders if folder.waiting_since is not None]
        size = sum(max(0, folder.end() - (folder.position or 0)) for folder in folders)
        return size, self._clock.monotonic() - min(since) if since else 0.0

    async def _forever(self, woken: asyncio.Event) -> None:
        backoff, rounds = BACKOFF_S[0], 0
        while True:
            woken.clear()
            started = self._clock.monotonic()
            try:
                async with self._turn:
                    batch = await self._round()
            except Exception as error:  # noqa: BLE001  whatever it was, the records are in the journal: try again
                self._instruments.series("cmg_journal_drain_failures_total").inc()
                _log.warning("the journal waits for the database", error=repr(error), retry_s=backoff)
                await asyncio.to_thread(self._flush)
                await self._clock.sleep(backoff)
                backoff = min(backoff * 2, BACKOFF_S[1])
                continue
            backoff = BACKOFF_S[0]
            if batch.moves:
                rounds += 1
                await _rest(rest_s(batch.count, self._clock.monotonic() - started, rounds), woken)
            else:
                rounds = 0
                await self._sleep(woken)

    async def _sleep(self, woken: asyncio.Event) -> None:
        """Sleep until a worker rings or the poll is due."""
        for folder in self._folders.values():
            folder.progress.asleep = True
        # What was written between the last look and the sign on the door has rung nobody.
        if all(folder.end() <= (folder.position or 0) for folder in self._folders.values()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await woken.wait()
        else:
            await asyncio.sleep(_REST_S[0])

    async def _round(self) -> Batch:
        self._look_around()
        self._measure()
        await self._learn_offsets()
        # Asked before reading: what a dead owner wrote is then surely seen.
        dead = {name for name, folder in self._folders.items() if folder.owner_dead()}
        batch = self._take(dead)
        if batch.moves:
            await self._commit(batch)
        await self._remove_finished(dead)
        await self._purge()
        return batch

    def _look_around(self) -> None:
        """Meet new workers; forget folders that somebody else removed."""
        names = {entry.name for entry in self._path.iterdir() if len(entry.name) == _NAME}
        for name in names - self._folders.keys():
            self._folders[name] = WorkerFolder(self._path / name)
        for name in self._folders.keys() - names:
            self._folders.pop(name).close()

    async def _learn_offsets(self) -> None:
        unknown = {folder.worker: folder for folder in self._folders.values() if folder.position is None}
        if unknown:
            async with self._database.transaction() as conn:
                offsets = await load_offsets(conn, list(unknown), self._clock.now())
            for worker, position in offsets.items():
                unknown[worker].move(position)

    def _take(self, dead: set[str]) -> Batch:
        """The next records of all workers, bounded in number and, a piece for each worker, in bytes."""
        batch, now = Batch(), self._clock.monotonic()
        for name, folder in list(self._folders.items()):
            if batch.count >= MAX_RECORDS:
                break
            self._folders[name] = self._folders.pop(name)  # whoever was not asked now comes first in the next batch
            chunk = folder.read(MAX_RECORDS - batch.count, dead=name in dead)
            if chunk.end == folder.position or folder.position is None:
                folder.tidy()
                continue
            folder.waiting_since = folder.waiting_since or now
            batch.moves.append((folder.worker, folder.position, chunk.end))
            batch.damaged += chunk.damaged
            batch.count += len(chunk.records)
            for taken in chunk.records:
                batch.kinds.setdefault(taken.kind, []).append(taken)
        return batch

    async def _commit(self, batch: Batch) -> None:
        started = self._clock.monotonic()
        try:
            await self._write(batch)
        except Overtaken:
            for worker, _, _ in batch.moves:
                self._folders[worker.hex].position = None
            raise
        for worker, _, position in batch.moves:
            folder = self._folders[worker.hex]
            folder.move(position)
            folder.waiting_since = None
        self._refusals.settle()
        self._count(batch, self._clock.monotonic() - started)
        self._committed()

    async def _write(self, batch: Batch) -> None:
        try:
            async with self._database.transaction(COMMIT_S) as conn:
                await move_offsets(conn, batch.moves, self._clock.now())
                for kind, records in self._ordered(batch):
                    await self._store(conn, kind, records)
        except Exception as error:
            self._refusals.rolled_back()
            if isinstance(error, Overtaken) or not is_poison(error):
                raise
        else:
            return
        async with self._database.transaction(COMMIT_S) as conn:
            await move_offsets(conn, batch.moves, self._clock.now())
            for kind, records in self._ordered(batch):
                await self._sift(conn, kind, records)

    def _ordered(self, batch: Batch) -> list[tuple[str, list[Taken]]]:
        """Kinds in the order of the sinks: the drains of all machines lock rows in one order, and cannot deadlock."""
        order = {kind: place for place, kind in enumerate(self._sinks)}
        return sorted(batch.kinds.items(), key=lambda one: order.get(one[0], len(order)))

    async def _store(self, conn: Any, kind: str, records: Sequence[Taken]) -> None:
        sink = self._sinks.get(kind)
        if sink is not None:
            await sink.write(conn, [taken.payload for taken in records])
            return
        for taken in records:
            self._refusals.keep(taken, "no sink knows this kind")

    async def _sift(self, conn: Any, kind: str, records: Sequence[Taken]) -> None:
        """Store what can be stored, halving down to the records that cannot; those are set aside."""
        try:
            async with conn.transaction():
                await self._store(conn, kind, records)
        except Exception as error:
            if not is_poison(error):
                self._refusals.rolled_back()
                raise
            if len(records) == 1:
                self._refusals.keep(records[0], repr(error))
                return
            half = len(records) // 2
            await self._sift(conn, kind, records[:half])
            await self._sift(conn, kind, records[half:])

    def _count(self, batch: Batch, took_s: float) -> None:
        self._instruments.series("cmg_journal_batches_total").inc()
        self._instruments.series("cmg_journal_drain_lag_seconds").observe(took_s)
        for kind, records in batch.kinds.items():
            self._instruments.series("cmg_journal_records_total", kind).inc(len(records))
        if batch.damaged:
            self._instruments.series("cmg_journal_damaged_bytes_total").inc(batch.damaged)
            _log.warning("journal bytes that are no whole record were passed over", bytes=batch.damaged)

    async def _remove_finished(self, dead: set[str]) -> None:
        """Delete the folders of dead workers whose last byte is committed, and only then their offsets."""
        for name in dead:
            folder = self._folders.get(name)
            if folder is None or folder.position is None or folder.end() > folder.position:
                continue
            del self._folders[name]
            folder.remove()
            async with self._database.transaction() as conn:
                await forget_worker(conn, folder.worker)

    async def _purge(self) -> None:
        if self._clock.monotonic() - self._purged_at < PURGE_S:
            return
        async with self._database.transaction() as conn:
            await purge_offsets(conn, self._clock.now())
        self._purged_at = self._clock.monotonic()
        for entry in self._path.iterdir():
            if entry.name.startswith(UNFINISHED) and self._clock.time() - entry.stat().st_mtime > _UNFINISHED_S:
                shutil.rmtree(entry, ignore_errors=True)

    def _measure(self) -> None:
        """Set the gauges, at most once a second."""
        now, folders = self._clock.monotonic(), self._folders.values()
        if now - self._measured_at < MEASURE_S:
            return
        self._measured_at = now
        waiting, age_s = self.waiting()
        self._instruments.series("cmg_journal_bytes").set(sum(folder.stored_bytes() for folder in folders))
        self._instruments.series("cmg_journal_undrained_bytes").set(waiting)
        self._instruments.series("cmg_journal_undrained_age_seconds").set(age_s)

    def _flush(self) -> None:
        """While the database is away, what waits is put onto the disk (in a thread)."""
        for folder in list(self._folders.values()):
            with contextlib.suppress(OSError):
                folder.flush()


async def _rest(seconds: float, woken: asyncio.Event) -> None:
    """Rest so long, or a part of it: somebody waits for what was written."""
    least = min(seconds, _REST_S[0])
    await asyncio.sleep(least)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds - least):
            await woken.wait()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
