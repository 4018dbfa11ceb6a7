"""What happens to groups as time goes by. Each timer that is due is ended, and what it led to is put in its place."""

from collections.abc import Callable

import msgspec

from cmg.alerting.escalation.contacts import Place
from cmg.alerting.escalation.everybody import call_of, everybody, undecided
from cmg.alerting.escalation.telling import Telling, put, resolve_group, tell_everybody, tell_steps
from cmg.alerting.lifecycle.drills import drill_for
from cmg.alerting.lifecycle.suppression import muted
from cmg.alerting.models import (
    INCIDENT_LABEL,
    PAGING,
    RESPONSE_S,
    Decision,
    Group,
    Notification,
    Timer,
    Verdict,
)
from cmg.alerting.oncall.business import next_business_day
from cmg.alerting.setup.documents import BusinessCalendar, EscalationPolicy
from cmg.alerting.world import Changes

_MUTED_S = 60.0
_JOINING_S = 2.0
_LAST_STEP_S = 3600.0
_AT_ONCE = 1000


def advance(changes: Changes) -> int:
    """Do all that is due, the oldest first, also what became due while nobody looked; returns how much that was."""
    done = 0
    for _ in range(_AT_ONCE):
        due = min((one for one in changes.world.timers.values() if one.due_at <= changes.now), key=_order, default=None)
        if due is None:
            break
        done += 1
        changes.end_timer(due)
        group = changes.world.groups.get(due.group_id)
        if group is not None:
            _DOES[due.kind](changes, group, due)
    return done


def _order(timer: Timer) -> tuple[float, str]:
    return timer.due_at, timer.id


def _page(changes: Changes, group: Group, timer: Timer) -> None:
    """The first step, or a later one (`timer.number`)."""
    policy = _policy(changes, group)
    if policy is None or _held(changes, group, timer):
        return
    if not (group.step or group.drill) and undecided(changes.world, group, changes.now):
        changes.new_timer(group.id, timer.kind, changes.now + _JOINING_S, timer.number)
        return
    if everybody(changes.world, group):
        telling = Telling("page", f"all tiers 1.{group.round}", "a SEV-1 incident calls every tier at once")
        tell_everybody(changes, group, policy, telling)
        last = len(policy.steps) - 1
    else:
        last = _tell_from(changes, group, policy, min(timer.number, len(policy.steps) - 1))
    called = {one.target for one in changes.notifications.values() if _calls(one, group)}
    paged = tuple(sorted({*group.paged, *called}))
    changes.put_group(msgspec.structs.replace(group, step=last + 1, told_at=changes.now, paged=paged))
    for one in changes.world.members(group.id):
        if INCIDENT_LABEL in one.labels:
            changes.put_alert(msgspec.structs.replace(one, paged=paged))
    _next(changes, changes.world.groups[group.id], policy)


def _tell_from(changes: Changes, group: Group, policy: EscalationPolicy, number: int) -> int:
    minutes = policy.steps[number].after_minutes
    reason = f"nobody acknowledged it within {minutes} minutes" if number else "it was opened"
    name = policy.steps[number].name or f"step {number + 1}"
    return tell_steps(changes, group, policy, number, Telling("page", f"{name} {number + 1}.{group.round}", reason))


def _calls(one: Notification, group: Group) -> bool:
    return one.group_id == group.id and one.occasion == "page" and one.waits


def _next(changes: Changes, group: Group, policy: EscalationPolicy) -> None:
    """Set the timer of what comes after the steps that were told."""
    if group.severity not in PAGING:
        changes.new_timer(group.id, "remind", remind_at(changes, group, policy), 1)
    elif group.step < len(policy.steps):
        drill = drill_for(group, changes.world, changes.now)
        due = group.begun_at + policy.steps[group.step].after_minutes * (drill.minute_seconds if drill else 60)
        changes.new_timer(group.id, "escalate", due, group.step)
    else:
        changes.new_timer(group.id, "remind", changes.now + _LAST_STEP_S, 1)


