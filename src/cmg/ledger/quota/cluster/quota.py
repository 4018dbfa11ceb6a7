"""Limits and budgets that hold over every worker and machine with the same Redis."""

import asyncio
import contextlib
from collections.abc import Iterable
from itertools import count
from secrets import token_hex
from typing import Any

from cmg.kit.clock import Clock
from cmg.kit.errors import Unavailable
from cmg.ledger.quota.admission import Refusal, error_of, too_fast
from cmg.ledger.quota.cluster import scripts
from cmg.ledger.quota.cluster.link import RedisAway, RedisLink
from cmg.ledger.quota.cluster.upkeep import LEASE_S, Upkeep, names_of
from cmg.ledger.quota.models import NOTHING, Demand, Grant, Seeder, Spent
from cmg.ledger.quota.periods import Starts, starts
from cmg.ledger.quota.rows import MARK_TTL_US, Nano
from cmg.ledger.quota.seeding import Seeding
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.ledger.quota.table import TableFull
from cmg.ledger.quota.terms import SECOND, Bucket, Terms, TermsCache
from cmg.telemetry.instruments import Instruments

_GRANTED, _CONCURRENCY, _BUDGET, _UNSEEDED = 0, 1, 5, 6
_RATES = {2: "minutely", 3: "hourly", 4: "tokens"}
_SEEDING_ROUNDS = 5


