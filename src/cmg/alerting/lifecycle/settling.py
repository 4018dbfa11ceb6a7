"""An alert ceased to fire: its group is resolved with its last one."""

from cmg.alerting.escalation.telling import resolve_group
from cmg.alerting.lifecycle.case import Case
from cmg.alerting.models import Verdict


def settle(case: Case) -> Verdict:
    """Take the alert out of what its group cares for, and resolve the group when nothing is left."""
    if case.alert.flapping:
        return Verdict("settling", "hold", "it flaps, so its group stays as it is")
    case.changes.put_alert(case.alert)
    one = case.changes.world.groups.get(case.alert.group_id or "")
    if one is None:
        return Verdict("settling", "pass", "it belongs to no live group")
    left = case.changes.world.members(one.id)
    if left:
        return Verdict("settling", "pass", f"{len(left)} other alerts of its group fire still")
    resolve_group(case.changes, one, "every alert of it ceased to fire")
    return Verdict("settling", "pass", f"it was the last one of its group {one.id}, which is resolved")
