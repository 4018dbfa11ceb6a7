"""Alerts become groups: by equal labels, by what belongs together, and in a storm all into one."""

from collections.abc import Mapping

import msgspec

from cmg.alerting.escalation.everybody import calls_everybody, everybody
from cmg.alerting.lifecycle.case import Case
from cmg.alerting.lifecycle.drills import drill_of
from cmg.alerting.lifecycle.leading import policy_for, urgency
from cmg.alerting.models import INCIDENT_LABEL, Group, Severity, Verdict
from cmg.alerting.setup.documents import Handling
from cmg.alerting.world import Changes
from cmg.kit.ids import uuid7_hex

_NAME = "grouping"


def group(case: Case) -> Verdict:
    """Join a live group of the same policy, or open one; never join one that was resolved."""
    world, handling = case.changes.world, case.changes.world.setup.handling
    key, drill = group_key(case.alert.labels, handling), drill_of(case.alert, world, case.now)
    lead = policy_for(world.setup, case.alert.labels)
    policy = None if lead is None else lead.policy
    joined, reason = world.groups.get(case.alert.group_id or ""), "it is in its group still"
    if joined is None:
        joined, reason = world.by_key(key, drill, policy), f"it belongs to the group of {key}"
    if joined is None:
        found = None if INCIDENT_LABEL in case.alert.labels else _correlated(case, drill, policy)
        joined, reason = found if found is not None else (None, f"it opens a group for {key}")
    joined = _opened(case, key, drill) if joined is None else _with(joined, case, urgency(lead, case.alert))
    case.become(group_id=joined.id)
    case.changes.put_alert(case.alert)
    case.changes.put_group(joined)
    return Verdict(_NAME, "pass", f"{reason} ({joined.id})")


def group_key(labels: Mapping[str, str], handling: Handling) -> str:
    """`alertname="X", component="db"`; labels that are absent are left out. Each incident's call is for itself."""
    if labels.get(INCIDENT_LABEL):
        return f'{INCIDENT_LABEL}="{labels[INCIDENT_LABEL]}"'
    return ", ".join(f'{name}="{labels[name]}"' for name in handling.group_by if labels.get(name)) or "everything"


def _opened(case: Case, key: str, drill: str) -> Group:
    alert, handling = case.alert, case.changes.world.setup.handling
    kept = {*handling.group_by, *handling.correlate_by, handling.component_label, INCIDENT_LABEL}
    return Group(
        id=uuid7_hex(),
        key=key,
        labels={name: value for name, value in alert.labels.items() if name in kept},
        title=alert.annotations.get("summary") or alert.name,
        severity=alert.severity,
        opened_at=case.now,
        begun_at=case.now,
        drill=drill,
        paged=alert.paged,
    )


def _with(joined: Group, case: Case, urgent: Severity) -> Group:
    """The group with one more alert. One more `urgent` than it begins its escalation again, acknowledged or not."""
    known = case.alert.group_id == joined.id
    grown = msgspec.structs.replace(joined, alerts=joined.alerts + (not known))
    worse = calls_everybody(case.alert.labels) and not everybody(case.changes.world, joined)
    if urgent >= joined.severity and not worse:
        return grown
    begin_again(case.changes, joined, case.now, case.changes.world.setup.handling.wait_seconds)
    severity = min(urgent, joined.severity)
    return msgspec.structs.replace(
        grown, severity=severity, status="open", until=None, step=0, round=joined.round + 1,
        begun_at=case.now, title=case.alert.annotations.get("summary") or case.alert.name,
    )  # fmt: skip


def begin_again(changes: Changes, one: Group, now: float, wait_s: float) -> None:
    """Put the timer of a group's first step in the place of whatever was to happen to it."""
    changes.end_timers(one.id)
    changes.new_timer(one.id, "wait", now + wait_s)


def _correlated(case: Case, drill: str, policy: str | None) -> tuple[Group, str] | None:
    """The group of the same policy that an alert belongs to: who is told of other policies' groups is somebody else."""
    alert, world, now = case.alert, case.changes.world, case.now
    handling = world.setup.handling
    alike = [
        one
        for one in world.groups.values()
        if one.drill == drill and one.policy_id in {None, policy} and INCIDENT_LABEL not in one.labels
    ]
    recent = sorted(
        (one for one in alike if now - one.opened_at <= handling.correlate_minutes * 60),
        key=lambda one: (one.opened_at, one.id),
    )
    for one in recent:
        same = next((name for name in handling.correlate_by if _agree(name, alert.labels, one.labels)), None)
        if same is not None:
            return one, f"its {same} is that of a group opened {now - one.opened_at:.0f} s ago"
    component = alert.labels.get(handling.component_label, "")
    around = _neighbours(component, handling) if component else set()
    for one in recent:
        other = one.labels.get(handling.component_label, "")
        if other in around:
            return one, f"its component {component} is a neighbour of {other}, whose group is {one.id}"
    waiting = next((one for one in recent if one.status == "open"), None)  # of what is answered nobody hears
    if len(recent) >= handling.storm_groups and waiting is not None:
        return waiting, f"a storm: {len(recent)} groups were opened in {handling.correlate_minutes} min"
    return None


def _agree(name: str, one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    return bool(one.get(name)) and one.get(name) == other.get(name)


def _neighbours(component: str, handling: Handling) -> set[str]:
    up = {edge.needs for edge in handling.components if edge.component == component}
    return up | {edge.component for edge in handling.components if edge.needs == component}