def remind_at(changes: Changes, group: Group, policy: EscalationPolicy) -> float:
    """When an unanswered P3 or P4 is told again: at its response target; P4's is the next business day."""
    if group.severity == "P4":
        calendar = changes.world.setup.calendars.get(policy.business_calendar or "default", BusinessCalendar())
        return next_business_day(calendar, changes.now)
    return changes.now + RESPONSE_S[group.severity]


def _remind(changes: Changes, group: Group, timer: Timer) -> None:
    policy = _policy(changes, group)
    if policy is None or _held(changes, group, timer):
        return
    paging = group.severity in PAGING
    number = len(policy.steps) - 1 if paging else 0
    telling = Telling("remind", f"reminder {timer.number}.{group.round}", "it is still not acknowledged")
    tell_steps(changes, group, policy, number, telling)
    due = changes.now + _LAST_STEP_S if paging else remind_at(changes, group, policy)
    changes.new_timer(group.id, "remind", due, timer.number + 1)


def _resume(changes: Changes, group: Group, timer: Timer) -> None:
    """An acknowledgement or a snooze ended: begin again."""
    del timer
    why = "the snooze ended" if group.status == "snoozed" else f"{group.by} acknowledged it, and it is not resolved yet"
    changes.decide(Decision(at=changes.now, event=why, outcome="escalation begins again", group_id=group.id))
    again = msgspec.structs.replace(
        group, status="open", until=None, step=0, round=group.round + 1, begun_at=changes.now, paged=()
    )
    changes.put_group(again)
    if not changes.world.members(group.id):
        resolve_group(changes, again, "no alert of it fires any more")
        return
    changes.new_timer(group.id, "wait", changes.now)


def _redial(changes: Changes, group: Group, timer: Timer) -> None:
    """A call that nobody picked up; `timer.notification` is channel, address, target and receipt of it."""
    if group.status != "open":
        return
    channel, address, target, _ = timer.notification.split("\n")
    telling = Telling("page", f"redial {timer.number}.{group.round}.{group.step}", "nobody picked up")
    put(changes, group, Place(target, channel, address), telling)
    changes.decide(
        Decision(at=changes.now, event="nobody picked up", outcome=f"{channel} calls again", group_id=group.id)
    )


def _policy(changes: Changes, group: Group) -> EscalationPolicy | None:
    found = changes.world.setup.policies.get(group.policy_id or "")
    if found is None:
        told = f"the policy {group.policy_id} is gone; a route has to lead to another one"
        changes.decide(Decision(at=changes.now, event="time to tell somebody", outcome=told, group_id=group.id))
        changes.put_group(msgspec.structs.replace(group, policy_id=None))
    return found


def _held(changes: Changes, group: Group, timer: Timer) -> bool:
    """Whether nobody should hear of any alert of the group now; then it is asked again in a minute."""
    members = changes.world.members(group.id)
    told_flaps, call = group.told_at is not None, call_of(changes.world, group)
    if call is not None:
        reasons = [f"{call.title} calls everybody: the group {call.id}"] * len(members)
    else:
        reasons = [
            "it flaps" if one.flapping and told_flaps else muted(one, changes.world, changes.now) for one in members
        ]
    if not members or not all(reasons):
        return False
    changes.new_timer(group.id, timer.kind, changes.now + _MUTED_S, timer.number, timer.notification)
    if group.note != reasons[0]:
        verdicts = tuple(Verdict(one.name, "hold", why) for one, why in zip(members, reasons, strict=True))[:20]
        told = "held: nobody should hear of any alert of it now"
        event = "time to tell somebody"
        changes.decide(Decision(at=changes.now, event=event, outcome=told, group_id=group.id, verdicts=verdicts))
        changes.put_group(msgspec.structs.replace(group, note=reasons[0]))
    return True


_DOES: dict[str, Callable[[Changes, Group, Timer], None]] = {
    "wait": _page,
    "escalate": _page,
    "remind": _remind,
    "resume": _resume,
    "redial": _redial,
}
