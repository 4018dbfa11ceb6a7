"""Thresholds of budgets: one event for each that is passed in a period, and the suspension at 100 %."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol
from uuid import UUID

from cmg.identity.models import ApiKey, Budget, Workspace
from cmg.identity.snapshot import Snapshot
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.kit.money import nano_to_usd
from cmg.ledger import store
from cmg.ledger.quota.periods import period_start
from cmg.ledger.spending import Spending
from cmg.ledger.store import BudgetEvent
from cmg.storage.database import Database
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

SWEEP_S = 60.0  # all budgets are looked at so often: budgets that were lowered, and looks that a crash cut short
PACE_S = 0.2
# A key may be made and spend before this process's snapshot has it, which is seconds behind at most.
UNKNOWN_S = 5.0
_UNKNOWN_LOOK_S = 0.5
_UNKNOWN_MAX = 10_000
_TOLD_MAX = 100_000
_KEYS_AT_ONCE = 5000
_BANDS = {"under_50": 0.5, "under_80": 0.8, "under_100": 1.0, "used_up": float("inf")}
_STATUSES = frozenset({"active", "suspended", "revoked"})

_log = get_logger("cmg.ledger.budgets")


class Suspend(Protocol):
    """How a key is suspended (`Keys.suspend_for_budget`): identity writes the audit trail and tells every process."""

    async def __call__(self, workspace_id: str, key_id: str, reason: str, conn: Any) -> bool:
        """Suspend the key in the caller's transaction; False when it is not active."""
        ...


class _NotActive(Exception):
    """Somebody else has suspended or revoked the key: there is nothing to tell."""


