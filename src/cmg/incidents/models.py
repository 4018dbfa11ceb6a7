"""Incidents as values, what may be changed in which state, and the words of the status page. Pure: no I/O here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from cmg.kit.errors import Conflict, InvalidRequest

SEVERITIES = ("SEV-1", "SEV-2", "SEV-3", "SEV-4")
MEANING = {
    1: "complete service outage",
    2: "major functionality impaired",
    3: "minor functionality affected",
    4: "cosmetic or documentation issue",
}
OPEN = ("investigating", "identified", "monitoring")
STATUSES = (*OPEN, "resolved", "closed")
ROLES = ("commander", "communications", "scribe")
STATES = ("operational", "degraded_performance", "partial_outage", "major_outage", "under_maintenance")
TROUBLE = STATES[1:4]
COMPONENTS: dict[str, tuple[str, str]] = {
    "api": ("API", "Chat completions, embeddings and models"),
    "memory": ("Memory", "What is remembered and recalled for calls"),
    "upstreams": ("Model providers", "The upstreams that answer calls"),
    "administration": ("Administration", "Keys, usage reports and the console"),
}
KINDS = ("initial", "update", "resolution", "post_incident")
AUDIENCES = ("internal", "customer")
ENTRIES_MAX = 5000
LATE = 400  # entries that status changes and what the service adds itself may use beyond the notes of people


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One incident. `severity` 1 (worst) to 4. `components`: what the status page shows of each while it lasts."""

    id: int = 0
    severity: int
    status: str = "investigating"
    title: str
    summary: str = ""
    origin: str = "hand"
    public: bool = False
    public_title: str = ""
    components: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    started_at: datetime
    detected_at: datetime
    declared_at: datetime
    acknowledged_at: datetime | None = None
    triaged_at: datetime | None = None
    identified_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    reviewed_at: datetime | None = None
    commander: str = ""
    communications: str = ""
    scribe: str = ""
    business_impact: str = ""
    reputation: str = ""
    cause: str = ""
    factors: tuple[str, ...] = ()
    lessons: str = ""
    impact: Mapping[str, Any] | None = None
    created_by: str = ""
    updated_at: datetime

    @property
    def name(self) -> str:
        """How people say it: `INC-42`."""
        return f"INC-{self.id}"

    @property
    def open(self) -> bool:
        """Not resolved yet."""
        return self.status in OPEN

    @property
    def shown_title(self) -> str:
        """What the status page calls it: never the internal title unless somebody chose it."""
        if self.public_title:
            return self.public_title
        names = [COMPONENTS[one][0] for one in COMPONENTS if one in self.components]
        return f"Trouble with {', '.join(names)}" if names else "Service incident"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a timeline. `ref` names where it came from; a second one of the same `ref` is dropped."""

    at: datetime
    kind: str
    actor: str
    text: str
    details: Mapping[str, Any] = {}
    ref: str | None = None


class Communication(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was said. `deliveries`: `{channel, outcome: sent|failed|not_sent, detail}` for each channel."""

    id: int = 0
    incident_id: int
    at: datetime
    kind: str
    audience: str
    status: str
    components: Mapping[str, str] = {}
    subject: str
    body: str
    deliveries: tuple[Mapping[str, str], ...] = ()
    actor: str


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """A deploy, or something else that was done to the service. `ref`: the sender's own id of it."""

    id: int = 0
    at: datetime
    kind: str
    title: str
    source: str = ""
    link: str = ""
    details: Mapping[str, Any] = {}
    ref: str | None = None
    actor: str


class Maintenance(msgspec.Struct, frozen=True, kw_only=True):
    """Work that was announced. It begins and ends by its times, or earlier by hand."""

    id: int = 0
    title: str
    body: str = ""
    components: tuple[str, ...] = ()
    starts_at: datetime
    ends_at: datetime
    began_at: datetime | None = None
    completed_at: datetime | None = None
    cancelled_at: datetime | None = None
    created_at: datetime
    updated_at: datetime
    created_by: str = ""

    def status(self, now: datetime) -> str:
        """In the status page's words; `cancelled` is not shown there."""
        if self.cancelled_at is not None:
            return "cancelled"
        if self.completed_at is not None or now >= self.ends_at:
            return "completed"
        return "in_progress" if self.began_at is not None or now >= self.starts_at else "scheduled"


def incident_id(text: str) -> int:
    """The number of `INC-42` or `42`. Raises `InvalidRequest`."""
    digits = text.upper().removeprefix("INC-")
    if not (digits.isascii() and digits.isdigit() and 0 < len(digits) < 18):
        raise InvalidRequest("`incident` is a number, or a name as INC-42", param="incident")
    return int(digits)


def severity_of(text: str) -> int:
    """1 to 4 of `SEV-1` to `SEV-4`."""
    return SEVERITIES.index(text) + 1


def with_status(incident: Incident, status: str, now: datetime) -> Incident:
    """The incident in another state, with the moments that this settles. Raises `Conflict`."""
    if incident.status == "closed":
        raise Conflict(f"{incident.name} is closed; what happens now is another incident")
    changes: dict[str, Any] = {"status": status, "updated_at": now}
    if status in ("identified", "monitoring", "resolved"):
        changes["identified_at"] = incident.identified_at or now
        changes["triaged_at"] = incident.triaged_at or now
    if status == "resolved":
        changes["resolved_at"] = now
        changes["acknowledged_at"] = incident.acknowledged_at or now
    elif status in OPEN:
        changes["resolved_at"] = None
    elif status == "closed":
        if incident.status != "resolved":
            raise Conflict(f"{incident.name} is {incident.status}; resolve it before it is closed")
        changes["closed_at"] = now
    return msgspec.structs.replace(incident, **changes)


def worst(states: "list[str]") -> str:
    """The worst of some components' states; trouble is worse than maintenance."""
    rank = {state: place for place, state in enumerate(("operational", "under_maintenance", *TROUBLE))}
    return max(states, key=lambda one: rank[one], default="operational")
