"""Puts messages into the outbox: each has a key made of the group, the target and the step, so none is put in twice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from cmg.alerting.escalation import wording
from cmg.alerting.escalation.contacts import QUIET, Place, behind, places
from cmg.alerting.escalation.everybody import paged_already
from cmg.alerting.lifecycle.drills import drill_for
from cmg.alerting.models import Alert, Decision, Group, Notification, Occasion, Verdict
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import EscalationPolicy, Step
from cmg.alerting.world import Changes

ENDING: frozenset[Occasion] = frozenset({"acknowledged", "resolved"})
_FACTS = ("alertname", "service", "component")
_HEARD_MOST = 100
_Heard = tuple[tuple[str, str, str], ...]  # target, channel, address


@dataclass(frozen=True)
class Telling:
    """Why people are told, and at which point of the escalation: `step` is part of the message's key."""

    occasion: Occasion
    step: str
    reason: str


def tell_steps(changes: Changes, group: Group, policy: EscalationPolicy, number: int, telling: Telling) -> int:
    """Tell a step's targets; where it reaches nobody, the next step's as well. Returns the last step that was told."""
    for at in range(number, len(policy.steps)):
        told, verdicts = _tell_step(changes, group, policy, policy.steps[at], telling)
        changes.decide(
            Decision(
                at=changes.now,
                event=telling.reason,
                outcome=f"{told} messages for step {at + 1}" if told else f"step {at + 1} reaches nobody",
                group_id=group.id,
                verdicts=tuple(verdicts),
            )
        )
        if told:
            return at
    return len(policy.steps) - 1


def tell_everybody(changes: Changes, group: Group, policy: EscalationPolicy, telling: Telling) -> None:
    """Tell the targets of all steps at once, but whom the incident has called already."""
    but = paged_already(changes.world, group)
    told, verdicts = 0, list[Verdict]()
    for step in policy.steps:
        more, why = _tell_step(changes, group, policy, step, telling, but)
        told, verdicts = told + more, [*verdicts, *why]
    outcome = f"{told} messages for all {len(policy.steps)} steps"
    changes.decide(
        Decision(at=changes.now, event=telling.reason, outcome=outcome, group_id=group.id, verdicts=tuple(verdicts))
    )


def _tell_step(
    changes: Changes,
    group: Group,
    policy: EscalationPolicy,
    step: Step,
    telling: Telling,
    but: frozenset[str] = frozenset(),
) -> tuple[int, list[Verdict]]:
    told, verdicts = 0, []
    for target in step.targets:
        named = target.schedule or target.responder or target.channel
        found, why = places(changes.world.setup, target, group.severity, policy, changes.now)
        if found and found[0].target in but:
            verdicts.append(
                Verdict(f"target {named}", "stop", f"{found[0].target} was called for the incident already")
            )
            continue
        for place in found:
            told += put(changes, group, place, telling)
        where = ", ".join(one.channel for one in found)
        verdicts.append(Verdict(f"target {named}", "pass" if found else "stop", f"{why} → {where}" if found else why))
    return told, verdicts


def put(changes: Changes, group: Group, place: Place, telling: Telling) -> int:
    """Put one message into the outbox; 0 when it is there already."""
    key = f"{group.id}/{place.target}/{place.channel}/{place.address}/{telling.step}"[:300]
    if key in changes.notifications or key in changes.world.outbox:
        return 0
    members = changes.world.members(group.id)
    first = members[0].labels if members else group.labels
    changes.notify(
        Notification(
            key=key,
            group_id=group.id,
            occasion=telling.occasion,
            target=place.target,
            channel=place.channel,
            address=place.address,
            step=telling.step,
            subject=wording.subject(group, telling.occasion),
            body=wording.body(changes.world, group, telling.step, telling.reason),
            severity=group.severity,
            created_at=changes.now,
            due_at=changes.now,
            fallbacks=place.fallbacks,
            facts=_facts(changes, group, first),
        )
    )
    return 1


