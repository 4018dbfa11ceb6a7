"""How processes hear of changes: rows with growing versions, woken by NOTIFY, found by a poll of a second anyway."""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import asyncpg

from cmg.kit.clock import Clock
from cmg.storage import named_sql
from cmg.storage.database import Connection, Database
from cmg.storage.errors import DatabaseAway

ChangeCallback = Callable[[list[str]], Awaitable[None]]
ResetCallback = Callable[[], Awaitable[None]]

_SQL = named_sql.load("cmg.storage")
_LOCK = 0x636D6702
_CHANNEL = "cmg_changes"
_POLL_S = 1.0
_BATCH = 1000
_PENDING_MAX = 10_000
_KEPT = timedelta(days=1)
_log = logging.getLogger(__name__)


async def announce(connection: Connection, topic: str, ids: Sequence[str], at: datetime) -> None:
    """Tell every process, when the caller's transaction commits, that these ids of a topic changed.

    Takes a lock until that commit, so that versions appear in their order: announce last in the transaction.
    """
    await connection.execute(_SQL["insert_change"], _LOCK, topic, list(ids), at)
    await connection.execute(_SQL["notify_changes"])


async def purge(database: Database, clock: Clock) -> int:
    """Delete changes older than a day (never the newest), a thousand at a time; returns how many."""
    deleted = 0
    while True:
        async with database.connection() as connection:
            tag = await connection.execute(_SQL["purge_changes"], clock.now() - _KEPT, _BATCH)
        count = int(tag.rsplit(" ", 1)[1])
        deleted += count
        if count < _BATCH:
            return deleted


class _Subscription:
    """One callback and the ids it has yet to take; over the bound it is to reload everything instead."""

    def __init__(self, callback: ChangeCallback) -> None:
        self.callback = callback
        self.pending: dict[str, None] = {}

    async def deliver(self) -> None:
        if not self.pending:
            return
        ids = list(self.pending)
        await self.callback(ids)
        for one in ids:
            self.pending.pop(one, None)


class ChangeFeed:
    """Delivers announced ids to subscribers, each id at least once and in the order of the commits.

    Call `mark()` before loading what the subscribers keep, so that nothing is missed in between; without it the
    feed begins with a reset.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._topics: defaultdict[str, list[_Subscription]] = defaultdict(list)
        self._resets: list[ResetCallback] = []
        self._reset_due = False
        self._place: int | None = None
        self._last_ok = clock.monotonic()
        self._listener: asyncpg.Connection | None = None
        self._wake = asyncio.Event()
        self._away = False

    @property
    def age_s(self) -> float:
        """Seconds since everything announced up to then had been delivered: how stale a copy may be."""
        return self._clock.monotonic() - self._last_ok

    def subscribe(self, topic: str, callback: ChangeCallback) -> None:
        """Call `callback(ids)` for changes of a topic; when it raises, the ids come again with the next look."""
        self._topics[topic].append(_Subscription(callback))

    def on_reset(self, callback: ResetCallback) -> None:
        """Call `callback()` when the feed lost its place: changes may have been missed, so reload everything."""
        self._resets.append(callback)

    async def mark(self) -> None:
        """Take the present as the feed's place; what is loaded after this call needs no reset."""
        self._place = await self._database.fetchval(_SQL["newest_change"]) or 0

    def lose_place(self) -> None:
        """Begin with a reset: what the subscribers keep does not come from the present."""
        self._place = None

    async def run(self) -> None:
        """Look for changes until cancelled; goes on by itself when the database comes back."""
        try:
            while True:
                await self._attempt()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_POLL_S):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            await self._drop_listener()

    async def _attempt(self) -> None:
        try:
            await self._listen()
            await self.look()
        except (DatabaseAway, asyncpg.PostgresError) as error:
            if not self._away:
                _log.warning("the change feed waits for the database: %s", error)
            self._away = True
            await self._drop_listener()
        else:
            self._away = False

    async def look(self) -> None:
        """Read and deliver what was announced since the last look."""
        if self._place is None:
            await self.mark()
            self._reset_due = True
        while await self._read_batch():
            pass
        if (not self._reset_due or await self._reset()) and await self._deliver():
            self._last_ok = self._clock.monotonic()

    async def _read_batch(self) -> bool:
        """Move what follows our place into the subscriptions; true when there may be more."""
        rows = await self._database.fetch(_SQL["changes_from"], self._place, _BATCH)
        if not rows or rows[0]["version"] != self._place:
            _log.warning("the change feed lost its place at version %s: everything is loaded again", self._place)
            await self.mark()
            self._reset_due = True
            return False
        for row in rows[1:]:
            for subscription in self._topics.get(row["topic"], ()):
                subscription.pending.update(dict.fromkeys(row["ids"]))
        self._place = rows[-1]["version"]
        if any(len(subscription.pending) > _PENDING_MAX for subscription in self._subscriptions()):
            self._reset_due = True
        return len(rows) == _BATCH

    async def _deliver(self) -> bool:
        """Hand out what is pending; one failing subscriber does not hold up the others."""
        failed = False
        for subscription in self._subscriptions():
            try:
                await subscription.deliver()
            except Exception:  # noqa: BLE001 - whatever a subscriber raises, its ids stay pending and come again
                _log.warning("a subscriber of the change feed failed; its ids come again", exc_info=True)
                failed = True
        return not failed

    async def _reset(self) -> bool:
        for subscription in self._subscriptions():
            subscription.pending.clear()
        try:
            for callback in self._resets:
                await callback()
        except Exception:  # noqa: BLE001 - as for subscribers: it is called again with the next look
            _log.warning("a reset of the change feed failed; it comes again", exc_info=True)
            return False
        self._reset_due = False
        return True

    def _subscriptions(self) -> list[_Subscription]:
        return [subscription for group in self._topics.values() for subscription in group]

    async def _listen(self) -> None:
        if self._listener is None or self._listener.is_closed():
            self._listener = await self._database.dedicated()
            await self._listener.add_listener(_CHANNEL, self._woken)

    def _woken(self, *_: object) -> None:
        self._wake.set()

    async def _drop_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await listener.close(timeout=1)
