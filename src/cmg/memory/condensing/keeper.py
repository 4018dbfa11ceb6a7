"""Keeps the running summaries of threads, in the background: each is renewed when its thread has grown by a step."""

import asyncio
from typing import Protocol

from cmg.kit.clock import Clock
from cmg.memory.condensing.lines import Line, chosen, lines_of
from cmg.memory.condensing.store import Summary, SummaryStore, Unread
from cmg.memory.extraction.models import Claim
from cmg.memory.items.store import ItemStore
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments

_STEP_TOKENS = 1500  # of new turns, before a summary is made or renewed
_PASSAGES = 200  # that are read at a time
_TOGETHER_S = 5.0  # of one claim, before its last step begins; what is left then comes with the thread's next turn
_WRITE_S = 20.0


class Writer(Protocol):
    """Writes a summary in words of its own."""

    async def write(self, claim: Claim, before: str | None, unread: Unread) -> str | None:
        """The summary of what it was before and of the new turns; None: picked lines must do."""
        ...


class SummaryKeeper:
    """Renews the summary of a thread that a worker of the extraction has claimed."""

    def __init__(
        self, database: Database, clock: Clock, instruments: Instruments, budget: int, writer: Writer | None = None
    ) -> None:
        """`budget`: tokens of a summary; without a writer sentences are picked."""
        self._database, self._clock, self._instruments = database, clock, instruments
        self._budget, self._writer = budget, writer
        self._store, self._items = SummaryStore(), ItemStore()

    async def renew(self, claim: Claim) -> None:
        """Read on in the thread as far as whole steps go. Raises `DatabaseAway`."""
        if claim.thread.implicit or not self._budget:
            return
        started = self._clock.monotonic()
        while self._clock.monotonic() - started < _TOGETHER_S:
            known = await self._store.known(self._database, claim)
            unread = await self._store.unread(self._database, claim, known.up_to_seq, _PASSAGES)
            if unread.tokens < _STEP_TOKENS and len(unread.passages) < _PASSAGES:
                return
            if not await self._keep(claim, known, unread):
                return

    async def _keep(self, claim: Claim, known: Summary, unread: Unread) -> bool:
        """Whether the summary was renewed: nobody else did, and nothing it is made of was deleted meanwhile."""
        lines = await asyncio.to_thread(self._lines, known, unread)
        before = known.told or "".join(line.written for line in known.lines) or None
        told = None if self._writer is None else await self._writer.write(claim, before, unread)
        summary = Summary(lines=lines, told=told, up_to_seq=unread.passages[-1].seq)
        async with self._database.transaction(_WRITE_S) as conn:
            if await self._items.hold(conn, claim.thread.owner) is None:
                return False
            current = await self._store.known(conn, claim)
            if current.up_to_seq != known.up_to_seq:
                return False
            if not await self._store.still(conn, claim, known.up_to_seq, unread):
                return False
            await self._store.keep(conn, claim, summary, self._clock.now())
        self._instruments.series("cmg_memory_summaries_total", "picked" if told is None else "model").inc()
        return True

    def _lines(self, known: Summary, unread: Unread) -> list[Line]:
        new = lines_of(unread.passages, opening=not known.up_to_seq)
        return chosen([*known.lines, *new], self._budget)
