"""A scripted world of alerting: report at a time, let time pass, and see what was told to whom, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.escalation.timers import advance
from cmg.alerting.lifecycle.pipeline import look_again, receive
from cmg.alerting.models import Decision, Group, Notification, Report
from cmg.alerting.setup.compiled import Setup
from cmg.alerting.setup.documents import KINDS, Document
from cmg.alerting.world import Changes, World
from support.manual_clock import START

TIERS = {"ada": 0, "bob": 15, "mia": 30, "sam": 60}
LOOK_S = 15.0


def tiers() -> dict[str, Any]:
    """Channels of every usual kind, four people on all of them, and the policy 0/15/30/60."""
    kinds = ("sms", "voice", "email", "slack")
    return {
        "channels": {kind: {"kind": kind} for kind in kinds},
        "responders": {
            who: {"name": who.title(), "contacts": [{"channel": kind, "address": f"{who}@{kind}"} for kind in kinds]}
            for who in TIERS
        },
        "escalation-policies": {
            "default": {
                "name": "Everything",
                "steps": [
                    {"name": f"tier {at + 1}", "after_minutes": minutes, "targets": [{"responder": who}]}
                    for at, (who, minutes) in enumerate(TIERS.items())
                ],
            }
        },
        "handling": {"default": {"wait_seconds": 0}},
    }


def document(kind: str, body: Mapping[str, Any]) -> Document:
    """A document as it would be sent."""
    return KINDS[kind].model_validate(dict(body))


def setup_of(documents: Mapping[str, Mapping[str, Any]]) -> Setup:
    """Documents by kind and id, compiled."""
    return Setup(
        {kind: {name: document(kind, one) for name, one in named.items()} for kind, named in documents.items()}
    )


@dataclass
class Script:
    """Seconds count from the script's beginning; `sent` holds (second, message)."""

    documents: dict[str, Any] = field(default_factory=tiers)
    start: float = START
    now_s: float = 0.0
    sent: list[tuple[float, Notification]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World("default", Setup())
        self.world.configure(setup_of(self.documents))

    def configure(self, kind: str, name: str, body: Mapping[str, Any] | None) -> None:
        """Write a document, or remove it (None)."""
        named = self.documents.setdefault(kind, {})
        if body is None:
            named.pop(name)
        else:
            named[name] = body
        self.world.configure(setup_of(self.documents))

    def fire(self, name: str = "Down", severity: str = "critical", **labels: str) -> None:
        """An alert begins, or is reported once more."""
        self.report(Report(labels={"alertname": name, "severity": severity, **labels}))

    def cease(self, name: str = "Down", severity: str = "critical", **labels: str) -> None:
        """It is resolved."""
        self.report(Report(labels={"alertname": name, "severity": severity, **labels}, firing=False))

    def report(self, *reports: Report) -> None:
        """Take in reports and do what is due."""
        self._step(lambda changes: receive(changes, reports))

    def to(self, second: float) -> None:
        """Let time pass until a second, looking every 15."""
        while self.now_s < second:
            self.now_s = min(self.now_s + LOOK_S, second)
            self._step(look_again)

    def acknowledge(self, by: str = "ada") -> None:
        """Somebody acknowledges the only live group."""
        self._step(lambda changes: acknowledge(changes, self.group, by))

    def _step(self, decide: Any) -> None:
        for one in (decide, advance):
            changes = Changes(self.world, self.start + self.now_s)
            one(changes)
            self.sent += [(self.now_s, told) for told in changes.notifications.values() if told.state == "pending"]
            self.decisions += changes.decisions
        for key in list(self.world.outbox):
            del self.world.outbox[key]  # it is sent

    @property
    def group(self) -> Group:
        """The only live group."""
        (one,) = self.world.groups.values()
        return one

    def told(self, occasion: str | None = None) -> list[tuple[float, str]]:
        """(second, who on which channel) of every message, or those of one occasion."""
        return [
            (second, f"{one.target.partition(':')[2]} {one.channel}")
            for second, one in self.sent
            if occasion is None or one.occasion == occasion
        ]

    def reasons(self, name: str) -> list[str]:
        """What a stage said, every time it was kept."""
        return [one.reason for told in self.decisions for one in told.verdicts if one.stage == name]