class RedisQuota:
    """A `Quota` in Redis. While Redis is away, `fallback` decides with this machine's share; never open.

    `seeder` tells what a key has spent: for keys new to Redis, after Redis lost its data, and for keys that were
    used while it was away. Without one, such spending is only added up as far as this process knows it.
    `machines`: how many share the Redis at least (more are found out by themselves).
    """

    def __init__(
        self,
        url: str,
        fallback: SharedMemoryQuota,
        clock: Clock,
        instruments: Instruments,
        *,
        seeder: Seeder | None = None,
        machines: int = 1,
    ) -> None:
        self._local, self._clock, self._instruments = fallback, clock, instruments
        self._link = RedisLink(url, clock)
        self._upkeep = Upkeep(self._link, fallback.machine, machines, clock, instruments)
        self._seeding = Seeding(self, seeder, clock, instruments) if seeder is not None else None
        self._terms = TermsCache()
        self._process, self._numbers = token_hex(8), count()

    async def acquire(self, demand: Demand) -> Grant:
        """See `Quota.acquire`. One round trip to Redis; 0.25 s at most when it is going away."""
        terms = self._terms.of(demand.key, demand.timezone)
        if terms.empty:
            return NOTHING
        self._upkeep.start()
        try:
            return await self._acquire(terms, demand)
        except RedisAway:
            pass
        except Unavailable:  # neither Redis nor the ledger knows what the key has spent: what was last heard counts
            pass
        self._instruments.series("cmg_quota_fallback_calls_total").inc()
        return await self._local.acquire(demand, self._upkeep.machines)

    def settle(self, grant: Grant, tokens: int, cost_nano: int) -> None:
        """See `Quota.settle`. Queued; retried until Redis has it."""
        if grant.settled or grant is NOTHING:
            return
        terms = grant.terms
        names = names_of(terms.digest)
        if grant.place >= 0:
            self._local.settle(grant, tokens, cost_nano)
            if cost_nano and self._seeding is not None:
                self._upkeep.distrust(names[0])
                return
            if not cost_nano:
                return
            grant.id = self._lease(0)
        elif cost_nano and terms.budget is not None:
            with contextlib.suppress(TableFull):
                self._local.add_spent(terms, starts(terms.timezone, self._clock.time()), cost_nano)
        grant.settled = True
        self._settle(grant, names, tokens, cost_nano)

    async def seed(self, spent: Iterable[Spent]) -> None:
        """Nothing to do ahead: Redis is seeded key by key, when a key is first used."""

    async def close(self) -> None:
        """Send queued settlements (1 s at most), stop, and close the fallback too."""
        await self._upkeep.close()
        if self._seeding is not None:
            await self._seeding.close()
        await self._link.close()
        await self._local.close()

    async def begin_seeding(self, terms: Terms, periods: Starts, mark: int) -> int | None:
        """See `Seedable`. Raises `RedisAway`."""
        args = (mark, *_whole(periods), terms.zone, MARK_TTL_US)
        return int(await self._link.run(scripts.BEGIN_SEEDING, names_of(terms.digest)[:1], args)) or None

    async def add_seed(self, terms: Terms, periods: Starts, mark: int, nano: Nano) -> bool:
        """See `Seedable`. Raises `RedisAway`."""
        args = (mark, *_whole(periods), *nano)
        return bool(await self._link.run(scripts.ADD_SEED, names_of(terms.digest)[:1], args))

    async def end_seeding(self, terms: Terms, periods: Starts, mark: int) -> None:
        """See `Seedable`. Raises `RedisAway`."""
        del periods
        await self._link.run(scripts.UNSEED, names_of(terms.digest)[:1], (str(mark),))

    async def _acquire(self, terms: Terms, demand: Demand) -> Grant:
        names = names_of(terms.digest)
        for _ in range(_SEEDING_ROUNDS):
            if names[0] in self._upkeep.stale:
                await self._upkeep.unseed([names[0]])
            at = self._clock.time()
            periods = starts(demand.timezone, at)
            lease = self._lease(demand.cost_nano)
            charged = demand.tokens if terms.tokens is None else min(demand.tokens, terms.tokens.size)
            args = self._demand_args(terms, lease, charged, demand.cost_nano, periods)
            try:
                answer = await self._link.run(scripts.ACQUIRE, names, args)
            except (RedisAway, asyncio.CancelledError) as error:
                if not isinstance(error, RedisAway) or error.sent:  # it may be granted without our hearing of it
                    unheard = self._grant(terms, lease, charged, demand.cost_nano, (0, 0, 0), 0)
                    self._settle(unheard, names, 0, 0)
                raise
            code, wait, *numbers = (int(number) for number in answer)
            if code != _UNSEEDED:
                return self._decide(terms, code, wait, numbers, (lease, charged, demand.cost_nano, at))
            assert self._seeding is not None
            await self._seeding.wait(terms)
        raise Unavailable(f"what API key {terms.key.id} has spent is being read again; try again in a moment")

    def _decide(
        self, terms: Terms, code: int, wait: int, numbers: list[int], asked: tuple[str, int, int, float]
    ) -> Grant:
        """The grant, or the error, of a script's answer. `numbers`: three buckets, Redis' time, spent (4)."""
        lease, charged, cost_nano, at = asked
        tats, now = (numbers[0] * 1000, numbers[1] * 1000, numbers[2] * 1000), numbers[3] * 1000
        if terms.budget is not None:
            self._remember_spent(terms, at, numbers[4:])
        if code == _GRANTED:
            self._upkeep.hold(lease, names_of(terms.digest)[1])
            return self._grant(terms, lease, charged, cost_nano, tats, now)
        if code == _CONCURRENCY:
            refusal = Refusal("concurrency", SECOND, f"{terms.key.limits.concurrency} concurrent requests")
        elif code == _BUDGET:
            refusal = Refusal("budget", wait * 1000, "", numbers[4 + terms.period])
        else:
            refusal = too_fast(terms, _RATES[code], wait * 1000)
        refusal.tats, refusal.now = tats, now
        self._instruments.series("cmg_limit_refusals_total", refusal.reason).inc()
        raise error_of(refusal, terms, at)

    def _remember_spent(self, terms: Terms, at: float, spent: list[int]) -> None:
        try:
            self._local.set_spent(terms, starts(terms.timezone, at), (spent[0], spent[1], spent[2], spent[3]))
        except TableFull:
            self._instruments.series("cmg_limit_refusals_total", "table_full").inc()

    def _settle(self, grant: Grant, names: tuple[str, str, str], tokens: int, cost_nano: int) -> None:
        at = self._clock.time()
        bucket = grant.terms.tokens
        correction = 0 if bucket is None else bucket.span(tokens - grant.tokens) // 1000
        lease = str(grant.id)
        args: list[str | int] = [lease, cost_nano, grant.cost_nano, correction, int(at * 1_000_000)]
        args += [*_whole(starts(grant.terms.timezone, at)), 0 if grant.place >= 0 else grant.given]
        keys = (*names, f"{names[0]}:settled:{lease}")
        self._upkeep.settle(lease, names[0], (scripts.SETTLE, keys, args))

    def _grant(self, terms: Terms, lease: str, tokens: int, cost_nano: int, tats: Any, now: int) -> Grant:
        grant = Grant(terms, tokens, cost_nano, now, tats)
        grant.id = lease
        grant.given = int(self._clock.time() * 1_000_000)
        return grant

    def _lease(self, cost_nano: int) -> str:
        return f"{self._process}{next(self._numbers):x}:{cost_nano}"

    def _demand_args(self, terms: Terms, lease: str, tokens: int, cost_nano: int, periods: Starts) -> list[str | int]:
        args: list[str | int] = [lease, int(LEASE_S * 1_000_000)]
        args += [*_rate(terms.minutely, 1), *_rate(terms.hourly, 1), *_rate(terms.tokens, tokens)]
        args += [-1 if terms.concurrency is None else terms.concurrency]
        args += [-1 if terms.budget is None else terms.budget, max(0, terms.period), cost_nano]
        args += [*_whole(periods), terms.zone, 0 if self._seeding is None else 1]
        return args


def _rate(bucket: Bucket | None, units: int) -> tuple[str | int, str | int]:
    """(what the units add, how far ahead the bucket may be), microseconds; -2: no limit."""
    if bucket is None:
        return 0, -2
    return f"{bucket.span(units) / 1000:.3f}", f"{bucket.full / 1000:.3f}"


def _whole(periods: Starts) -> tuple[int, int, int]:
    return int(periods.day), int(periods.week), int(periods.month)
