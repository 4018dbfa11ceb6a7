"""Everything that decisions are made from, for one workspace, and what they change in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from cmg.alerting.models import Alert, Decision, Group, Notification, NotificationState, Timer
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.inhibitors import OF_CATALOGUE, Inhibitors
from cmg.kit.ids import uuid7_hex


@dataclass
class World:
    """Alerts that matter still, groups that are not resolved, timers that are due some time, messages not yet sent.

    `generation` is the number of the last change that is in it.
    """

    workspace_id: str
    setup: Setup
    generation: int = 0
    alerts: dict[str, Alert] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    timers: dict[str, Timer] = field(default_factory=dict)
    outbox: dict[str, Notification] = field(default_factory=dict)
    inhibitors: Inhibitors = field(default_factory=Inhibitors)
    _members: dict[str, set[str]] = field(default_factory=dict)

    def copy(self) -> "World":
        """Another world of the same (values never change), to decide on."""
        made = World(self.workspace_id, self.setup, self.generation)
        made.alerts, made.groups = dict(self.alerts), dict(self.groups)
        made.timers, made.outbox = dict(self.timers), dict(self.outbox)
        made.inhibitors = self.inhibitors.copy()
        made._members = {name: set(one) for name, one in self._members.items()}
        return made

    def configure(self, setup: Setup) -> None:
        """Decide by other documents from now on."""
        self.setup = setup
        self.inhibitors = Inhibitors({**OF_CATALOGUE, **setup.inhibitions})
        for alert in self.alerts.values():
            self.inhibitors.take(alert)

    def members(self, group_id: str) -> list[Alert]:
        """The alerts of a group that it has still to care for."""
        return [self.alerts[one] for one in sorted(self._members.get(group_id, ()))]

    def by_key(self, key: str, drill: str, policy: str | None) -> Group | None:
        """The live group of these labels, real or of a drill, that is told by a policy, or by none yet."""
        alike = (one for one in self.groups.values() if (one.key, one.drill) == (key, drill))
        return next((one for one in alike if one.policy_id in {None, policy}), None)

    def timers_of(self, group_id: str) -> list[Timer]:
        """What is yet to happen to a group."""
        return [one for one in self.timers.values() if one.group_id == group_id]

    def take(self, alerts: Iterable[Alert] = (), groups: Iterable[Group] = ()) -> None:
        """Put these in their places, or out when they are over and need no more looking at."""
        for alert in alerts:
            before = self.alerts.get(alert.fingerprint)
            if before is not None and before.group_id is not None:
                self._members.get(before.group_id, set()).discard(alert.fingerprint)
            self.alerts[alert.fingerprint] = alert
            self.inhibitors.take(alert)
            if alert.group_id is not None and alert.active:
                self._members.setdefault(alert.group_id, set()).add(alert.fingerprint)
        for group in groups:
            if group.live:
                self.groups[group.id] = group
            else:
                self.groups.pop(group.id, None)
                self._members.pop(group.id, None)

    def forget(self, before: float) -> None:
        """Let go of alerts that ceased to fire before a time: their past no longer matters."""
        for alert in [one for one in self.alerts.values() if not one.active and one.seen_at < before]:
            del self.alerts[alert.fingerprint]

    def take_notifications(self, notifications: Iterable[Notification]) -> None:
        """Keep those that wait; drop those that are settled."""
        for one in notifications:
            if one.waits:
                self.outbox[one.key] = one
            else:
                self.outbox.pop(one.key, None)


@dataclass
class Changes:
    """What a decision changes. It works on the world as it goes, so later stages see what earlier ones did."""

    world: World
    now: float
    alerts: dict[str, Alert] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    timers: dict[str, Timer] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    notifications: dict[str, Notification] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep."""
        return not (
            self.alerts or self.groups or self.timers or self.fired or self.notifications or self.decisions
        )  # fmt: skip

    def put_alert(self, alert: Alert) -> None:
        """The alert as it is from now on."""
        self.alerts[alert.fingerprint] = alert
        self.world.take([alert])

    def put_group(self, group: Group) -> None:
        """The group as it is from now on; a resolved one loses its timers."""
        self.groups[group.id] = group
        self.world.take(groups=[group])

    def set_timer(self, timer: Timer) -> None:
        """Something is to happen."""
        self.timers[timer.id] = timer
        self.world.timers[timer.id] = timer

    def new_timer(self, group_id: str, kind: str, due_at: float, number: int = 0, notification: str = "") -> None:
        """The same with an id of its own."""
        raw = {"id": uuid7_hex(), "group_id": group_id, "kind": kind, "due_at": due_at, "number": number}
        self.set_timer(msgspec.convert({**raw, "notification": notification}, Timer))

    def end_timer(self, timer: Timer) -> None:
        """It has happened, or never will."""
        if self.timers.pop(timer.id, None) is None:  # else it was set in this same change, and never kept
            self.fired.add(timer.id)
        self.world.timers.pop(timer.id, None)

    def end_timers(self, group_id: str, *kinds: str) -> None:
        """End a group's timers of these kinds, or all."""
        for timer in self.world.timers_of(group_id):
            if not kinds or timer.kind in kinds:
                self.end_timer(timer)

    def notify(self, notification: Notification) -> None:
        """A message that is to be sent, or what became of one."""
        self.notifications[notification.key] = notification
        self.world.take_notifications([notification])

    def cancel(self, group_id: str, reason: str) -> int:
        """Take back what was not sent yet; returns how many."""
        waiting = [one for one in self.world.outbox.values() if one.group_id == group_id]
        for one in waiting:
            state: NotificationState = "cancelled"
            self.notify(msgspec.structs.replace(one, state=state, error=reason, claimed_until=None))
        return len(waiting)

    def decide(self, decision: Decision) -> None:
        """Keep the reason."""
        self.decisions.append(decision)
