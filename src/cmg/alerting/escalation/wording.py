"""What messages say: short for a phone, complete for mail and chat. The reference tells repeats apart from news."""

import re

from cmg.alerting.models import Group, Occasion
from cmg.alerting.world import World
from cmg.kit.clock import rfc3339

_HEADS: dict[Occasion, str] = {
    "page": "", "remind": "Still open: ", "flapping": "Flapping: ", "acknowledged": "Acknowledged: ",
    "resolved": "Resolved: ", "test": "Test: ",
}  # fmt: skip
_SHOWN = 10
_SUBJECT_MAX = 200
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")


def subject(group: Group, occasion: Occasion) -> str:
    """`[P1] Still open: Database is down (12 alerts)`."""
    count = f" ({group.alerts} alerts)" if group.alerts > 1 else ""
    drill = "DRILL, nothing is wrong: " if group.drill else ""
    head = f"[{group.severity}] {drill}{_HEADS[occasion]}"
    return f"{head}{one_line(group.title)[: _SUBJECT_MAX - len(head) - len(count)]}{count}"


def one_line(text: str) -> str:
    """The text without line breaks and control characters: mail, tickets and calls refuse such a title."""
    return " ".join(_CONTROL.sub(" ", text).split())


def body(world: World, group: Group, step: str, reason: str) -> str:
    """The alerts of the group, a few of them, and how to act."""
    members = world.members(group.id)
    lines = [f"Group {group.id[-12:]}, opened {rfc3339(group.opened_at)}, {step}.", reason]
    for alert in members[:_SHOWN]:
        told = alert.annotations.get("description") or alert.annotations.get("summary") or ""
        comes_and_goes = ", comes and goes" if alert.flapping else ""
        lines.append(f"- {alert.name} since {rfc3339(alert.starts_at)}{comes_and_goes}: {told}"[:400])
        if alert.annotations.get("runbook_url"):
            lines.append(f"  Runbook: {alert.annotations['runbook_url']}")
    if len(members) > _SHOWN:
        lines.append(f"… and {len(members) - _SHOWN} more.")
    lines.append(f"Acknowledge: cmg alerts ack {group.id}")
    return "\n".join(line for line in lines if line)
