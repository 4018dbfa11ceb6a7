"""The loop of the monitor: what is due is done and what waits is sent, by one process of the whole cluster."""

import asyncio
from collections.abc import Collection

from cmg.alerting.delivery.claiming import waits_for_sender
from cmg.alerting.delivery.sender import Sender, end_answered
from cmg.alerting.desk import Desk
from cmg.alerting.escalation.timers import advance
from cmg.alerting.lifecycle.pipeline import look_again
from cmg.alerting.world import Changes, World
from cmg.kit.clock import Clock
from cmg.storage.errors import DatabaseAway
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.logs import get_logger

PACE_S = 1.0
LOOK_S = 15.0
LEASE_S = 15.0
PATIENCE_S = 2.0  # a round waits so long for what it sends
_RENEW_S = 5.0
_ROUNDS = 50
_BATCHES = 60  # that are sent at a time; a channel has a bound of its own
_log = get_logger("cmg.alerting.pager")


class Pager:
    """`me` names this process. It works while it holds the lease `pager`; another takes over when that runs out.

    What a slow channel holds up goes on beside the rounds that follow, so nothing else waits for it.
    """

    def __init__(self, desk: Desk, sender: Sender, clock: Clock, instruments: Instruments, me: str) -> None:
        self._desk, self._sender, self._clock, self._me = desk, sender, clock, me
        self.late_s = 0.0
        self._late = instruments.series("cmg_alerting_late_seconds")
        self._leads = instruments.series("cmg_alerting_leader_up")
        self._renew_at = self._looked_at = 0.0
        self.leads = False
        self._batches: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Until cancelled; an error of one round is told, and the next one begins anew."""
        try:
            while True:
                try:
                    await self.round()
                except DatabaseAway as error:
                    _log.warning("the pager cannot reach the database", error=str(error))
                except Exception as error:  # noqa: BLE001  whatever one workspace holds, people are to be woken
                    _log.error("a round of the pager failed", exc_info=error)
                await self._clock.sleep(PACE_S)
        finally:
            for one in self._batches:
                one.cancel()

    async def round(self) -> None:
        """Do all that is due now, if this process has the lease. Raises `DatabaseAway`, also of an earlier round."""
        if not await self._leading():
            return
        now = self._clock.time()
        look = now - self._looked_at >= LOOK_S
        late, before = 0.0, set(self._batches)
        for workspace_id, generation in (await self._desk.heads()).items():
            world = self._desk.worlds.get(workspace_id)
            if look or world is None or world.generation != generation or _due(world, now):
                late = max(late, await self._work(workspace_id, look=look))
        if look:
            self._looked_at = now
        self.late_s = late
        self._late.set(late)
        await self._sent(self._batches - before)

    async def _leading(self) -> bool:
        now = self._clock.time()
        if now >= self._renew_at:
            self.leads = await self._desk.take_lease("pager", self._me, LEASE_S)
            self._leads.set(self.leads)
            self._renew_at = now + _RENEW_S
        return self.leads

    async def _work(self, workspace_id: str, *, look: bool) -> float:
        """Returns how late the oldest of what was due is."""
        await self._redials(workspace_id)

        def decide(changes: Changes) -> float:
            late = lateness(changes.world, changes.now)
            if look:
                look_again(changes)
            advance(changes)
            return late

        late = await self._desk.change(workspace_id, decide)
        if len(self._batches) < _BATCHES:
            self._batches.add(asyncio.create_task(self._send(workspace_id)))
        return late

    async def _send(self, workspace_id: str) -> None:
        for _ in range(_ROUNDS):
            if not await self._sender.send_due(workspace_id):
                break

    async def _sent(self, begun: Collection[asyncio.Task[None]]) -> None:
        """Wait for what was begun, but not long; whatever is done by now is over, with its error."""
        if begun:
            await asyncio.wait(begun, timeout=PATIENCE_S)
        done = [one for one in self._batches if one.done()]
        self._batches.difference_update(done)
        wrong = [error for one in done if (error := one.exception()) is not None]
        if wrong:
            raise wrong[0]

    async def _redials(self, workspace_id: str) -> None:
        """A call that was picked up is not made again."""
        world = self._desk.worlds.get(workspace_id)
        due = [] if world is None else [
            one for one in world.timers.values() if one.kind == "redial" and one.due_at <= self._clock.time()
        ]  # fmt: skip
        if world is None or not due:
            return
        said = await asyncio.gather(*(self._sender.answered(one, world.setup) for one in due))
        answered = [one.id for one, yes in zip(due, said, strict=True) if yes]
        if answered:
            await self._desk.change(workspace_id, lambda changes: end_answered(changes, answered))


def lateness(world: World, now: float) -> float:
    """Seconds by which the oldest timer or message that is due waits already."""
    due = [one.due_at for one in world.timers.values()]
    due += [one.due_at for one in world.outbox.values() if one.state == "pending"]
    return max(0.0, now - min(due, default=now))


def _due(world: World, now: float) -> bool:
    timers = any(one.due_at <= now for one in world.timers.values())
    return timers or any(waits_for_sender(one, now) for one in world.outbox.values())
