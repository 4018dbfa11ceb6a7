"""Which escalation policy cares for a group: the first route that matches, else the policy named `default`."""

import msgspec

from cmg.alerting.lifecycle.case import Case
from cmg.alerting.lifecycle.grouping import begin_again
from cmg.alerting.models import Group, Severity, Verdict
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.matchers import matches, shown
from cmg.alerting.world import Changes

_NAME = "routing"
DEFAULT = "default"


def route(case: Case) -> Verdict:
    """Give a group its policy and begin to tell people of it, unless it has one already."""
    changes = case.changes
    one = changes.world.groups[case.alert.group_id or ""]
    if one.policy_id is not None:
        return Verdict(_NAME, "pass", f"the group goes by the policy {one.policy_id}")
    found = policy_for(changes.world.setup, case.alert.labels)
    if found is None:
        return Verdict(_NAME, "hold", "no route matches and there is no policy `default`: nobody can be told")
    name, policy, severity, reason = found
    routed = msgspec.structs.replace(one, policy_id=policy, route=name)
    if severity is not None:
        routed = msgspec.structs.replace(routed, severity=severity)
    _begin(changes, routed, case.now)
    return Verdict(_NAME, "pass", reason)


def _begin(changes: Changes, one: Group, now: float) -> None:
    changes.put_group(one)
    begin_again(changes, one, now, changes.world.setup.handling.wait_seconds)


def policy_for(setup: Setup, labels: dict[str, str]) -> tuple[str, str, Severity | None, str] | None:
    """(route, policy, severity it sets, reason)."""
    for name, one in setup.routes:
        if matches(one.matchers, labels) and one.policy in setup.policies:
            by = shown(one.matchers) or "everything"
            return name, one.policy, one.severity, f"route {name} ({by}) leads to the policy {one.policy}"
    if DEFAULT in setup.policies:
        return "", DEFAULT, None, "no route matches; it goes by the policy default"
    return None
