"""What the tables say that should not be: pure decisions on rows."""

from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

from cmg.alerting.models import PAGING, Group
from cmg.alerting.setup.documents import EscalationPolicy

Kind = Literal["no_timer", "overdue", "acknowledgement", "behind", "message", "unrouted"]
KINDS: tuple[Kind, ...] = ("no_timer", "overdue", "acknowledgement", "behind", "message", "unrouted")
LATE_S = 60.0
MESSAGE_LATE_S = 300.0  # a channel may send only so many a minute
_LONGEST_WAIT_S = 600.0  # before the first step, for alerts that come together
_SOON_S = 90.0  # what is held is asked again within this


class Finding(msgspec.Struct, frozen=True):
    """`what` is the group, timer or message that is wrong."""

    kind: Kind
    workspace_id: str
    group_id: str
    what: str


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """A group that is not resolved; `due_at`: when something is to happen to it next, epoch seconds."""

    workspace_id: str
    group: Group
    due_at: float | None


Policies = Mapping[tuple[str, str], EscalationPolicy]


def of_groups(groups: list[Live], policies: Policies, now: float) -> Iterator[Finding]:
    """Groups that nothing will ever happen to, whose acknowledgement is over, or whose escalation stands still."""
    for one in groups:
        kind = _wrong(one, policies, now)
        if kind is not None:
            yield Finding(kind, one.workspace_id, one.group.id, one.group.id)


def _wrong(one: Live, policies: Policies, now: float) -> Kind | None:
    group = one.group
    if group.status != "open":
        if group.until is None or group.until < now - LATE_S:
            return "acknowledgement"
        return "no_timer" if one.due_at is None else None
    if group.policy_id is None:
        return "unrouted"
    if one.due_at is None:
        return "no_timer"
    policy = policies.get((one.workspace_id, group.policy_id))
    return "behind" if policy is not None and _behind(one, policy, now) else None


def _behind(one: Live, policy: EscalationPolicy, now: float) -> bool:
    """Whether a step should have been told by now and is not about to be; drills have minutes of their own."""
    group = one.group
    if group.severity not in PAGING or group.drill or group.step >= len(policy.steps):
        return False
    wait_s = 0 if group.step else _LONGEST_WAIT_S
    due = group.begun_at + wait_s + policy.steps[group.step].after_minutes * 60
    return due < now - LATE_S and (one.due_at or 0) > now + _SOON_S
