"""What a process owes Redis in the background: settlements, renewed leases, a sign of life, and keys to seed anew."""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import islice

import structlog

from cmg.kit.clock import Clock
from cmg.ledger.quota.cluster import scripts
from cmg.ledger.quota.cluster.link import Command, RedisAway, RedisLink
from cmg.telemetry.instruments import Instruments

LEASE_S = 30.0
RENEW_EVERY_S = 10.0
ALIVE_EVERY_S = 5.0
ALIVE_FOR_S = 30.0
FEWER_AFTER_S = 60.0  # a Redis that was emptied hears from the other machines again within ALIVE_EVERY_S
MAX_SETTLES = 20_000
MAX_STALE = 100_000
_BATCH = 100
_MAX_REFUSALS = 50  # in a row, 0.2 s apart: full memory and a read-only replica pass
_MACHINES = "cmg:quota:machines"

log = structlog.get_logger(__name__)


def names_of(digest: tuple[int, int]) -> tuple[str, str, str]:
    """The Redis keys of one API key's hash, leases and expired leases: one hash slot of a cluster."""
    base = f"cmg:quota:{{{digest[0] & (2**64 - 1):016x}{digest[1] & (2**64 - 1):016x}}}"
    return base, f"{base}:leases", f"{base}:lost"


class Upkeep:
    """Bounded queues and the two tasks that empty them. `machines` is the number that share this Redis."""

    def __init__(self, link: RedisLink, machine: str, machines: int, clock: Clock, instruments: Instruments) -> None:
        self._link, self._machine, self._clock = link, machine, clock
        self._least = self.machines = machines
        self._counted_at = 0.0
        self._queue: deque[tuple[str, Command]] = deque()
        self._wake = asyncio.Event()
        self._leases: dict[str, str] = {}  # lease → name of the set it is in
        self.stale: set[str] = set()  # hashes whose spending must be read from the ledger again
        self._dropped = instruments.series("cmg_quota_settles_dropped_total")
        self._fallback = instruments.series("cmg_quota_fallback_workers")
        self._refusals, self._closing = 0, False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the background tasks, once, in the running loop."""
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._settle_loop()), asyncio.create_task(self._tend_loop())]

    def hold(self, lease: str, name: str) -> None:
        """Renew a lease until `settle`."""
        self._leases[lease] = name

    def settle(self, lease: str, name: str, command: Command) -> None:
        """Queue a settlement of the hash `name`; when the queue is full, its spending comes from the ledger later."""
        self._leases.pop(lease, None)
        if len(self._queue) >= MAX_SETTLES:
            self._dropped.inc()
            self.distrust(name)
            return
        self._queue.append((name, command))
        self._wake.set()

    def distrust(self, name: str) -> None:
        """Have the hash seeded anew as soon as Redis can be reached."""
        if len(self.stale) < MAX_STALE:
            self.stale.add(name)
        else:
            self._dropped.inc()

    async def unseed(self, names: list[str]) -> None:
        """Make Redis forget what these hashes say was spent. Raises `RedisAway`."""
        for start in range(0, len(names), _BATCH):
            part = names[start : start + _BATCH]
            await self._link.run_all([(scripts.UNSEED, (name,), ("",)) for name in part])
            self.stale.difference_update(part)

    async def close(self, flush_s: float = 1.0) -> None:
        """Send what is queued, for at most `flush_s`, and stop."""
        self._closing = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=flush_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _settle_loop(self) -> None:
        while True:
            await self._wake.wait()
            batch = list(islice(self._queue, _BATCH))
            if not batch:
                if self._closing:
                    return
                self._wake.clear()
                continue
            if not await self._send(batch):
                await self._clock.sleep(0.2)
                continue
            for _ in batch:
                self._queue.popleft()

    async def _send(self, batch: list[tuple[str, Command]]) -> bool:
        """True when Redis has the batch, or will never take it: then the ledger tells what was spent."""
        try:
            await self._link.run_all([command for _, command in batch])
        except RedisAway as error:
            self._refusals = self._refusals + 1 if error.refused else 0
            if self._refusals < _MAX_REFUSALS:
                return False
            log.exception("Redis refuses settlements")
            self._dropped.inc(len(batch))
            for name, _ in batch:
                self.distrust(name)
        self._refusals = 0
        return True

    async def _tend_loop(self) -> None:
        renew_at = alive_at = 0.0
        while True:
            now = self._clock.monotonic()
            if now >= alive_at and await self._quietly(self._tell_alive):
                alive_at = now + ALIVE_EVERY_S
            if now >= renew_at and await self._quietly(self._renew):
                renew_at = now + RENEW_EVERY_S
            if self.stale and not self._link.away:
                await self._quietly(self.unseed, list(self.stale))
            self._fallback.set(1 if self._link.away else 0)
            await self._clock.sleep(0.5)

    async def _tell_alive(self) -> None:
        args = (self._machine, int(ALIVE_FOR_S * 1_000_000))
        count = max(self._least, int(await self._link.run(scripts.ALIVE, (_MACHINES,), args)))
        now = self._clock.monotonic()
        if count >= self.machines or now - self._counted_at > FEWER_AFTER_S:
            self.machines, self._counted_at = count, now

    async def _renew(self) -> None:
        by_name: dict[str, list[str]] = {}
        for lease, name in self._leases.items():
            by_name.setdefault(name, []).append(lease)
        ttl = int(LEASE_S * 1_000_000)
        commands: list[Command] = [(scripts.RENEW, (name,), (ttl, *leases)) for name, leases in by_name.items()]
        for start in range(0, len(commands), _BATCH):
            await self._link.run_all(commands[start : start + _BATCH])

    async def _quietly(self, step: Callable[..., object], *args: object) -> bool:
        """Run one background step; False when Redis was away. Nothing may end the loops."""
        try:
            await step(*args)  # type: ignore[misc]  # every step is a coroutine function
        except RedisAway:
            return False
        except Exception:
            log.exception("a background step of the shared limits failed")
            return False
        return True
