"""The use cases of alerts: take in what is reported, show it with its reasons, act on it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cmg.alerting.desk import Desk
from cmg.alerting.lifecycle.pipeline import receive
from cmg.alerting.models import Alert, Decision, Group, Notification, Report
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.store import AlertFilter
from cmg.alerting.world import Changes
from cmg.audit.models import Entry
from cmg.identity.models import Actor
from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest, NotFound
from cmg.storage.database import Database

_DECISIONS_SHOWN = 200
_MESSAGES_SHOWN = 500
_BATCH = 500
_TOLD_MOST = 2000
_LAST = datetime(9999, 1, 1, tzinfo=UTC)
Act = Callable[[Changes, Group, str], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Story:
    """An alert or a group with all that was decided about it and sent."""

    alert: Alert | None
    group: Group | None
    decisions: list[Decision]
    notifications: list[Notification]


class Alerts:
    """Every caller sees and changes the alerts of its own workspace."""

    def __init__(self, desk: Desk, database: Database, clock: Clock) -> None:
        self._desk, self._database, self._clock = desk, database, clock

    async def receive(self, workspace_id: str, reports: Sequence[Report]) -> int:
        """Take in reports, in batches; kept when this returns. Returns how many. Raises `DatabaseAway`."""
        for first in range(0, len(reports), _BATCH):
            batch = reports[first : first + _BATCH]
            await self._desk.change(workspace_id, lambda changes, batch=batch: receive(changes, batch), batch)  # type: ignore[misc]
        return len(reports)

    async def change(self, workspace_id: str, decide: Callable[[Changes], T]) -> T:
        """Let a decision of the service itself change a workspace's alerts. Raises `DatabaseAway`."""
        return await self._desk.change(workspace_id, decide)

    async def setup(self, workspace_id: str) -> Setup:
        """Everything a workspace configured; while the database is away, what this process knows of it."""
        world = self._desk.worlds.get(workspace_id)
        if self._desk.alone and world is not None:
            return world.setup
        return await self._desk.store.setup(self._database, workspace_id)

    async def page(self, by: Actor, wanted: AlertFilter) -> list[Alert]:
        """A page of alerts, those heard of last first."""
        return await self._desk.store.alerts(self._database, by.workspace_id, wanted)

    async def groups(self, by: Actor, status: str | None, cursor: str | None, limit: int) -> list[Group]:
        """A page of groups, newest first."""
        before = (_LAST, "") if cursor is None else position(cursor)
        return await self._desk.store.groups(self._database, by.workspace_id, before, status, limit)

    async def story(self, by: Actor, name: str) -> Story:
        """An alert (16 digits) or a group (32): why people were, or were not, told. Raises `NotFound`."""
        store, mine = self._desk.store, by.workspace_id
        alert = await store.alert(self._database, mine, name) if len(name) == 16 else None
        group_id = alert.group_id if alert is not None else name
        group = await store.group(self._database, mine, group_id) if group_id else None
        if alert is None and group is None:
            raise NotFound(f"there is no alert or group {name[:64]!r}; `cmg alerts list` shows them")
        decisions = await store.decisions(self._database, mine, name, _DECISIONS_SHOWN)
        sent = await store.notifications(self._database, mine, group.id, _MESSAGES_SHOWN) if group else []
        return Story(alert, group, decisions, sent)

    async def group(self, workspace_id: str, group_id: str) -> Group:
        """A group as it is now; while the database is away, as this process knows it. Raises `NotFound`."""
        world = self._desk.worlds.get(workspace_id)
        if self._desk.alone and world is not None and group_id in world.groups:
            return world.groups[group_id]
        found = await self._desk.store.group(self._database, workspace_id, group_id)
        if found is None:
            raise NotFound("there is no such group of alerts any more")
        return found

    async def members(self, workspace_id: str, group_id: str) -> list[Alert]:
        """The alerts of a group, those that ceased too."""
        wanted = AlertFilter(_LAST, "", group_id=group_id, limit=_MESSAGES_SHOWN)
        return await self._desk.store.alerts(self._database, workspace_id, wanted)

    async def told(self, workspace_id: str) -> list[tuple[Group, Notification]]:
        """What was sent about live groups, newest first. Raises `DatabaseAway`."""
        return await self._desk.store.told(self._database, workspace_id, _TOLD_MOST)

    async def act(self, by: Actor, name: str, what: str, act: Act) -> Group:
        """Do something to a group, named by its id or that of one of its alerts. Raises `NotFound`, `Conflict`."""

        def decide(changes: Changes) -> Group:
            group = _group(changes, name)
            act(changes, group, by.name)
            return changes.groups.get(group.id, group)

        entry = Entry(by.name, by.workspace_id, f"alert.{what}", name, {}, by.client)
        return await self._desk.change(by.workspace_id, decide, entry=entry)

    async def purge(self, days: int) -> int:
        """Delete what is older than that many days; returns the number of rows."""
        now = self._clock.now()
        return await self._desk.store.purge(self._database, now - timedelta(days=days), now - timedelta(days=1))


def _group(changes: Changes, name: str) -> Group:
    alert = changes.world.alerts.get(name)
    group = changes.world.groups.get(alert.group_id or "" if alert is not None else name)
    if group is None:
        raise NotFound(f"there is no alert or live group {name[:64]!r}; `cmg alerts list` shows them")
    return group


def cursor_of(at: float, name: str) -> str:
    """The cursor of the page after a row."""
    return f"{at!r}:{name}"


def position(cursor: str) -> tuple[datetime, str]:
    """What a cursor stands for. Raises `InvalidRequest`."""
    at, _, name = cursor.partition(":")
    try:
        return datetime.fromtimestamp(float(at), UTC), name.encode("ascii").decode().replace("\x00", "")
    except (ValueError, OverflowError, OSError):
        raise InvalidRequest("`cursor` is the `next` of the page before", param="cursor") from None
