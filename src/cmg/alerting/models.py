"""Alerts, groups of them, timers and notifications: immutable values. Times are epoch seconds."""

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

Severity = Literal["P1", "P2", "P3", "P4"]
GroupStatus = Literal["open", "acknowledged", "snoozed", "resolved"]
TimerKind = Literal["wait", "escalate", "remind", "resume", "redial"]
NotificationState = Literal["pending", "sending", "sent", "failed", "cancelled"]
Occasion = Literal["page", "remind", "flapping", "acknowledged", "resolved", "test"]

SEVERITIES: tuple[Severity, ...] = ("P1", "P2", "P3", "P4")
RESPONSE_S: dict[Severity, float] = {"P1": 300, "P2": 1800, "P3": 7200, "P4": 86_400}
PAGING: frozenset[Severity] = frozenset({"P1", "P2"})
TURNS_KEPT = 40
INCIDENT_LABEL = "cmg_incident"  # of the alert by which an incident calls people
# The words of other systems for how bad it is.
_WORDS: dict[str, Severity] = {
    **{one.lower(): one for one in SEVERITIES},
    "critical": "P1", "page": "P1", "emergency": "P1",
    "high": "P2", "error": "P2", "major": "P2",
    "medium": "P3", "warning": "P3", "warn": "P3", "minor": "P3", "ticket": "P3",
    "low": "P4", "info": "P4", "informational": "P4", "none": "P4",
}  # fmt: skip
_FNV_OFFSET, _FNV_PRIME, _64_BITS = 14_695_981_039_346_656_037, 1_099_511_628_211, 2**64 - 1
_SEPARATOR = b"\xff"


def severity_of(labels: Mapping[str, str]) -> Severity:
    """What the label `severity` says; P3 where it says nothing that we know."""
    return _WORDS.get(labels.get("severity", "").lower(), "P3")


def worst(severities: Iterable[Severity]) -> Severity:
    """The most urgent one; P4 of none."""
    return min(severities, default="P4")


def fingerprint(labels: Mapping[str, str]) -> str:
    """16 hex digits that stand for a set of labels: Prometheus' own (FNV-1a over names and values, sorted by name)."""
    told = _FNV_OFFSET
    for name in sorted(labels):
        for byte in b"".join((name.encode(), _SEPARATOR, labels[name].encode(), _SEPARATOR)):
            told = ((told ^ byte) * _FNV_PRIME) & _64_BITS
    return f"{told:016x}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody says of one alert. `ends_at` of a firing one: when to take it for resolved without further word.

    `since`: from when on its rule's condition held, where that is known; it begins to fire later, by the rule's `for`.
    """

    labels: dict[str, str]
    annotations: dict[str, str] = {}
    firing: bool = True
    starts_at: float | None = None
    since: float | None = None
    ends_at: float | None = None
    source: str = "api"
    generator_url: str = ""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """One set of labels and how it fares. `held`: why nobody is told of it now; empty: somebody is, or was.

    `turns` are the last moments at which it began or ceased to fire; `episode` counts beginnings. `paged`: whom the
    call of an incident has called, in any episode.
    """

    fingerprint: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    severity: Severity = "P3"
    firing: bool = True
    starts_at: float
    since: float | None = None
    ends_at: float | None = None
    seen_at: float
    reports: int = 1
    source: str = "api"
    generator_url: str = ""
    group_id: str | None = None
    held: str = ""
    turns: tuple[float, ...] = ()
    flapping: bool = False
    episode: int = 1
    paged: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.labels.get("alertname", self.fingerprint)

    @property
    def active(self) -> bool:
        """Whether its group has still to care for it."""
        return self.firing or self.flapping


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Alerts that people hear of together, and act on together. `labels` are those that made the group.

    `until`: when an acknowledgement or a snooze ends. `step`: the escalation step that comes next. `round`: how often
    escalation was begun again (by a rise in severity, or an acknowledgement that expired); `begun_at`: when, last.
    `drill`: that which it is of; empty: it is real. `paged`: whom it has called since the escalation began.
    `heard`: the last step of which a page went out. `quiet`: who heard of it on channels that wake nobody, as
    (target, channel, address): they hear its end.
    """

    id: str
    key: str
    labels: dict[str, str]
    title: str
    severity: Severity
    opened_at: float
    policy_id: str | None = None
    route: str = ""
    status: GroupStatus = "open"
    by: str | None = None
    until: float | None = None
    assigned_to: str | None = None
    step: int = 0
    round: int = 0
    begun_at: float = 0
    told_at: float | None = None
    acknowledged_at: float | None = None
    resolved_at: float | None = None
    alerts: int = 1
    incident_id: str | None = None
    note: str = ""
    drill: str = ""
    paged: tuple[str, ...] = ()
    heard: str = ""
    quiet: tuple[tuple[str, str, str], ...] = ()

    @property
    def live(self) -> bool:
        """Whether it is not resolved."""
        return self.status != "resolved"


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen to a group at `due_at`. `number`: of the escalation step, the reminder, the redial."""

    id: str
    group_id: str
    kind: TimerKind
    due_at: float
    number: int = 0
    notification: str = ""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One message for one address on one channel. `key` is the same for the same group, target and step, for ever.

    `fallbacks` are further (channel, address) pairs for when this one fails. `repeats`: sends of which nobody knows
    whether they reached anybody, because their sender died.
    """

    key: str
    group_id: str
    occasion: Occasion
    target: str
    channel: str
    address: str
    step: str
    subject: str
    body: str
    severity: Severity
    created_at: float
    due_at: float
    state: NotificationState = "pending"
    attempts: int = 0
    repeats: int = 0
    claimed_until: float | None = None
    sent_at: float | None = None
    receipt: str = ""
    error: str = ""
    fallbacks: tuple[tuple[str, str], ...] = ()
    facts: dict[str, str] = {}

    @property
    def waits(self) -> bool:
        """Whether it has yet to be sent."""
        return self.state in {"pending", "sending"}


class Verdict(msgspec.Struct, frozen=True):
    """What one stage said: `pass` it on, `hold` it (asked again later), or `stop` (nothing more to do)."""

    stage: str
    outcome: Literal["pass", "hold", "stop"]
    reason: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Why somebody was, or was not, told: what happened, and the verdicts that led there."""

    at: float
    event: str
    outcome: str
    fingerprint: str | None = None
    group_id: str | None = None
    verdicts: tuple[Verdict, ...] = ()
