"""Bodies and answers of incidents as pydantic models: they make the OpenAPI document, and refuse other shapes.

Bounds and meaning are checked once, in `fields`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from cmg.identity.forms.schemas import Form, Time

Severity = Literal["SEV-1", "SEV-2", "SEV-3", "SEV-4"]
Trouble = Literal["degraded_performance", "partial_outage", "major_outage"]
OpenStatus = Literal["investigating", "identified", "monitoring"]
Component = Annotated[str, Field(description="api, memory, upstreams or administration")]


class IncidentPatch(Form):
    """What to change: absent fields stay, null empties them. What is behind its end takes a review's fields only."""

    title: str | None = None
    summary: str | None = None
    severity: Severity | None = None
    status: OpenStatus | None = None
    public: bool | None = Field(None, description="show it on the status page")
    public_title: str | None = Field(None, description="what the status page calls it; empty: by its components")
    components: dict[str, Trouble] | None = Field(None, description="component of the status page → its status")
    commander: str | None = None
    communications: str | None = None
    scribe: str | None = None
    business_impact: str | None = None
    reputation: str | None = Field(None, description="impact on the reputation")
    cause: str | None = None
    factors: list[str] | None = Field(None, description="contributing factors")
    lessons: str | None = None


class IncidentForm(IncidentPatch):
    """An incident to declare; `title` and `severity` are needed."""

    title: str
    severity: Severity
    status: None = None
    started_at: Time | None = Field(None, description="when the trouble began; default: now")
    detected_at: Time | None = Field(None, description="when it was noticed; default: now")


class TextForm(Form):
    """Words for the timeline."""

    text: str | None = None


class NoteForm(Form):
    """A note."""

    text: str
    at: Time | None = Field(None, description="when it happened; default: now")


class ReasonForm(Form):
    """Why."""

    reason: str


class CloseForm(Form):
    """How to close."""

    override: str | None = Field(None, description="why it is closed although a check failed")


class CommunicationForm(Form):
    """Something to say: the text is made from the incident by a template; `text` is what you add."""

    kind: Literal["initial", "update", "resolution", "post_incident"]
    audience: Literal["internal", "customer"]
    text: str | None = None
    channels: list[str] | None = Field(
        None, description="names of channels; customers' messages go on the status page too"
    )


class MarkerForm(Form):
    """Something that was done to the service."""

    title: str
    kind: str | None = Field(None, description="deploy (default), config, or another word")
    at: Time | None = Field(None, description="default: now")
    source: str | None = Field(None, description="who tells it, as ci")
    link: str | None = None
    id: str | None = Field(None, description="your own id: a repeated call is the same marker")
    details: dict[str, Any] | None = None


class MaintenancePatch(Form):
    """What to change of a maintenance; `step` begins, completes or cancels it now."""

    title: str | None = None
    body: str | None = None
    components: list[Component] | None = None
    starts_at: Time | None = None
    ends_at: Time | None = None
    step: Literal["begin", "complete", "cancel"] | None = None


class MaintenanceForm(Form):
    """A maintenance to announce."""

    title: str
    body: str | None = None
    components: list[Component] | None = None
    starts_at: Time
    ends_at: Time


class BoxView(BaseModel):
    """A step of the workflow: later, running, met or missed."""

    name: str
    state: str
    begins_at: str | None
    due_at: str | None
    done_at: str | None
    late_s: float


class IncidentView(BaseModel):
    """An incident."""

    id: str
    severity: str
    meaning: str
    status: str
    title: str
    summary: str
    origin: str = Field(description="hand or alert")
    public: bool
    public_title: str
    components: dict[str, str]
    labels: dict[str, str]
    started_at: str
    detected_at: str
    declared_at: str
    acknowledged_at: str | None
    triaged_at: str | None
    identified_at: str | None
    resolved_at: str | None
    closed_at: str | None
    reviewed_at: str | None
    updated_at: str
    commander: str
    communications: str
    scribe: str
    business_impact: str
    reputation: str
    cause: str
    factors: list[str]
    lessons: str
    impact: dict[str, Any] | None = Field(description="computed from the ledger")
    created_by: str
    time_boxes: list[BoxView]


class IncidentPageView(BaseModel):
    """A page of incidents, newest first."""

    items: list[IncidentView]
    next: str | None


