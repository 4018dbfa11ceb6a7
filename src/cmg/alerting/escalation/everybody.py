"""A SEV-1 incident calls every tier at once, and nobody twice. A P1 alert alone does not.

The call is an alert of its own, with the label `cmg_incident`; its annotation `cmg_groups` names the groups of alerts
that belong to the incident. While the call stands they call nobody themselves. Its annotation `cmg_followed` says which
groups were looked at for that: one that was opened later waits for it, for a moment, before it calls anybody. A rule
may say `incident: SEV-1`: then its own group calls every tier, whether or not anybody can be asked what incidents there
are.
"""

from collections.abc import Mapping

from cmg.alerting.models import INCIDENT_LABEL, Alert, Group
from cmg.alerting.world import World

SEV_1 = "SEV-1"
GROUPS = "cmg_groups"
FOLLOWED = "cmg_followed"  # epoch seconds: of every group opened by then it is known whether it belongs to the incident
JOIN_S = 30.0  # whoever should say that may be dead


def calls_everybody(labels: Mapping[str, str]) -> bool:
    """Whether an alert stands for a SEV-1 incident."""
    call = INCIDENT_LABEL in labels and labels.get("sev") == SEV_1
    return call or labels.get("incident", "").upper() == SEV_1


def everybody(world: World, group: Group) -> bool:
    """Whether a group's first page goes to every tier."""
    return any(calls_everybody(one.labels) for one in world.members(group.id))


def call_of(world: World, group: Group) -> Group | None:
    """The call of the incident that a group belongs to, once people were told of it; None for the call itself."""
    for alert in world.alerts.values():
        if alert.firing and INCIDENT_LABEL in alert.labels and group.id in _named(alert):
            call = world.groups.get(alert.group_id or "")
            if call is not None and call.id != group.id and call.told_at is not None:
                return call
    return None


def undecided(world: World, group: Group, now: float) -> bool:
    """Whether a SEV-1 is on that the group may belong to, and nobody has looked yet; for `JOIN_S` at most."""
    if now >= group.opened_at + JOIN_S or everybody(world, group):
        return False
    calls = [one for one in world.alerts.values() if one.firing and INCIDENT_LABEL in one.labels]
    told = [one for one in calls if (call := world.groups.get(one.group_id or "")) is not None and call.told_at]
    return any(group.opened_at > _followed(one) for one in told)


def called_for(world: World, call: Group) -> list[Group]:
    """The live groups of the incident that a call is about."""
    named = {name for alert in world.members(call.id) if INCIDENT_LABEL in alert.labels for name in _named(alert)}
    return [world.groups[name] for name in sorted(named) if name in world.groups and name != call.id]


def together(world: World, group: Group) -> list[Group]:
    """The other live groups of the same incident, its call among them: who answers one answers all."""
    call = call_of(world, group)
    if call is None:
        return called_for(world, group)
    return [call, *(one for one in called_for(world, call) if one.id != group.id)]


def paged_already(world: World, group: Group) -> frozenset[str]:
    """Who was called for the same incident by now; after an acknowledgement that expired, nobody was."""
    others = called_for(world, group) if not group.round else []
    return frozenset([*group.paged, *(who for one in others for who in one.paged)])


def _followed(alert: Alert) -> float:
    """Where nothing is said, nothing is waited for."""
    try:
        return float(alert.annotations[FOLLOWED])
    except (KeyError, ValueError):
        return float("inf")


def _named(alert: Alert) -> frozenset[str]:
    return frozenset(alert.annotations.get(GROUPS, "").split())
