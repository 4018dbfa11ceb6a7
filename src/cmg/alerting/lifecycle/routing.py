"""Which escalation policy cares for a group: the first route that matches, else the policy named `default`."""

import msgspec

from cmg.alerting.lifecycle.case import Case
from cmg.alerting.lifecycle.grouping import begin_again
from cmg.alerting.lifecycle.leading import policy_for
from cmg.alerting.models import Group, Verdict
from cmg.alerting.world import Changes

_NAME = "routing"


def route(case: Case) -> Verdict:
    """Give a group its policy and begin to tell people of it, unless it has one already."""
    changes = case.changes
    one = changes.world.groups[case.alert.group_id or ""]
    if one.policy_id is not None:
        return Verdict(_NAME, "pass", f"the group goes by the policy {one.policy_id}")
    found = policy_for(changes.world.setup, case.alert.labels)
    if found is None:
        return Verdict(_NAME, "hold", "no route matches and there is no policy `default`: nobody can be told")
    routed = msgspec.structs.replace(one, policy_id=found.policy, route=found.route)
    if found.severity is not None:
        routed = msgspec.structs.replace(routed, severity=found.severity)
    _begin(changes, routed, case.now)
    return Verdict(_NAME, "pass", found.reason)


def _begin(changes: Changes, one: Group, now: float) -> None:
    changes.put_group(one)
    begin_again(changes, one, now, changes.world.setup.handling.wait_seconds)
