"""Reads threads for facts, one process a thread, in the background.

A thread is due a moment after its last turn. Its facts and how far it was read are committed together, so a process
that is killed loses nothing and doubles nothing: the lease ends, another one begins where the last commit ended.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Protocol

import msgspec

from cmg.kit.clock import Clock
from cmg.memory.extraction.models import Claim, Finding, Passage
from cmg.memory.extraction.rules import extract
from cmg.memory.extraction.store import ExtractionStore
from cmg.memory.items.models import NewItem
from cmg.memory.items.writing import ItemWriter
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

_TOGETHER = 16  # threads at a time: most of them hold no fact, and share their statements
_QUICK_S, _MORE_TOGETHER = 0.25, 64  # when those were read so quickly: short ones, as busy clients leave them
_BEGUN_TOGETHER = 4  # of those that were begun and not ended: one of them may be what ended its process
_AT_ONCE = 4  # of which facts are drawn at the same time
_PASSAGES = 200  # of one thread at a time
_LEASE_S, _DEADLINE_S, _WRITE_S = 90.0, 60.0, 20.0
_BEGIN_S = 20.0  # after a claim: what is begun later may outlive its lease
_IDLE_S = 0.5
_REST_S = 1.0  # at most
_LOOK_S = 15.0  # between two looks at the backlog
_ATTEMPTS, _PAUSE_S = 5, 2.0
_FAILED_DAYS = 30
_log = get_logger("cmg.memory.extraction")
Drawn = tuple[Passage, Finding]


def how_many(done: int, took_s: float) -> int:
    """How many threads to read next, after so many: more where it is quick, never so many that a round takes long."""
    return _MORE_TOGETHER if done >= _TOGETHER and took_s < _QUICK_S else _TOGETHER


class NeverEnds(Exception):
    """Every process that read this thread was gone before it ended."""


class Extractor(Protocol):
    """Draws facts from the passages of one thread, and from nothing else."""

    async def extract(self, claim: Claim, passages: Sequence[Passage]) -> list[Drawn]:
        """The facts, each with the passage that its quote stands in."""
        ...


class Reader(Protocol):
    """Whatever else reads on in a thread when it has new turns."""

    async def renew(self, claim: Claim) -> None:
        """Read on. Raises `DatabaseAway`."""
        ...


class RuleExtractor:
    """By patterns, without a model."""

    async def extract(self, _claim: Claim, passages: Sequence[Passage]) -> list[Drawn]:
        """In a thread of its own: the event loop stays free."""
        return await asyncio.to_thread(drawn_by_rules, passages)


def drawn_by_rules(passages: Sequence[Passage]) -> list[Drawn]:
    """The facts that the patterns find, in the order in which they were said."""
    return [(passage, finding) for passage in passages for finding in extract(passage)]


class ThreadGone(Exception):
    """A thread was deleted while it was read."""


class ExtractionWorker:
    """One process's share of the work. `run` never ends by itself."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        instruments: Instruments,
        extractor: Extractor,
        writer: ItemWriter,
        beside: Reader | None = None,
    ) -> None:
        self._database, self._clock, self._instruments = database, clock, instruments
        self._extractor, self._writer, self._store = extractor, writer, ExtractionStore()
        self._beside = beside
        self._looked_at = float("-inf")
        self._together = _TOGETHER

    async def run(self) -> None:
        """Work until cancelled; goes on by itself when the database comes back."""
        while True:
            done, started = 0, self._clock.monotonic()
            with contextlib.suppress(DatabaseAway):
                done = await self.once()
                await self._show_backlog()
            # After an import there is work for minutes: half of the time belongs to the calls. Few threads are waited
            # for until they are many: a round costs as many statements for one as for all.
            took = self._clock.monotonic() - started
            await self._clock.sleep(min(took, _REST_S) if done >= _TOGETHER else _IDLE_S)
            self._together = how_many(done, took)

    async def once(self) -> int:
        """Read some threads that are due; returns how many. Raises `DatabaseAway`."""
        now = self._clock.now()
        claims = await self._store.claim(self._database, now, _LEASE_S, self._together)
        await self._work_on(claims)
        begun = await self._store.claim(self._database, now, _LEASE_S, _BEGUN_TOGETHER, begun=True)
        await self._work_on(begun)
        return len(claims) + len(begun)

    async def purge(self) -> None:
        """Forget what was given up long ago; the composition root runs it as a job."""
        await self._store.purge_failed(self._database, self._clock.now() - timedelta(days=_FAILED_DAYS))

    async def _work_on(self, claims: Sequence[Claim]) -> None:
        """Draw the facts of these threads; those that hold none are ended together."""
        if not claims:
            return
        latest = self._clock.monotonic() + _BEGIN_S
        unread = await self._store.unread(self._database, claims, _PASSAGES)
        at_once = asyncio.Semaphore(_AT_ONCE)
        given = list(zip(claims, unread, strict=True))
        done = await asyncio.gather(*(self._work(*one, at_once, latest) for one in given))
        silent = [one for one, is_silent in zip(given, done, strict=True) if is_silent]
        if silent:
            ended = [claim for claim, _ in silent]
            seqs = [passages[-1].seq if passages else claim.extracted_seq for claim, passages in silent]
            async with self._database.transaction(_WRITE_S) as conn:
                await self._store.ended(conn, ended, seqs, self._clock.now())
            await asyncio.gather(*map(self._read_beside, ended))

    async def _work(self, claim: Claim, passages: Sequence[Passage], at_once: asyncio.Semaphore, latest: float) -> bool:
        """Draw and keep the facts of one thread; whether it held none, and waits to be ended."""
        async with at_once:
            started = self._clock.monotonic()
            if started > latest:
                return False  # the lease ends, and it is tried again
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    return await self._read(claim, passages)
            except (ThreadGone, DatabaseAway):
                pass  # the second: the lease ends, and it is tried again
            except Exception as error:  # noqa: BLE001  whatever it is, the other threads go on
                await self._failed(claim, error)
            finally:
                took = self._clock.monotonic() - started
                self._instruments.series("cmg_memory_extraction_seconds").observe(took)
        return False

    async def _read(self, claim: Claim, passages: Sequence[Passage]) -> bool:
        if claim.attempts > _ATTEMPTS:
            raise NeverEnds(f"begun {claim.attempts - 1} times and never ended")
        drawn = await self._extractor.extract(claim, passages) if passages else []
        more = len(passages) == _PASSAGES
        if not drawn and not more:
            return True
        items = [_item(claim, *one) for one in drawn]
        async with self._database.transaction(_WRITE_S) as conn:
            kept = await self._writer.put(conn, items)
            if items and not await self._store.exists(conn, claim):
                # Erased meanwhile: nothing of it is kept, nor the user whom `put` has made anew.
                raise ThreadGone(f"thread {claim.thread_no}")
            await self._store.ended(conn, [claim], [passages[-1].seq], self._clock.now(), more=more)
        for item, outcome in zip(items, kept, strict=True):
            self._instruments.series("cmg_memory_facts_total", item.kind, outcome.outcome).inc()
        await self._read_beside(claim)
        return False

    async def _read_beside(self, claim: Claim) -> None:
        """The facts are committed: what goes wrong now must not have them drawn again."""
        if self._beside is None:
            return
        try:
            await self._beside.renew(claim)
        except (DatabaseAway, TimeoutError):
            return  # the thread's next turn has it tried again
        except Exception as error:  # noqa: BLE001  whatever it is, facts go on
            _log.warning("a thread was not summed up", error=f"{type(error).__name__}: {error}"[:500])

    async def _failed(self, claim: Claim, error: Exception) -> None:
        now = self._clock.now()
        given_up = now if claim.attempts >= _ATTEMPTS else None
        due = now + timedelta(seconds=_PAUSE_S**claim.attempts)
        reason = f"{type(error).__name__}: {error}"[:500]
        _log.warning(
            "facts of a thread were not drawn", attempt=claim.attempts, given_up=given_up is not None, error=reason
        )
        with contextlib.suppress(DatabaseAway):
            await self._store.failed(self._database, claim, due, given_up, reason)

    async def _show_backlog(self) -> None:
        if self._clock.monotonic() - self._looked_at < _LOOK_S:
            return
        self._looked_at = self._clock.monotonic()
        waiting, oldest = await self._store.backlog(self._database)
        lag_s = 0.0 if oldest is None else max(0.0, (self._clock.now() - oldest).total_seconds())
        self._instruments.series("cmg_memory_extraction_jobs_waiting").set(waiting)
        self._instruments.series("cmg_memory_extraction_lag_seconds").set(lag_s)


def _item(claim: Claim, passage: Passage, finding: Finding) -> NewItem:
    thread = claim.thread._replace(agent_id=passage.agent_id, app_id=passage.app_id)
    day = finding.day
    since = day if finding.relation is None else None  # what is planned may be moved to an earlier day
    return NewItem(
        thread=thread,
        kind=finding.kind,
        content=finding.content,
        origin=finding.origin,
        role=passage.role,
        name=passage.name,
        subject=finding.subject,
        relation=finding.relation,
        value=finding.value,
        quote=finding.quote,
        sources=(passage.id,),
        importance=finding.importance,
        created_at=passage.created_at,
        valid_from=None if since is None else datetime.combine(since, time(), UTC),
        metadata=None if day is None else msgspec.json.encode({"date": day}).decode(),
    )
