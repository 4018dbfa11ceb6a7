"""The one place where alerting changes: a decision is made on the present world, and kept, or it never was."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cmg.alerting.models import Report, fingerprint
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.store import AlertingStore, Overtaken
from cmg.alerting.world import Changes, World
from cmg.audit.models import Entry
from cmg.audit.trail import AuditTrail
from cmg.kit.clock import Clock
from cmg.storage.database import Database

T = TypeVar("T")
_TIMEOUT_S = 30.0
_FORGET_S = 86_400.0
_TRIES = 3


class Desk:
    """Worlds of workspaces in memory, each caught up with its tables before anything is decided on it.

    Whoever changes one holds the workspace's row meanwhile, in every process: two never decide on the same timer.
    """

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database, self._audit, self._clock = database, audit, clock
        self.store = AlertingStore()
        self.worlds: dict[str, World] = {}
        self._setups: dict[str, int] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def change(
        self,
        workspace_id: str,
        decide: Callable[[Changes], T],
        reports: Sequence[Report] = (),
        entry: Entry | None = None,
    ) -> T:
        """Let `decide` change the world of a workspace; what it changed is kept when this returns, with the entry.

        `reports`: those that it will take in, so that what is known of their alerts is at hand. Raises `DatabaseAway`.
        """
        async with self._locks.setdefault(workspace_id, asyncio.Lock()):
            for left in reversed(range(_TRIES)):
                try:
                    return await self._changed(workspace_id, decide, reports, entry)
                except BaseException as error:
                    self.worlds.pop(workspace_id, None)  # it holds what was never kept
                    if not isinstance(error, Overtaken) or not left:
                        raise
        raise AssertionError("the loop above returns or raises")

    async def _changed(
        self, workspace_id: str, decide: Callable[[Changes], T], reports: Sequence[Report], entry: Entry | None
    ) -> T:
        async with self._database.transaction(_TIMEOUT_S) as conn:
            generation, setup = await self.store.lock(conn, workspace_id)
            world = await self._present(conn, workspace_id, generation, setup)
            unknown = {fingerprint(one.labels) for one in reports} - world.alerts.keys()
            if unknown:
                world.take(await self.store.older(conn, workspace_id, sorted(unknown)))
            changes = Changes(world, self._clock.time())
            outcome = decide(changes)
            if not changes.empty:
                await self.store.write(conn, changes, generation + 1, setup)
                world.generation = generation + 1
            if entry is not None:
                await self._audit.record(conn, entry)
        return outcome

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

    async def workspaces(self) -> list[str]:
        """Every workspace that has alerting. Raises `DatabaseAway`."""
        return list(await self.store.workspaces(self._database))