class TimelineEntryView(BaseModel):
    """A line of a timeline."""

    at: str
    kind: str
    actor: str
    text: str
    details: dict[str, Any]


class TimelineView(BaseModel):
    """A whole timeline, oldest first."""

    items: list[TimelineEntryView]


class ReviewForm(Form):
    """What a review writes down."""

    summary: str | None = None
    cause: str | None = None
    factors: list[str] | None = None
    lessons: str | None = None
    business_impact: str | None = None
    reputation: str | None = None


class ActionForm(Form):
    """Something to do."""

    text: str
    owner: str | None = None
    due_at: Time | None = None


class ActionPatch(Form):
    """What to change: absent fields stay."""

    text: str | None = None
    owner: str | None = None
    due_at: Time | None = None
    state: Literal["open", "done", "dropped"] | None = None


class FiguresQuery(BaseModel):
    """The period, by default the last thirty days."""

    since: str | None = Field(None, alias="from", description="RFC 3339")
    until: str | None = Field(None, alias="to", description="RFC 3339; default: now")
    timezone: str | None = Field(None, description="of the working hours, 9 to 17 from Monday to Friday; default: UTC")
    shift_hours: int = Field(24, ge=1, le=168)


class ActionView(BaseModel):
    """An action item; `overdue`: open past its day."""

    id: int
    incident: str
    text: str
    owner: str
    state: str
    due_at: str | None
    overdue: bool
    ended_at: str | None
    ended_by: str
    created_at: str
    created_by: str


class ActionsView(BaseModel):
    """Action items of an incident."""

    items: list[ActionView]


class ActionPageView(BaseModel):
    """A page of action items, oldest first."""

    items: list[ActionView]
    next: str | None


class TimesView(BaseModel):
    """Means in seconds: to detection from the beginning, from detection to acknowledgement and to resolution."""

    count: int
    mttd_s: float | None
    mtta_s: float | None
    mttr_s: float | None


class IncidentFiguresView(TimesView):
    """All incidents that began in the period, and by severity; how many missed each step."""

    by_severity: dict[str, TimesView]
    time_boxes_missed: dict[str, int]


class AlertFiguresView(BaseModel):
    """Groups of alerts of the period. `pages`: P1 and P2 that people were told of. `effectiveness`: acted on / all."""

    count: int
    per_shift: float
    shift_hours: int
    pages: int
    pages_per_shift: float
    pages_out_of_hours: int
    acted_on: int
    effectiveness: float | None
    mtta_s: float | None
    mttr_s: float | None


class FiguresView(BaseModel):
    """How it went."""

    since: str = Field(alias="from")
    to: str
    incidents: IncidentFiguresView
    alerts: AlertFiguresView


class CheckView(BaseModel):
    """One check: passed, failed, or skipped where there was nothing to judge by."""

    name: str
    outcome: str
    told: str
    details: dict[str, Any]


class ChecksView(BaseModel):
    """All checks; `passed`: none failed."""

    passed: bool
    items: list[CheckView]


class CommunicationView(BaseModel):
    """Something that was said, and what became of it."""

    id: int
    at: str
    kind: str
    audience: str
    status: str
    subject: str
    body: str
    deliveries: list[dict[str, str]]
    actor: str


class CommunicationsView(BaseModel):
    """Everything that was said of an incident, oldest first."""

    items: list[CommunicationView]


class PreviewView(BaseModel):
    """A text that was not sent."""

    subject: str
    body: str


class MarkerView(BaseModel):
    """A marker; `id` is its sender's."""

    number: int
    id: str | None
    at: str
    kind: str
    title: str
    source: str
    link: str
    details: dict[str, Any]
    actor: str


class MarkerPageView(BaseModel):
    """A page of markers, newest told first."""

    items: list[MarkerView]
    next: str | None


class MaintenanceView(BaseModel):
    """A maintenance."""

    id: int
    title: str
    body: str
    status: str
    components: list[str]
    starts_at: str
    ends_at: str
    began_at: str | None
    completed_at: str | None
    cancelled_at: str | None
    created_at: str
    updated_at: str
    created_by: str


class MaintenancePageView(BaseModel):
    """A page of maintenances, newest announced first."""

    items: list[MaintenanceView]
    next: str | None
