"""What people do to a group: acknowledge, resolve, snooze, reassign. Each stops or turns the escalation at once."""

import msgspec

from cmg.alerting.escalation.contacts import places
from cmg.alerting.escalation.everybody import together
from cmg.alerting.escalation.telling import Telling, put, resolve_group, tell_acknowledged
from cmg.alerting.models import Decision, Group, GroupStatus
from cmg.alerting.setup.documents import EscalationPolicy, Target
from cmg.alerting.world import Changes
from cmg.kit.clock import rfc3339
from cmg.kit.errors import Conflict, InvalidRequest

_DEFAULT_ACK_MINUTES = 60


def acknowledge(changes: Changes, group: Group, by: str) -> None:
    """Somebody cares for it: nothing more is sent until the acknowledgement ends without the group being resolved.

    Who acknowledges one group of a SEV-1 incident, or its call, acknowledges all that belong to it.
    """
    policy = changes.world.setup.policies.get(group.policy_id or "")
    minutes = policy.acknowledgement_minutes if policy else _DEFAULT_ACK_MINUTES
    also = [one for one in together(changes.world, group) if one.status == "open"]
    for one in (group, *also):
        _pause(changes, one, by, "acknowledged", changes.now + minutes * 60)
        tell_acknowledged(changes, one, by)


def snooze(changes: Changes, group: Group, by: str, minutes: int) -> None:
    """Nobody is told of it for a time; then escalation begins again."""
    _pause(changes, group, by, "snoozed", changes.now + minutes * 60)


def _pause(changes: Changes, group: Group, by: str, status: GroupStatus, until: float) -> None:
    _live(group)
    taken = changes.cancel(group.id, f"{status} by {by}")
    changes.end_timers(group.id)
    changes.new_timer(group.id, "resume", until)
    first = group.acknowledged_at or (changes.now if status == "acknowledged" else None)
    changes.put_group(msgspec.structs.replace(group, status=status, by=by, until=until, acknowledged_at=first))
    told = f"{status} until {rfc3339(until)}" + (f"; {taken} waiting messages were taken back" if taken else "")
    changes.decide(Decision(at=changes.now, event=f"{by} acts", outcome=told, group_id=group.id))


def resolve(changes: Changes, group: Group, by: str) -> None:
    """It is over. An alert that is reported as firing once more begins anew, and opens a group of its own."""
    _live(group)
    for alert in changes.world.members(group.id):
        changes.put_alert(msgspec.structs.replace(alert, firing=False, flapping=False, ends_at=changes.now))
    resolve_group(changes, group, f"{by} resolved it", by)


def reassign(changes: Changes, group: Group, by: str, responder: str) -> None:
    """Somebody else is to care for it: they are told now, and the escalation goes on from there."""
    _live(group)
    setup = changes.world.setup
    if responder not in setup.responders:
        raise InvalidRequest(f"there is no responder `{responder}`", param="responder")
    policy = setup.policies.get(group.policy_id or "")
    if policy is None:
        raise Conflict("the group has no escalation policy, so nobody's channels are known for it")
    told = _tell_one(changes, group, policy, responder)
    changes.put_group(msgspec.structs.replace(group, assigned_to=responder, told_at=changes.now))
    outcome = f"assigned to {responder}: {told}"
    changes.decide(Decision(at=changes.now, event=f"{by} acts", outcome=outcome, group_id=group.id))


def _tell_one(changes: Changes, group: Group, policy: EscalationPolicy, responder: str) -> str:
    found, why = places(changes.world.setup, Target(responder=responder), group.severity, policy, changes.now)
    for place in found:
        put(changes, group, place, Telling("page", f"assigned {changes.now:.0f}", f"it was assigned to {responder}"))
    return why


def _live(group: Group) -> None:
    if not group.live:
        raise Conflict(f"the group {group.id} is resolved already")
