"""The one place where alerting changes: a decision is made on the present world, and kept, or it never was."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from cmg.alerting.models import Report, fingerprint
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.standby.local_copy import LocalCopy
from cmg.alerting.store import AlertingStore, Overtaken
from cmg.alerting.world import Changes, World
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.kit.clock import Clock
from cmg.storage.database import Database
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.logs import get_logger

T = TypeVar("T")
_TIMEOUT_S = 30.0
_FORGET_S = 86_400.0
_TRIES = 3
_COPY_S = 5.0
_ASK_S = 5.0  # alone, the database is asked so often
_log = get_logger("cmg.alerting.desk")


class Desk:
    """Worlds of workspaces in memory, each caught up with its tables before anything is decided on it.

    Whoever changes one holds the workspace's row meanwhile, in every process: two never decide on the same timer. While
    the database is away, the process that pages (`standby.leads`) decides on what it knows, and spools what it decided.
    """

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock, standby: LocalCopy | None = None) -> None:
        self._database, self._audit, self._clock = database, audit, clock
        self.store, self.standby = AlertingStore(), standby
        self.worlds: dict[str, World] = {}
        self.alone, self._ask_at = False, 0.0
        self._setups: dict[str, int] = {}
        self._saved: dict[str, tuple[int, float]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def change(
        self,
        workspace_id: str,
        decide: Callable[[Changes], T],
        reports: Sequence[Report] = (),
        entry: Entry | None = None,
    ) -> T:
        """Let `decide` change the world of a workspace; what it changed is kept when this returns, with the entry.

        `reports`: those that it will take in, so that what is known of their alerts is at hand. Raises `DatabaseAway`
        in a process that does not page.
        """
        async with self._locks.setdefault(workspace_id, asyncio.Lock()):
            for left in reversed(range(_TRIES)):
                if self.alone and self.standby is not None and self._clock.monotonic() < self._ask_at:
                    return self._changed_alone(self.standby, workspace_id, decide)
                try:
                    outcome = await self._changed(workspace_id, decide, reports, entry)
                    self._copy(workspace_id)
                    self.alone = False
                except Overtaken:
                    self.worlds.pop(workspace_id, None)
                    if not left:
                        raise
                except DatabaseAway:
                    if self.standby is None or not self.standby.leads:
                        raise
                    self._ask_at = self._clock.monotonic() + _ASK_S
                    return self._changed_alone(self.standby, workspace_id, decide)
                else:
                    return outcome
        raise AssertionError("the loop above returns or raises")

    async def _changed(
        self, workspace_id: str, decide: Callable[[Changes], T], reports: Sequence[Report], entry: Entry | None
    ) -> T:
        if self.standby is not None and self.standby.waits(workspace_id):
            await self._reconcile(self.standby, workspace_id)
        async with self._database.transaction(_TIMEOUT_S) as conn:
            generation, setup = await self.store.lock(conn, workspace_id)
            world = await self._present(conn, workspace_id, generation, setup)
            unknown = {fingerprint(one.labels) for one in reports} - world.alerts.keys()
            if unknown:
                world.take(await self.store.older(conn, workspace_id, sorted(unknown)))
            changes = Changes(world.copy(), self._clock.time())
            outcome = decide(changes)
            if not changes.empty:
                await self.store.write(conn, changes, generation + 1, setup)
                changes.world.generation = generation + 1
            if entry is not None:
                await self._audit.record(conn, entry)
        self.worlds[workspace_id] = changes.world
        return outcome

    def _changed_alone(self, standby: LocalCopy, workspace_id: str, decide: Callable[[Changes], T]) -> T:
        """The same without the database. What is decided is on disk before anybody hears of it.

        Where the disk takes nothing, people are woken all the same: the worst that follows is a page told again.
        """
        known = self.worlds.get(workspace_id) or standby.world(workspace_id)
        if known is None:
            raise DatabaseAway(f"the database is away, and nothing is known of the workspace {workspace_id}")
        if not self.alone:
            if not standby.waits(workspace_id):
                _tried(lambda: standby.save(known))
            _log.warning("the database is away: alerts are handled from the local copy")
        self.alone = True
        changes = Changes(known.copy(), self._clock.time())
        outcome = decide(changes)
        if not changes.empty:
            _tried(lambda: standby.append(workspace_id, changes))
        self.worlds[workspace_id] = changes.world
        return outcome

    async def _reconcile(self, standby: LocalCopy, workspace_id: str) -> None:
        """Give the database what was spooled. What others did to a group meanwhile counts more than what we did."""
        spooled = standby.spooled(workspace_id)
        async with self._database.transaction(_TIMEOUT_S) as conn:
            generation, setup = await self.store.lock(conn, workspace_id)
            since = self.worlds.get(workspace_id) or standby.world(workspace_id)
            others = await self.store.groups_since(conn, workspace_id, since.generation if since else generation)
            theirs = {one.id for one in others if one.status != "open"}
            changes = spooled.changes(World(workspace_id, Setup()))
            changes.groups = {name: one for name, one in changes.groups.items() if name not in theirs}
            changes.timers = {name: one for name, one in changes.timers.items() if one.group_id not in theirs}
            changes.notifications = {
                key: one for key, one in changes.notifications.items() if one.group_id not in theirs or not one.waits
            }
            await self.store.write(conn, changes, generation + 1, setup, strict=False)
        standby.clear(workspace_id)
        self.worlds.pop(workspace_id, None)
        _log.info("what was decided without the database is in it now", messages=len(spooled.notifications))

    def _copy(self, workspace_id: str) -> None:
        """Keep the local copy fresh, where this process pages; at most every few seconds."""
        world, now = self.worlds[workspace_id], self._clock.time()
        generation, at = self._saved.get(workspace_id, (-1, 0.0))
        if self.standby is None or not self.standby.leads or now - at < _COPY_S or generation == world.generation:
            return
        try:
            self.standby.save(world)
        except OSError as error:
            _log.error("the local copy cannot be written: without the database nobody would be paged", error=str(error))
        self._saved[workspace_id] = world.generation, now

    async def _present(self, conn: Any, workspace_id: str, generation: int, setup: int) -> World:
        world = self.worlds.get(workspace_id)
        if world is None:
            world = World(workspace_id, Setup())
            await self.store.load(conn, world, self._clock.time())
        elif world.generation != generation:
            await self.store.catch_up(conn, world)
        if self._setups.get(workspace_id) != setup or workspace_id not in self.worlds:
            world.configure(await self.store.setup(conn, workspace_id))
            self._setups[workspace_id] = setup
        world.generation = generation
        world.forget(self._clock.time() - _FORGET_S)
        self.worlds[workspace_id] = world
        return world

    async def heads(self) -> dict[str, int]:
        """Every workspace that has alerting, with the number of its last change; alone, those that are known here.

        Raises `DatabaseAway` in a process that does not page.
        """
        try:
            return await self.store.workspaces(self._database)
        except DatabaseAway:
            if self.standby is None or not self.standby.leads:
                raise
            known = {*self.standby.workspaces(), *self.worlds}
            return {name: self.worlds[name].generation if name in self.worlds else -1 for name in sorted(known)}

    async def take_lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep the lease of the pager; False while another holds it. Raises `DatabaseAway` as `heads` does."""
        now = self._clock.now()
        try:
            taken = await self.store.take_lease(self._database, name, holder, (now, now + timedelta(seconds=seconds)))
        except DatabaseAway:
            if self.standby is None or not self.standby.leads:
                raise
            return True  # nobody can ask for it now; whoever had it last goes on
        if self.standby is not None:
            self.standby.lead(taken)
        return taken


def _tried(write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        _log.error("what is decided without the database cannot be kept: it may be told again", error=str(error))
