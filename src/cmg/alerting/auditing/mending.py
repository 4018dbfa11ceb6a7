"""What is wrong with a group is put right: a timer that is missing is set, what is overdue is done."""

from collections.abc import Iterable

from cmg.alerting.auditing.findings import Finding
from cmg.alerting.escalation.timers import advance
from cmg.alerting.models import PAGING, Decision, Group
from cmg.alerting.world import Changes

_WORDS = {
    "no_timer": "nothing was going to happen to it",
    "acknowledgement": "its acknowledgement ended, and nobody was told",
    "behind": "a step should have been told",
    "overdue": "a timer was not claimed",
}


def mend(changes: Changes, findings: Iterable[Finding]) -> None:
    """Set what is missing, as the world is now, and do all that is due."""
    for finding in findings:
        group = changes.world.groups.get(finding.group_id)
        if group is None or finding.kind not in _WORDS:
            continue  # it was resolved meanwhile, or there is only a message to send
        if finding.kind != "overdue":
            _set_timer(changes, group)
        told = f"the auditor found: {_WORDS[finding.kind]}"
        changes.decide(Decision(at=changes.now, event=told, outcome="it is done now", group_id=group.id))
    advance(changes)


def _set_timer(changes: Changes, group: Group) -> None:
    """What comes next for a group, now; for an answered one when the answer ends."""
    if group.status != "open":
        changes.end_timers(group.id)
        changes.new_timer(group.id, "resume", max(changes.now, group.until or 0))
        return
    policy = changes.world.setup.policies.get(group.policy_id or "")
    changes.end_timers(group.id, "wait", "escalate", "remind")
    if not group.step:
        changes.new_timer(group.id, "wait", changes.now)
    elif policy is not None and group.severity in PAGING and group.step < len(policy.steps):
        changes.new_timer(group.id, "escalate", changes.now, group.step)
    else:
        # No reminder had this number before, so its message has a key of its own.
        changes.new_timer(group.id, "remind", changes.now, int(changes.now))
