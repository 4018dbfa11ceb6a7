"""Limits and budgets that hold over every worker and machine with the same Redis."""

import asyncio
from collections.abc import Iterable
from itertools import count
from secrets import token_hex
from typing import NamedTuple

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
from cmg.ledger.quota.share import HOLD_S, PARTS, Answer, Part, Told
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.ledger.quota.terms import SECOND, Bucket, Terms, TermsCache
from cmg.telemetry.instruments import Instruments

_GRANTED, _CONCURRENCY, _BUDGET, _UNSEEDED, _SET_ASIDE = 0, 1, 5, 6, 7
_RATES = {2: "minutely", 3: "hourly", 4: "tokens"}
_PAUSES_S = (0.05, 0.15, 0.3, 0.5)  # while other machines give back what they have set aside
_NO_PART = Told(0, 0)


class Asked(NamedTuple):
    """One question to Redis: for which lease, tokens and nano-USD, when (epoch s), and the part it told of."""

    lease: str
    tokens: int
    cost_nano: int
    at: float
    told: Told


class RedisQuota:
    """A `Quota` in Redis. While Redis is away, `fallback` decides with this machine's share; never open.

    `seeder` tells what a key has spent: for keys new to Redis, after Redis lost its data, and for keys that are new to
    this machine while Redis is away. Without one, such spending is only added up as far as this process knows it.
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
        self._upkeep = Upkeep(self._link, fallback, machines, clock, instruments)
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
        return await self._fall_back(terms, demand)

    def settle(self, grant: Grant, tokens: int, cost_nano: int) -> None:
        """See `Quota.settle`. Queued; retried until Redis has it."""
        if grant.settled or grant is NOTHING:
            return
        if grant.place >= 0:
            self._local.settle(grant, tokens, cost_nano)
        grant.settled = True
        self._settle(grant, tokens, cost_nano)

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
        name = names_of(terms.digest)[0]
        tokens = demand.tokens if terms.tokens is None else min(demand.tokens, terms.tokens.size)
        for pause_s in (*_PAUSES_S, None):
            if name in self._upkeep.stale:
                await self._upkeep.unseed([name])
            told = _NO_PART if terms.budget is None else self._local.tell(terms)
            asked = Asked(self._lease(demand.cost_nano), tokens, demand.cost_nano, self._clock.time(), told)
            code, wait, answer = await self._ask(terms, asked)
            if code == _UNSEEDED:
                assert self._seeding is not None
                await self._seeding.wait(terms)
                continue
            place = self._local.hear(terms, asked.at, answer)
            if code == _SET_ASIDE and pause_s is not None:
                if self._local.tell(terms, give_back=True) == told:
                    self._upkeep.want(name)
                    await self._clock.sleep(pause_s)
                continue
            return self._decide(terms, (code, wait, place), answer, asked)
        raise Unavailable(f"what API key {terms.key.id} has spent is being read again; try again in a moment")

    async def _ask(self, terms: Terms, asked: Asked) -> tuple[int, int, Answer]:
        """What Redis decides (a code), ns until another try is worth it, and what it knows. Raises `RedisAway`."""
        since = int(self._clock.monotonic() * SECOND)
        try:
            told = await self._link.run(scripts.ACQUIRE, names_of(terms.digest), self._demand_args(terms, asked))
        except (RedisAway, asyncio.CancelledError) as error:
            if not isinstance(error, RedisAway) or error.sent:  # it may be granted without our hearing of it
                self._settle(self._grant(terms, asked), 0, 0, never_was=True)
            raise
        code, wait, *rest = (int(number) for number in told)
        tats, spent = (rest[0] * 1000, rest[1] * 1000, rest[2] * 1000), (rest[4], rest[5], rest[6], rest[7])
        part = None if terms.budget is None else Part(rest[8], rest[9], rest[10], rest[11], rest[12], since)
        return code, wait * 1000, Answer(code == _GRANTED, tats, rest[3] * 1000, spent, part)

    def _decide(self, terms: Terms, verdict: tuple[int, int, int], answer: Answer, asked: Asked) -> Grant:
        """The grant, or the error, of an answer. `verdict`: code, wait (ns), place in the machine's file."""
        code, wait, place = verdict
        if code == _GRANTED:
            name = names_of(terms.digest)[0]
            self._upkeep.hold(asked.lease, name)
            if terms.budget is not None:
                self._upkeep.keep_part(name, terms)
            grant = self._grant(terms, asked)
            grant.tats, grant.now, grant.place = answer.tats, answer.now, place
            return grant
        if code == _CONCURRENCY:
            refusal = Refusal("concurrency", SECOND, f"{terms.key.limits.concurrency} concurrent requests")
        elif code in {_BUDGET, _SET_ASIDE}:
            refusal = Refusal("budget", wait, "", answer.spent[terms.period])
        else:
            refusal = too_fast(terms, _RATES[code], wait)
        refusal.tats, refusal.now = answer.tats, answer.now
        self._instruments.series("cmg_limit_refusals_total", refusal.reason).inc()
        raise error_of(refusal, terms, asked.at)

    async def _fall_back(self, terms: Terms, demand: Demand) -> Grant:
        """This machine's share decides; Redis is told as soon as it can be."""
        grant = await self._local.acquire(demand, self._upkeep.machines)
        grant.id, grant.given = self._lease(grant.cost_nano if grant.own else 0), int(self._clock.time() * 1_000_000)
        charges = (_rate(terms.minutely, 1)[0], _rate(terms.hourly, 1)[0], _rate(terms.tokens, grant.tokens)[0])
        self._upkeep.adopt(grant.id, names_of(terms.digest)[0], charges)
        return grant

    def _settle(self, grant: Grant, tokens: int, cost_nano: int, *, never_was: bool = False) -> None:
        """Queue what Redis is to know of a call. `never_was`: it was not made, so it has no requests either."""
        at, key = self._clock.time(), grant.terms.key
        terms = self._terms.of(key, grant.terms.timezone)
        names = names_of(terms.digest)
        correction = 0 if terms.tokens is None else terms.tokens.span(tokens - grant.tokens) // 1000
        reserved = grant.cost_nano if grant.remote or grant.own else 0
        args: list[str | int] = [grant.id, cost_nano, reserved, correction, int(at * 1_000_000)]
        args += [*_whole(starts(terms.timezone, at)), grant.given, self._local.machine, grant.life]
        args += [_rate(terms.minutely, 1)[0], _rate(terms.hourly, 1)[0]] if never_was else [0, 0]
        keys = (*names, f"{names[0]}:settled:{grant.id}")
        self._upkeep.settle(grant.id, names[0], (scripts.SETTLE, keys, args))

    def _grant(self, terms: Terms, asked: Asked) -> Grant:
        grant = Grant(terms, asked.tokens, asked.cost_nano, 0, (0, 0, 0))
        grant.id, grant.remote = asked.lease, True
        grant.given = int(asked.at * 1_000_000)
        return grant

    def _lease(self, cost_nano: int) -> str:
        return f"{self._process}{next(self._numbers):x}:{cost_nano}"

    def _demand_args(self, terms: Terms, asked: Asked) -> list[str | int]:
        args: list[str | int] = [asked.lease, int(LEASE_S * 1_000_000)]
        args += [*_rate(terms.minutely, 1), *_rate(terms.hourly, 1), *_rate(terms.tokens, asked.tokens)]
        args += [-1 if terms.concurrency is None else terms.concurrency]
        args += [-1 if terms.budget is None else terms.budget, max(0, terms.period), asked.cost_nano]
        args += [*_whole(starts(terms.timezone, asked.at)), terms.zone, 0 if self._seeding is None else 1]
        return [*args, self._local.machine, *asked.told, PARTS * self._upkeep.machines, int(HOLD_S * 1_000_000)]


def _rate(bucket: Bucket | None, units: int) -> tuple[str, str]:
    """(what the units add, how far ahead the bucket may be), microseconds; -2: no limit."""
    if bucket is None:
        return "0", "-2"
    return f"{bucket.span(units) / 1000:.3f}", f"{bucket.full / 1000:.3f}"


def _whole(periods: Starts) -> tuple[int, int, int]:
    return int(periods.day), int(periods.week), int(periods.month)
