"""What a process owes Redis in the background.

Settlements, renewed leases, a sign of life, keys to seed anew, and parts of budgets that other machines want.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from itertools import islice

import structlog

from cmg.kit.clock import Clock
from cmg.ledger.quota.cluster import scripts
from cmg.ledger.quota.cluster.link import Command, RedisAway, RedisLink
from cmg.ledger.quota.shared_memory import SharedMemoryQuota
from cmg.ledger.quota.terms import Terms
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
_TEND_EVERY_S = 0.25
_WANTED_FOR_US = 5_000_000
MAX_PARTS = 100_000
_MACHINES = "cmg:quota:{machines}"
_BORN = "cmg:quota:{machines}:born"
_WANTED = "cmg:quota:wanted"

log = structlog.get_logger(__name__)


def names_of(digest: tuple[int, int]) -> tuple[str, str, str]:
    """The Redis keys of one API key's hash, leases and expired leases: one hash slot of a cluster."""
    base = f"cmg:quota:{{{digest[0] & (2**64 - 1):016x}{digest[1] & (2**64 - 1):016x}}}"
    return base, f"{base}:leases", f"{base}:lost"


class Upkeep:
    """Bounded queues and the two tasks that empty them. `machines` is the number that share this Redis."""

    def __init__(
        self, link: RedisLink, local: SharedMemoryQuota, machines: int, clock: Clock, instruments: Instruments
    ) -> None:
        self._link, self._local, self._clock = link, local, clock
        self._least = self.machines = machines
        self._counted_at = 0.0
        self._queue: deque[tuple[str, Command]] = deque()
        self._wake, self._hurry = asyncio.Event(), asyncio.Event()
        self._leases: dict[str, str] = {}  # lease → hash of its key
        self._parts: dict[str, Terms] = {}  # hash → keys of whose budget the machine may hold a part
        self._wanted: set[str] = set()  # hashes of which other machines hold what is needed here
        self._born = ""
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
        """Renew a lease of the hash `name` until `settle`."""
        self._leases[lease] = name

    def adopt(self, lease: str, name: str, charges: tuple[str, str, str]) -> None:
        """Tell Redis of a call that the machine's share let go, with what it adds to the buckets (µs)."""
        self.hold(lease, name)
        if len(self._queue) < MAX_SETTLES:
            self._queue.append((name, _adoption(lease, name, charges)))
            self._wake.set()

    def keep_part(self, name: str, terms: Terms) -> None:
        """Give the machine's part of this key's budget back when another machine wants it, or at the end."""
        if name not in self._parts:
            if len(self._parts) >= MAX_PARTS:
                del self._parts[next(iter(self._parts))]
            self._parts[name] = terms

    def want(self, name: str) -> None:
        """Ask the other machines for their parts of this key's budget."""
        if len(self._wanted) < MAX_PARTS:
            self._wanted.add(name)
            self._hurry.set()

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
        self._hurry.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=flush_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._quietly(self._give_back, self._parts)

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
        renew_at, alive_at, losses = 0.0, 0.0, 0
        while not self._closing:
            now = self._clock.monotonic()
            if self._link.losses != losses:  # it may have come back without its data
                losses, alive_at = self._link.losses, now
            if now >= alive_at and await self._quietly(self._tell_alive):
                alive_at = now + ALIVE_EVERY_S
            if now >= renew_at and await self._quietly(self._renew):
                renew_at = now + RENEW_EVERY_S
            if self.stale and not self._link.away:
                await self._quietly(self.unseed, list(self.stale))
            await self._quietly(self._trade)
            self._fallback.set(1 if self._link.away else 0)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TEND_EVERY_S):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _tell_alive(self) -> None:
        args = (self._local.machine, int(ALIVE_FOR_S * 1_000_000))
        alive, born = await self._link.run(scripts.ALIVE, (_MACHINES, _BORN), args)
        if self._born and born != self._born:  # Redis has lost its data: what is in flight must be promised again
            lost = [_adoption(lease, name, ("0", "0", "0")) for lease, name in self._leases.items()]
            for start in range(0, len(lost), _BATCH):
                await self._link.run_all(lost[start : start + _BATCH])
        self._born = born
        count, now = max(self._least, int(alive)), self._clock.monotonic()
        if count >= self.machines or now - self._counted_at > FEWER_AFTER_S:
            self.machines, self._counted_at = count, now

    async def _trade(self) -> None:
        """Say which parts are wanted here, and give back those that are wanted elsewhere."""
        wanted = await self._link.run(scripts.WANTED, (_WANTED,), (_WANTED_FOR_US, *self._wanted))
        self._wanted.difference_update(wanted)
        await self._give_back({name: self._parts[name] for name in wanted if name in self._parts})

    async def _give_back(self, parts: dict[str, Terms]) -> None:
        machine, commands = self._local.machine, []
        for name, terms in parts.items():
            told = self._local.tell(terms, give_back=True)
            if told.life > 0:
                commands.append((scripts.GIVE_BACK, (name,), (machine, *told)))
        for start in range(0, len(commands), _BATCH):
            await self._link.run_all(commands[start : start + _BATCH])

    async def _renew(self) -> None:
        by_name: dict[str, list[str]] = {}
        for lease, name in self._leases.items():
            by_name.setdefault(f"{name}:leases", []).append(lease)
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


def _adoption(lease: str, name: str, charges: tuple[str, str, str]) -> Command:
    keys = (name, f"{name}:leases", f"{name}:adopted:{lease}")
    return scripts.ADOPT, keys, (lease, int(LEASE_S * 1_000_000), *charges)
