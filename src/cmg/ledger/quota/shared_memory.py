"""Limits and budgets that are exact over the workers of one machine, in a memory-mapped file (no server needed)."""

from collections.abc import Iterable
from pathlib import Path

import structlog

from cmg.kit.clock import Clock
from cmg.kit.errors import CmgError, Unavailable
from cmg.ledger.quota.admission import error_of
from cmg.ledger.quota.models import NOTHING, Demand, Grant, Seeder, Spent
from cmg.ledger.quota.periods import Starts, starts
from cmg.ledger.quota.rows import Nano, Rows
from cmg.ledger.quota.seeding import Seeding
from cmg.ledger.quota.share import Answer, Told
from cmg.ledger.quota.table import SLOTS, WORKERS, Table, TableFull, create_file
from cmg.ledger.quota.terms import Terms, TermsCache, digest_of, zone_of
from cmg.telemetry.instruments import Instruments

__all__ = ["SLOTS", "WORKERS", "SharedMemoryQuota", "create_file", "release_worker"]

log = structlog.get_logger(__name__)


def release_worker(path: Path, worker: int) -> int:
    """Give back what a dead worker held, from another process (the supervisor). Returns its calls in flight.

    A new `SharedMemoryQuota` of the same worker number does the same; this is for when none follows at once.
    Never call it in a process that has a `SharedMemoryQuota` open: closing a file ends the process' locks on it.
    """
    table = Table(path)
    try:
        return table.release(worker)
    finally:
        table.close()


class SharedMemoryQuota:
    """A `Quota` of one worker process. Worker numbers are unique among the living processes of a machine.

    `seeder` tells what a key spent before its row was made; without one, rows begin at 0.
    """

    def __init__(
        self, path: Path, worker: int, clock: Clock, instruments: Instruments, *, seeder: Seeder | None = None
    ) -> None:
        self._table = table = Table(path)
        if not 0 <= worker < table.workers:
            table.close()
            raise ValueError(f"worker {worker}: {path} was made for the workers 0 to {table.workers - 1}")
        table.release(worker)
        self._clock, self._instruments = clock, instruments
        gauge = instruments.series("cmg_quota_keys")
        self._rows = Rows(table, worker, clock, gauge, ask_ledger=seeder is not None)
        self._terms = {0: TermsCache()}
        self._seeding = Seeding(self, seeder, clock, instruments) if seeder is not None else None

    @property
    def machine(self) -> str:
        """An id that this file's workers share and no other machine has."""
        return f"{self._table.id:016x}"

    async def acquire(self, demand: Demand, share: int = 0) -> Grant:
        """See `Quota.acquire`. Waits only for what the ledger knows about a key with a budget seen for the first time.

        `share`: of how many machines this is one, which cannot ask each other (0: it is the only one). It may use that
        part of each limit, and of the budget what was set aside for it.
        """
        terms = (self._terms.get(share) or self._terms_of(share)).of(demand.key, demand.timezone)
        if terms.empty:
            return NOTHING
        while True:
            at = self._clock.time()
            try:
                verdict = self._rows.try_admit(terms, demand.tokens, demand.cost_nano, starts(demand.timezone, at))
            except TableFull as error:
                raise self._full(terms, error) from error
            if isinstance(verdict, Grant):
                return verdict
            if verdict is not None:
                self._instruments.series("cmg_limit_refusals_total", verdict.reason).inc()
                raise error_of(verdict, terms, at)
            assert self._seeding is not None
            await self._seeding.wait(terms)

    def settle(self, grant: Grant, tokens: int, cost_nano: int) -> None:
        """See `Quota.settle`."""
        if grant.settled or grant is NOTHING:
            return
        grant.settled = True
        try:
            self._rows.settle(grant, tokens, cost_nano, starts(grant.terms.timezone, self._clock.time()))
        except Exception:  # the answer is on its way already: a call must not fail here
            self._instruments.series("cmg_quota_settles_dropped_total").inc()
            log.exception("a call could not be settled", key_id=grant.terms.key.id)

    async def seed(self, spent: Iterable[Spent]) -> None:
        """See `Quota.seed`. To be called on a new file, before the first worker uses it."""
        for one in spent:
            self._rows.seed_new(one.key_id, digest_of(one.key_id), zone_of(one.timezone), one.starts, one.nano)

    def tell(self, terms: Terms, *, give_back: bool = False) -> Told:
        """What the whole cluster is to know of this machine's part of a budget; `give_back`: it wants none of it."""
        try:
            return self._rows.tell(terms, starts(terms.timezone, self._clock.time()), give_back=give_back)
        except TableFull:
            return Told(0, 0)

    def hear(self, terms: Terms, at: float, answer: Answer) -> int:
        """Remember what the whole cluster knew at `at` (epoch s), for when it cannot be asked.

        Returns where it stands, for `Grant.place`; -1 when there is no room.
        """
        try:
            return self._rows.hear(terms, starts(terms.timezone, at), answer)
        except TableFull:
            self._instruments.series("cmg_limit_refusals_total", "table_full").inc()
            return -1

    async def close(self) -> None:
        """Stop what runs in the background and unmap the file."""
        if self._seeding is not None:
            await self._seeding.close()
        self._table.close()

    async def begin_seeding(self, terms: Terms, periods: Starts, mark: int) -> int | None:
        """See `Seedable`."""
        return self._rows.begin_seeding(terms, periods, mark)

    async def add_seed(self, terms: Terms, periods: Starts, mark: int, nano: Nano) -> bool:
        """See `Seedable`."""
        return self._rows.add_seed(terms, periods, mark, nano)

    async def end_seeding(self, terms: Terms, periods: Starts, mark: int) -> None:
        """See `Seedable`."""
        self._rows.end_seeding(terms, periods, mark)

    def _terms_of(self, share: int) -> TermsCache:
        if len(self._terms) > 16:  # the number of machines changes rarely
            self._terms = {0: self._terms[0]}
        made = self._terms[share] = TermsCache(share)
        return made

    def _full(self, terms: Terms, error: TableFull) -> CmgError:
        """Fail closed: a limit that cannot be counted is not a limit."""
        self._instruments.series("cmg_limit_refusals_total", "table_full").inc()
        log.error("no room for the limits of another key", key_id=terms.key.id, error=str(error))
        return Unavailable(
            "too many API keys with limits are in use on this machine to count another; try again in a minute",
            headers={"Retry-After": "60"},
        )