class BudgetEvents:
    """The events, for those who list them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, workspace_id: str | None, key_id: str | None, cursor: str | None, limit: int
    ) -> tuple[list[BudgetEvent], str | None]:
        """Newest first, of one workspace (None: of all), and the cursor of the next page."""
        if cursor is not None and not _is_id(cursor):
            raise InvalidRequest("`cursor` is the `next` of the page before", param="cursor")
        if key_id is not None and "\x00" in key_id:
            raise InvalidRequest("`key` must not hold a NUL character", param="key")
        found = await store.list_budget_events(self._database, workspace_id, key_id, cursor, limit + 1)
        return found[:limit], found[limit - 1].id if len(found) > limit else None


class BudgetWatch:
    """Looks at the spending of keys after it was committed. One runs in the backstage process.

    Each event is a row with a unique name (key, period, budget, threshold), so that a second look, by this process
    or by the next one after a crash, tells nothing twice; and what a crash left untold, the next sweep tells.
    """

    def __init__(
        self,
        database: Database,
        snapshot: Callable[[], Snapshot],
        suspend: Suspend,
        clock: Clock,
        instruments: Instruments,
    ) -> None:
        self._database, self._snapshot, self._suspend = database, snapshot, suspend
        self._clock, self._instruments = clock, instruments
        self._spending = Spending(database, clock)
        self._spent: set[str] = set()
        self._unknown: dict[str, float] = {}  # keys that nobody knew yet: until when they are asked for again
        self._woken = asyncio.Event()
        self._told: set[tuple[object, ...]] = set()

    def spent(self, keys: Iterable[str]) -> None:
        """These keys have spent something, committed by now."""
        self._spent.update(keys)
        self._woken.set()

    async def run(self) -> None:
        """Look at keys as they spend, and at all of them every minute. Until cancelled."""
        sweep_at = self._clock.monotonic()
        while True:
            keys = self._due()
            sweep = self._clock.monotonic() >= sweep_at
            try:
                await self.look(None if sweep else keys)
            except Exception as error:  # noqa: BLE001  the database is away or a suspension failed: all is looked at again
                _log.warning("budgets could not be looked at", error=repr(error))
                sweep_at = self._clock.monotonic()
                await self._clock.sleep(1.0)
                continue
            if sweep:
                sweep_at = self._clock.monotonic() + SWEEP_S
            await self._clock.sleep(PACE_S)
            await self._wait(min(sweep_at - self._clock.monotonic(), _UNKNOWN_LOOK_S if self._unknown else SWEEP_S))

    def _due(self) -> set[str]:
        """The known keys that have spent since the last look, and those of before that are known by now."""
        keys, self._spent = self._spent | self._unknown.keys(), set()
        self._woken.clear()
        known, now = self._snapshot().keys, self._clock.monotonic()
        waiting: dict[str, float] = {}
        for one in keys - known.keys():
            until = self._unknown.get(one, now + UNKNOWN_S)
            if until > now and len(waiting) < _UNKNOWN_MAX:
                waiting[one] = until
        self._unknown = waiting
        return keys & known.keys()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._woken.wait()
        except TimeoutError:
            return

    async def look(self, ids: Iterable[str] | None = None) -> int:
        """Tell what these keys (None: all) have passed by now; returns how many events are new."""
        known, use = self._snapshot(), Counter[str]()
        keys = known.keys.values() if ids is None else [known.keys[one] for one in ids if one in known.keys]
        budgeted = [
            (key, key.budget, known.workspaces[key.workspace_id])
            for key in keys
            if key.budget is not None and key.workspace_id in known.workspaces
        ]
        new = 0
        for start in range(0, len(budgeted), _KEYS_AT_ONCE):
            some = budgeted[start : start + _KEYS_AT_ONCE]
            spent = await self._spending.in_period((key, workspace) for key, _, workspace in some)
            for key, budget, workspace in some:
                use[_used(budget, spent.get(key.id, 0))] += 1
                if spent.get(key.id, 0) > 0:
                    new += await self._judge(key, budget, workspace, spent[key.id])
        if ids is None:
            self._show(use, Counter(key.status for key in keys))
        return new

    def _show(self, use: Counter[str], statuses: Counter[str]) -> None:
        """How all keys stand, as numbers: no series names a key."""
        for band in _BANDS:
            self._instruments.series("cmg_budget_keys", band).set(use[band])
        for status in _STATUSES | statuses.keys():
            self._instruments.series("cmg_keys", status).set(statuses[status])

    async def _judge(self, key: ApiKey, budget: Budget, workspace: Workspace, spent: int) -> int:
        now = self._clock.time()
        start = period_start(budget.period, workspace.timezone, now)

        def event(kind: str, threshold: float) -> BudgetEvent:
            return BudgetEvent(
                at=now,
                workspace_id=key.workspace_id,
                key_id=key.id,
                owner=key.owner,
                kind=kind,
                period=budget.period,
                period_start=start,
                budget_nano=budget.usd_nano,
                threshold=threshold,
                spent_nano=spent,
            )

        new = 0
        for share in sorted(set(budget.alert_at)):
            if spent >= round(budget.usd_nano * share):
                new += await self._tell(event("threshold", share))
        if budget.auto_suspend and key.status == "active" and spent >= budget.usd_nano:
            new += await self._suspend_once(key, event("suspended", 1.0))
        return new

    async def _suspend_once(self, key: ApiKey, event: BudgetEvent) -> int:
        """Once for each budget and period: who resumes the key afterwards has decided so."""
        dollars = nano_to_usd(event.budget_nano)
        reason = f"its budget of {dollars:g} USD ({event.period}) is used up"

        async def suspend(conn: Any) -> None:
            if not await self._suspend(key.workspace_id, key.id, reason, conn):
                raise _NotActive

        try:
            return await self._tell(event, suspend)
        except _NotActive:
            return 0

    async def _tell(self, event: BudgetEvent, then: Callable[[Any], Awaitable[None]] | None = None) -> int:
        """Store the event and do what goes with it, both or neither; 1 when it is new."""
        if _name(event) in self._told:
            return 0
        async with self._database.transaction() as conn:
            new = await store.add_budget_event(conn, event)
            if new and then is not None:
                await then(conn)
        if len(self._told) >= _TOLD_MAX:
            self._told.clear()
        self._told.add(_name(event))
        if new:
            self._instruments.series("cmg_budget_events_total", event.kind).inc()
            _log.info("a budget's threshold was passed", kind=event.kind, key_id=event.key_id, share=event.threshold)
        return int(new)


def _used(budget: Budget, spent: int) -> str:
    share = spent / budget.usd_nano if budget.usd_nano else 1.0
    return next((band for band, below in _BANDS.items() if share < below), "used_up")


def _name(event: BudgetEvent) -> tuple[object, ...]:
    """What makes an event the same event."""
    return event.key_id, event.kind, event.period, event.period_start, event.budget_nano, event.threshold


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
