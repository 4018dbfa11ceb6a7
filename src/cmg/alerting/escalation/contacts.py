"""From a target to addresses: who that is now, and on which of their channels this severity is told."""

from collections.abc import Sequence
from dataclasses import dataclass

from cmg.alerting.models import Severity
from cmg.alerting.oncall.schedules import on_call
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import ChannelKind, Contact, EscalationPolicy, Target

USUAL: dict[Severity, tuple[ChannelKind, ...]] = {
    "P1": ("sms", "voice"),
    "P2": ("sms", "email"),
    "P3": ("email", "slack"),
    "P4": ("email",),
}
QUIET: frozenset[ChannelKind] = frozenset({"webhook", "callback", "slack", "email", "pagerduty", "jira", "servicenow"})
"""Kinds that wake nobody: they are told when something is over as well."""


@dataclass(frozen=True)
class Place:
    """One address on one channel, and further ones for when it cannot be reached."""

    target: str
    channel: str
    address: str
    fallbacks: tuple[tuple[str, str], ...] = ()


def places(
    setup: Setup, target: Target, severity: Severity, policy: EscalationPolicy, now: float
) -> tuple[list[Place], str]:
    """Where a target is told, and why there (or why nowhere)."""
    if target.channel is not None:
        if target.channel not in setup.channels:
            return [], f"there is no channel {target.channel}"
        return [Place(f"channel:{target.channel}", target.channel, "", behind(setup, target.channel))], ""
    who, why = _person(setup, target, now)
    if who is None:
        return [], why
    return _of_person(setup, who, why, policy.channels.get(severity) or list(USUAL[severity]))


def _person(setup: Setup, target: Target, now: float) -> tuple[str | None, str]:
    if target.responder is not None:
        return target.responder, ""
    schedule = setup.schedules.get(target.schedule or "")
    if schedule is None:
        return None, f"there is no schedule {target.schedule}"
    person = on_call(schedule, now)
    return person, f"nobody is on call in {target.schedule}" if person is None else f"on call in {target.schedule}"


def _of_person(setup: Setup, who: str, why: str, kinds: Sequence[ChannelKind]) -> tuple[list[Place], str]:
    responder = setup.responders.get(who)
    if responder is None:
        return [], f"there is no responder {who}"
    reachable = [one for one in responder.contacts if one.channel in setup.channels]
    wanted = [one for kind in kinds for one in reachable if setup.channels[one.channel].kind == kind]
    chosen = wanted or reachable[:1]
    if not chosen:
        return [], f"{who} has no contact on any channel"
    rest = [one for one in reachable if one not in chosen]
    missing = [kind for kind in kinds if kind not in {setup.channels[one.channel].kind for one in chosen}]
    note = f"{who}: no {' and no '.join(missing)}" if missing else who
    return [_place(setup, who, one, rest) for one in chosen], f"{note}, {why}" if why else note


def _place(setup: Setup, who: str, chosen: Contact, rest: Sequence[Contact]) -> Place:
    others = tuple((one.channel, one.address) for one in rest)
    return Place(f"responder:{who}", chosen.channel, chosen.address, (*others, *behind(setup, chosen.channel)))


def behind(setup: Setup, channel: str) -> tuple[tuple[str, str], ...]:
    """The channels named as each other's fallback, each once."""
    found: list[tuple[str, str]] = []
    seen, one = {channel}, setup.channels[channel].fallback
    while one is not None and one in setup.channels and one not in seen:
        seen.add(one)
        found.append((one, ""))
        one = setup.channels[one].fallback
    return tuple(found)