def _facts(changes: Changes, group: Group, labels: Mapping[str, str]) -> dict[str, str]:
    """What is known of it; `drill`: `quiet` when nobody is to be told, else `page`."""
    drill = drill_for(group, changes.world, changes.now)
    told = {name: labels[name] for name in _FACTS if name in labels} | {"alerts": str(group.alerts)}
    return told if drill is None else {**told, "drill": "page" if drill.page else "quiet"}


def tell_flapping(changes: Changes, alert: Alert) -> None:
    """The one notice that an alert comes and goes, to whoever the group's first step names."""
    group = changes.world.groups.get(alert.group_id or "")
    policy = changes.world.setup.policies.get(group.policy_id or "") if group else None
    if group is not None and policy is not None:
        reason = f"{alert.name} comes and goes; nothing more is told of it until it calms down"
        telling = Telling("flapping", f"flapping {alert.fingerprint} {alert.episode}", reason)
        tell_steps(changes, group, policy, 0, telling)


def resolve_group(changes: Changes, group: Group, reason: str, by: str | None = None) -> None:
    """End a group: no timer and no waiting page is left, and the quiet channels that heard of it hear its end."""
    told = [] if group.told_at is None else _quiet_places(changes, group)
    waited = changes.cancel(group.id, "the group was resolved first")
    for place in told:
        put(changes, group, place, Telling("resolved", f"resolved {group.round}", reason))
    changes.end_timers(group.id)
    changes.put_group(
        msgspec.structs.replace(group, status="resolved", resolved_at=changes.now, by=by or group.by, until=None)
    )
    outcome = f"resolved; {len(told)} hear of it" + (f", {waited} waiting messages were taken back" if waited else "")
    changes.decide(Decision(at=changes.now, event=reason, outcome=outcome, group_id=group.id))


def tell_acknowledged(changes: Changes, group: Group, by: str) -> None:
    """PagerDuty escalates as well: where it heard of the group, it hears that somebody cares for it."""
    channels = changes.world.setup.channels
    for place in _quiet_places(changes, group) if group.told_at is not None else ():
        if channels[place.channel].kind == "pagerduty":
            put(changes, group, place, Telling("acknowledged", f"acknowledged {group.round}", f"{by} acknowledged it"))


def with_quiet(setup: Setup, before: _Heard, one: Notification) -> _Heard:
    """Who heard of a group on channels that wake nobody, with a message that went out; the latest, if too many did."""
    channel, place = setup.channels.get(one.channel), (one.target, one.channel, one.address)
    if channel is None or channel.kind not in QUIET or place in before:
        return before
    return (*before, place)[-_HEARD_MOST:]


def _quiet_places(changes: Changes, group: Group) -> list[Place]:
    """Where it was told of on channels that wake nobody, or is just being told; not who is on call by now."""
    setup, heard = changes.world.setup, group.quiet
    for one in changes.world.outbox.values():
        if one.group_id == group.id and one.state == "sending" and one.occasion not in ENDING:
            heard = with_quiet(setup, heard, one)
    found = [
        Place(target, channel, address, behind(setup, channel))
        for target, channel, address in heard
        if channel in setup.channels
    ]
    return found or _named_places(changes, group)


def _named_places(changes: Changes, group: Group) -> list[Place]:
    """Whom the steps so far name: for groups of which the release before did not note who heard."""
    setup = changes.world.setup
    policy = setup.policies.get(group.policy_id or "")
    steps: Sequence[Step] = policy.steps[: max(group.step, 1)] if policy else ()
    found: dict[tuple[str, str], Place] = {}
    for step in steps:
        for target in step.targets:
            for one in places(setup, target, group.severity, policy, changes.now)[0] if policy else ():
                if setup.channels[one.channel].kind in QUIET:
                    found[one.channel, one.address] = one
    return list(found.values())
