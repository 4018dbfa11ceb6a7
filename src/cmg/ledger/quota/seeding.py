"""Where the shared state learns what a key had spent before: from the ledger, each record exactly once.

A row is marked with a moment. What ends after it is added to the row by `settle`; what ended before it is asked from
the ledger's table. Records that still wait in a journal when the table is asked are missing at first, so it is asked
again with the same moment, soon and then at growing distances, and the difference is added.
"""

import asyncio
import heapq
from itertools import count
from typing import NamedTuple, Protocol

import structlog

from cmg.kit.clock import Clock
from cmg.kit.errors import Unavailable
from cmg.ledger.quota.models import Seeder
from cmg.ledger.quota.periods import Starts, starts
from cmg.ledger.quota.terms import Terms
from cmg.telemetry.instruments import Instruments

LEDGER_TIMEOUT_S = 2.0
WAIT_S = 4.0  # for another worker that is seeding the same key
POLL_S = 0.01
LAST_LOOK_S = 10.0  # a journal is drained within a second as long as the database is there
_LOOKS_S = (0.25, 0.5, 1.0, 2.0, LAST_LOOK_S)  # after the first: what is missing meanwhile could be spent twice
MAX_LOOKS = 100_000

log = structlog.get_logger(__name__)

Nano = tuple[int, int, int, int]


class Seedable(Protocol):
    """State that can be seeded: the rows of the file, or Redis."""

    async def begin_seeding(self, terms: Terms, periods: Starts, mark: int) -> int | None:
        """Mark the key's state: `mark`, or a negative number while another is at it, or None when it is seeded."""
        ...

    async def add_seed(self, terms: Terms, periods: Starts, mark: int, nano: Nano) -> bool:
        """Add to the spending if the mark still holds."""
        ...

    async def end_seeding(self, terms: Terms, periods: Starts, mark: int) -> None:
        """Take the mark back."""
        ...


class Look(NamedTuple):
    """A key whose spending is to be asked again at `due` (monotonic seconds). `nano`: what is known of it so far."""

    due: float
    number: int  # of the seeding, so that no two are equal
    step: int  # which of the looks it is
    terms: Terms
    periods: Starts
    mark: int
    nano: Nano


class Seeding:
    """Seeds keys when they are first needed, one query a key and machine at a time."""

    def __init__(self, state: Seedable, seeder: Seeder, clock: Clock, instruments: Instruments) -> None:
        self._state, self._seeder, self._clock, self._instruments = state, seeder, clock, instruments
        self._running: dict[str, asyncio.Task[None]] = {}
        self._looks: list[Look] = []  # a heap
        self._numbers = count()
        self._looker: asyncio.Task[None] | None = None

    async def wait(self, terms: Terms) -> None:
        """Return when the key is seeded. Raises `Unavailable` when the ledger cannot be asked."""
        key_id = terms.key.id
        task = self._running.get(key_id)
        if task is None:
            task = self._running[key_id] = asyncio.create_task(self._seed(terms))
            task.add_done_callback(lambda done: self._seeded(key_id, done))
        await asyncio.shield(task)

    async def close(self) -> None:
        """Stop everything in the background."""
        tasks = [*self._running.values(), *([self._looker] if self._looker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _seeded(self, key_id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(key_id, None)
        if not task.cancelled():
            task.exception()  # its waiters may have gone; nobody is to be told that nobody looked

    async def _seed(self, terms: Terms) -> None:
        give_up = self._clock.monotonic() + WAIT_S
        while True:
            at = self._clock.time()
            periods, mark = starts(terms.timezone, at), int(at * 1_000_000)
            held = await self._state.begin_seeding(terms, periods, mark)
            if held is None:
                return
            if held == mark and await self._fill(terms, periods, mark):
                return
            if self._clock.monotonic() >= give_up:
                raise _away(terms)
            await self._clock.sleep(POLL_S)

    async def _fill(self, terms: Terms, periods: Starts, mark: int) -> bool:
        try:
            async with asyncio.timeout(LEDGER_TIMEOUT_S):
                nano = await self._seeder(terms.key, periods, mark / 1_000_000)
        except Exception as error:  # a seeder may fail in any way the database can
            self._instruments.series("cmg_quota_seed_failures_total").inc()
            log.warning("what a key has spent cannot be read", key_id=terms.key.id, error=repr(error))
            await self._state.end_seeding(terms, periods, mark)
            raise _away(terms) from error
        if not await self._state.add_seed(terms, periods, mark, nano):
            return False
        now = self._clock.monotonic()
        if len(self._looks) < MAX_LOOKS:
            heapq.heappush(self._looks, Look(now + _LOOKS_S[0], next(self._numbers), 0, terms, periods, mark, nano))
        if self._looker is None or self._looker.done():
            self._looker = asyncio.create_task(self._look_again())
        return True

    async def _look_again(self) -> None:
        while self._looks:
            wait_s = self._looks[0].due - self._clock.monotonic()
            if wait_s > 0:
                await self._clock.sleep(min(wait_s, _LOOKS_S[0]))
                continue
            look = heapq.heappop(self._looks)
            try:
                nano = await self._missed(look)
            except Exception:  # noqa: BLE001  # the database is away: what waits in the journals waits too
                self._instruments.series("cmg_quota_seed_failures_total").inc()
                heapq.heappush(self._looks, look._replace(due=self._clock.monotonic() + LAST_LOOK_S))
                continue
            step = look.step + 1
            if nano is not None and step < len(_LOOKS_S):
                due = look.due + _LOOKS_S[step] - _LOOKS_S[look.step]
                heapq.heappush(self._looks, look._replace(due=due, step=step, nano=nano))

    async def _missed(self, look: Look) -> Nano | None:
        """Ask again and add what is new; returns what is known now, None when the key was seeded anew meanwhile."""
        async with asyncio.timeout(LEDGER_TIMEOUT_S):
            nano = await self._seeder(look.terms.key, look.periods, look.mark / 1_000_000)
        missing = (nano[0] - look.nano[0], nano[1] - look.nano[1], nano[2] - look.nano[2], nano[3] - look.nano[3])
        if not any(missing):
            return nano
        return nano if await self._state.add_seed(look.terms, look.periods, look.mark, missing) else None


def _away(terms: Terms) -> Unavailable:
    return Unavailable(
        f"what API key {terms.key.id} has spent cannot be read from the database just now; try again in a moment",
        headers={"Retry-After": "2"},
    )
