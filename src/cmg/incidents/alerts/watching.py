"""Follows the alerting of the service: every group that changed is taken in once, in the order of its changes.

What a group did to incidents and how far alerting was followed are kept in one transaction, so a killed process neither
forgets a group nor takes one in twice; of several processes one is at it at a time.
"""

from collections.abc import Mapping
from datetime import datetime

from cmg.alerting.models import Group
from cmg.alerting.store import AlertingStore
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents.alerts import store
from cmg.incidents.alerts.desk import IncidentDesk
from cmg.incidents.alerts.rules import OF_INCIDENTS, Seen
from cmg.kit.clock import Clock, at
from cmg.storage.database import Database
from cmg.telemetry.logs import get_logger

EVERY_S = 5.0
_WRITTEN_S = 1.0  # what was decided by a moment is in the tables so much later
_log = get_logger("cmg.incidents.alerts")


class AlertWatch:
    """The groups of the service's own workspace; those of other workspaces are theirs."""

    def __init__(self, database: Database, desk: IncidentDesk, clock: Clock) -> None:
        self._database, self._desk, self._clock = database, desk, clock
        self._alerting = AlertingStore()
        self.followed_at = 0.0

    async def run(self) -> None:
        """Follow for ever."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  whatever it is, the next look may be right
                _log.warning("alerts could not be followed", error=repr(error))
            await self._clock.sleep(EVERY_S)

    async def look(self) -> int:
        """Take in what changed since the last look; returns how many groups. Raises `DatabaseAway`.

        `followed_at` is then the epoch second up to which every group is known.
        """
        began = self._clock.time()
        async with self._database.transaction() as conn:
            since = await store.lock_watch(conn)
            if since is None:
                return 0
            groups, alerts, generation = await self._alerting.changed(conn, DEFAULT_WORKSPACE, since)
            labels = {one.group_id: one.labels for one in alerts if one.group_id is not None}
            for group in sorted((one for one in groups if not one.drill), key=lambda one: one.opened_at):
                met = seen(group, labels.get(group.id, {}))
                if OF_INCIDENTS in met.labels:
                    await self._desk.attach(conn, met, self._clock.now())
                else:
                    await self._desk.follow(conn, met, self._clock.now())
            if generation != since:
                await store.move_watch(conn, generation)
        self.followed_at = began - _WRITTEN_S
        return len(groups)


def seen(group: Group, labels: Mapping[str, str]) -> Seen:
    """A group in the words of incidents; `labels` are those of one of its alerts, which says more than the group's."""
    return Seen(
        id=group.id,
        title=group.title,
        severity=group.severity,
        labels={**labels, **group.labels},
        opened_at=at(group.opened_at),
        acknowledged_at=_moment(group.acknowledged_at),
        resolved_at=_moment(group.resolved_at),
        by=group.by or "",
    )


def _moment(epoch_s: float | None) -> datetime | None:
    return None if epoch_s is None else at(epoch_s)
