"""What a drill came to: when it was noticed, told, escalated and over, each beside its target. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cmg.alerting.models import PAGING, Alert, Group, Notification
from cmg.alerting.setup.documents import EscalationPolicy
from cmg.app.drills.scenarios import ESCALATE_S, NOTIFY_S, Scenario


@dataclass
class Seen:
    """What alerting wrote of a drill so far, from its tables or, while the database is away, from the spool."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    messages: dict[str, Notification] = field(default_factory=dict)

    def add(self, alerts: Iterable[Alert], groups: Iterable[Group], messages: Iterable[Notification]) -> None:
        """Lay what was read over what is known; a message that was sent stays sent."""
        self.alerts |= {one.fingerprint: one for one in alerts}
        self.groups |= {one.id: one for one in groups}
        self.messages |= {one.key: one for one in messages if one.sent_at or one.key not in self.messages}

    def of(self, quantities: Collection[str]) -> "Seen":
        """What is of the rules that should fire, without what fired beside them."""
        alerts = {name: one for name, one in self.alerts.items() if one.labels.get("quantity") in quantities}
        groups = {one.group_id for one in alerts.values()}
        return Seen(
            alerts,
            {name: one for name, one in self.groups.items() if name in groups},
            {key: one for key, one in self.messages.items() if one.group_id in groups},
        )


@dataclass(frozen=True)
class Times:
    """The fault's beginning and end; `taken_over`: when another process paged; `minute_s`: of an escalation."""

    began: float
    ended: float
    minute_s: float
    taken_over: float | None = None


@dataclass(frozen=True)
class Measure:
    """`seconds` None: it did not happen. `target_s` None: it is not expected, as the escalation of a P3."""

    what: str
    seconds: float | None
    target_s: float | None
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether it happened in time, or was not expected."""
        return self.target_s is None or (self.seconds is not None and self.seconds <= self.target_s)


def first_told(seen: Seen) -> float | None:
    """When the first message of the drill went out, or would have."""
    return min((one.sent_at for one in _pages(seen) if one.sent_at is not None), default=None)


def escalated_at(seen: Seen) -> float | None:
    """When the second step was told."""
    later = (one.sent_at for one in _pages(seen) if _step(one) > 1)
    return min((at for at in later if at is not None), default=None)


def expects_escalation(seen: Seen, policies: Mapping[str, EscalationPolicy]) -> tuple[float, str]:
    """Minutes until the second step, and why there is none (then 0)."""
    paging = [one for one in seen.groups.values() if one.severity in PAGING]
    if not paging:
        return 0, "P3 and P4 are not escalated"
    policy = policies.get(paging[0].policy_id or "")
    if policy is None or len(policy.steps) < 2:
        return 0, "the policy has no second step"
    return policy.steps[1].after_minutes, ""


def measures(
    scenario: Scenario, whole: Seen, times: Times, policies: Mapping[str, EscalationPolicy]
) -> Sequence[Measure]:
    """Detection, notification, escalation and recovery, of the rules that should fire."""
    seen = whole.of(scenario.quantities)
    noticed = min((one.starts_at for one in seen.alerts.values()), default=None)
    detected = times.taken_over or noticed
    names = ", ".join(sorted({one.name for one in seen.alerts.values()}))
    told, escalated = first_told(seen), escalated_at(seen)
    minutes, why_not = expects_escalation(seen, policies)
    groups = list(seen.groups.values())
    over = [one.resolved_at for one in groups if one.resolved_at is not None]
    recovered = max(over) if over and len(over) == len(groups) else None
    begun = min((one.begun_at for one in groups if one.severity in PAGING), default=None)
    due = minutes * times.minute_s + ESCALATE_S if minutes else None
    return [
        Measure("detection", _since(detected, times.began), scenario.detect_s, names),
        Measure("notification", _since(told, detected), NOTIFY_S, f"{len(seen.messages)} messages"),
        Measure("escalation", _since(escalated, begun), due, why_not or f"due after {due or 0:g} s at the latest"),
        Measure("recovery", _since(recovered, times.ended), scenario.recover_s, _beside(whole, seen)),
    ]


def _beside(whole: Seen, seen: Seen) -> str:
    names = sorted({one.name for name, one in whole.alerts.items() if name not in seen.alerts})
    return f"also practised: {', '.join(names)}" if names else ""


def _since(at: float | None, begin: float | None) -> float | None:
    return None if at is None or begin is None else round(max(0.0, at - begin), 1)


def _pages(seen: Seen) -> list[Notification]:
    return [one for one in seen.messages.values() if one.occasion == "page"]


def _step(one: Notification) -> int:
    """`tier 2 2.0` is the second step's; redials and what else has no such number, the first's."""
    number = one.step.rpartition(" ")[2].partition(".")[0]
    return int(number) if number.isdigit() and not one.step.startswith("redial") else 1
