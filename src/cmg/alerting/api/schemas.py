"""Bodies and answers of alerts as pydantic models: they make the OpenAPI document."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cmg.alerting.models import GroupStatus, NotificationState, Severity
from cmg.alerting.setup.documents import AnyMoment, DocumentId


class Form(BaseModel):
    """A body: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ReportForm(Form):
    """One alert, told by its labels. `severity` among them may be P1 to P4, critical, high, warning, info, …"""

    labels: Annotated[dict[str, str], Field(min_length=1, max_length=64)]
    annotations: Annotated[dict[str, str], Field(max_length=64)] = {}
    status: Literal["firing", "resolved"] = "firing"
    starts_at: AnyMoment | None = None
    ends_at: AnyMoment | None = Field(None, description="when a firing alert counts as resolved without further word")
    generator_url: Annotated[str, Field(max_length=1000)] = ""


class ReportsForm(Form):
    """Alerts that begin to fire, or cease."""

    alerts: Annotated[list[ReportForm], Field(min_length=1, max_length=1000)]


class ReceivedView(BaseModel):
    """How many alerts were taken in; they are kept when this is answered."""

    received: int


class SnoozeForm(Form):
    """For how long nobody is told of a group."""

    minutes: Annotated[int, Field(ge=1, le=10_080)]


class ReassignForm(Form):
    """Who is to care for a group from now on."""

    responder: DocumentId


class AlertView(BaseModel):
    """An alert. `held`: why nobody is told of it now; empty: its group's people are, or were."""

    id: str
    name: str
    labels: dict[str, str]
    annotations: dict[str, str]
    severity: Severity
    firing: bool
    flapping: bool
    starts_at: AwareDatetime
    ends_at: AwareDatetime | None
    seen_at: AwareDatetime
    reports: int
    episode: int
    source: str
    generator_url: str
    group: str | None
    held: str


class AlertPageView(BaseModel):
    """Alerts, those heard of last first; `next` is the cursor of the following page."""

    items: list[AlertView]
    next: str | None


class GroupView(BaseModel):
    """Alerts that people hear of together. `until`: when an acknowledgement or a snooze ends."""

    id: str
    title: str
    key: str
    severity: Severity
    status: GroupStatus
    alerts: int
    opened_at: AwareDatetime
    policy: str | None
    step: int
    told_at: AwareDatetime | None
    acknowledged_at: AwareDatetime | None
    resolved_at: AwareDatetime | None
    until: AwareDatetime | None
    by: str | None
    assigned_to: str | None
    incident: str | None
    drill: str = Field(description="the drill that it is of; empty: it is real")


class GroupPageView(BaseModel):
    """Groups, newest first."""

    items: list[GroupView]
    next: str | None


class VerdictView(BaseModel):
    """What one stage said, and why."""

    stage: str
    outcome: str
    reason: str


class DecisionView(BaseModel):
    """Why somebody was, or was not, told."""

    at: AwareDatetime
    event: str
    outcome: str
    alert: str | None
    group: str | None
    verdicts: list[VerdictView]


class NotificationView(BaseModel):
    """A message. `repeats`: sends of which nobody knows whether they arrived, since their sender died."""

    key: str
    occasion: str
    target: str
    channel: str
    step: str
    subject: str
    state: NotificationState
    attempts: int
    repeats: int
    created_at: AwareDatetime
    sent_at: AwareDatetime | None
    receipt: str
    error: str


class StoryView(BaseModel):
    """An alert or a group, every decision about it (newest first), and every message of its group."""

    alert: AlertView | None
    group: GroupView | None
    decisions: list[DecisionView]
    notifications: list[NotificationView]
