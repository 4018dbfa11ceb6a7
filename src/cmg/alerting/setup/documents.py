"""The documents that people write: what pydantic refuses names its field, the rest is checked in `checks`.

Times are RFC 3339 with an offset; times of day are `HH:MM` in the document's time zone.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

import re2
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from cmg.alerting.models import Severity
from cmg.kit.clock import time_zones

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ChannelKind = Literal[
    "webhook", "slack", "email", "sms", "voice", "pagerduty", "ntfy", "push", "callback", "jira", "servicenow",
]  # fmt: skip
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST = 200
_YEARS = 2000, 2999
_DRILL_MOST = timedelta(hours=4)


def _moment(value: object) -> object:
    """JSON has no times: text is read, anything else is left for pydantic to refuse."""
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            return value
    return value


def _tellable(value: datetime) -> datetime:
    """The moment, if it is one in UTC as well: at the ends of all times it may be none there."""
    try:
        value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999 of UTC") from None
    return value


def _known_zone(value: str) -> str:
    if value not in time_zones():
        raise ValueError("must be an IANA time zone as in Europe/Berlin")
    return value


def _known_day(value: str) -> str:
    try:
        near = _YEARS[0] <= date.fromisoformat(value).year <= _YEARS[1]
    except ValueError:
        near = False
    if not near:
        raise ValueError(f"must be a day of the years {_YEARS[0]} to {_YEARS[1]}")
    return value


AnyMoment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Moment = Annotated[AnyMoment, AfterValidator(_tellable)]
DocumentId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", max_length=63)]
Text = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")]
Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$", max_length=100)]
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", max_length=10), AfterValidator(_known_day)]


class Document(BaseModel):
    """Base of every document: unknown fields are refused, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Matcher(Document):
    """One condition on a label."""

    label: Label
    op: Literal["=", "!=", "=~", "!~"] = "="
    value: Text

    @model_validator(mode="after")
    def _expression(self) -> "Matcher":
        if self.op in {"=~", "!~"}:
            try:
                re2.compile(self.value)
            except re2.error as error:
                raise ValueError(f"value: is not an RE2 expression: {error}") from error
        return self


Matchers = Annotated[list[Matcher], Field(max_length=50)]


class Silence(Document):
    """Nobody is told of alerts that match, from `starts_at` until `ends_at`."""

    matchers: Annotated[list[Matcher], Field(min_length=1, max_length=50)]
    starts_at: Moment
    ends_at: Moment
    comment: Text = ""

    @model_validator(mode="after")
    def _order(self) -> "Silence":
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at: must lie after starts_at")
        return self


class Recurrence(Document):
    """Windows that come again: from a time of day for so many minutes, on some days; an empty list means every one."""

    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    start: ClockTime
    minutes: Annotated[int, Field(ge=1, le=7 * 1440)]
    weekdays: Annotated[list[Weekday], Field(max_length=7)] = []
    days_of_month: Annotated[list[Annotated[int, Field(ge=-31, le=31)]], Field(max_length=31)] = []
    months: Annotated[list[Annotated[int, Field(ge=1, le=12)]], Field(max_length=12)] = []
    first_day: Day | None = None
    last_day: Day | None = None

    _zone = field_validator("timezone")(_known_zone)


class MaintenanceWindow(Document):
    """Planned work: once (`starts_at`, `ends_at`) or again and again (`recurring`). Nobody is told of what matches."""

    name: Text
    matchers: Matchers = []
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    recurring: Recurrence | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "MaintenanceWindow":
        once = self.starts_at is not None and self.ends_at is not None
        if once == (self.recurring is not None) or (self.starts_at is None) != (self.ends_at is None):
            raise ValueError("recurring: give either starts_at and ends_at, or recurring")
        if self.starts_at is not None and self.ends_at is not None and self.ends_at <= self.starts_at:
            raise ValueError("ends_at: must lie after starts_at")
        return self


class Inhibition(Document):
    """While an alert that matches `source` fires, nobody is told of those that match `target` and agree in `equal`."""

    source: Annotated[list[Matcher], Field(min_length=1, max_length=50)]
    target: Annotated[list[Matcher], Field(min_length=1, max_length=50)]
    equal: Annotated[list[Label], Field(max_length=20)] = []


class Route(Document):
    """Groups whose labels match go to a policy; routes are asked in their `order`, the first that matches wins."""

    order: Annotated[int, Field(ge=0, le=100_000)] = 100
    matchers: Matchers = []
    policy: DocumentId
    severity: Severity | None = None


class Contact(Document):
    """Where somebody is reached: the address on a channel (a number, a mail address, a user)."""

    channel: DocumentId
    address: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")] = ""


class Responder(Document):
    """A person, or a team's shared address. `contacts` are asked by the kind of their channel."""

    name: Text
    contacts: Annotated[list[Contact], Field(max_length=20)] = []
    timezone: Annotated[str, Field(max_length=64)] = "UTC"

    _zone = field_validator("timezone")(_known_zone)


class Channel(Document):
    """A way out. `settings` are the kind's own; `secrets` are kept encrypted and never shown again."""

    kind: ChannelKind
    settings: Annotated[dict[Label, Text], Field(max_length=30)] = {}
    secrets: Annotated[dict[Label, Annotated[str, Field(max_length=8000)]], Field(max_length=10)] = {}
    per_minute: Annotated[int, Field(ge=1, le=6000)] = 60
    fallback: DocumentId | None = None


class Rotation(Document):
    """People in turn: the shift changes every `shift_hours`, or daily or weekly at `handover`, in local time.

    `hours`: only between these times of day (`22:00-06:00` goes over midnight); `weekdays`: only on these.
    """

    people: Annotated[list[DocumentId], Field(min_length=1, max_length=50)]
    kind: Literal["daily", "weekly", "custom"] = "weekly"
    starts_on: Day
    handover: ClockTime = "09:00"
    shift_hours: Annotated[int, Field(ge=1, le=24 * 60)] | None = None
    hours: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$")] | None = None
    weekdays: Annotated[list[Weekday], Field(max_length=7)] = []

    @model_validator(mode="after")
    def _custom(self) -> "Rotation":
        if (self.kind == "custom") != (self.shift_hours is not None):
            raise ValueError("shift_hours: belongs to rotations of the kind `custom`, which need it")
        return self


class Override(Document):
    """Somebody stands in, from `starts_at` until `ends_at`."""

    person: DocumentId
    starts_at: Moment
    ends_at: Moment

    @model_validator(mode="after")
    def _order(self) -> "Override":
        if self.ends_at <= self.starts_at:
            raise ValueError("ends_at: must lie after starts_at")
        return self


class Schedule(Document):
    """Who is on call. Later layers win over earlier ones, overrides over all; `timezone` moves with daylight saving."""

    name: Text
    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    layers: Annotated[list[Rotation], Field(min_length=1, max_length=10)]
    overrides: Annotated[list[Override], Field(max_length=MOST)] = []

    _zone = field_validator("timezone")(_known_zone)


class Target(Document):
    """Who is told at a step: whoever a schedule says, a responder, or a channel as it is."""

    schedule: DocumentId | None = None
    responder: DocumentId | None = None
    channel: DocumentId | None = None

    @model_validator(mode="after")
    def _one(self) -> "Target":
        if sum(one is not None for one in (self.schedule, self.responder, self.channel)) != 1:
            raise ValueError("schedule: give one of schedule, responder and channel")
        return self


class Step(Document):
    """Told when nobody acknowledged `after_minutes` after the group was opened. The names are those of the tiers."""

    name: Text = ""
    after_minutes: Annotated[int, Field(ge=0, le=7 * 1440)]
    targets: Annotated[list[Target], Field(min_length=1, max_length=20)]


class EscalationPolicy(Document):
    """Steps for P1 and P2; P3 and P4 go to the first step's targets, again at their response target.

    `channels`: kinds of channels for a severity, in the place of the usual ones. `business_calendar`: for P4.
    """

    name: Text
    steps: Annotated[list[Step], Field(min_length=1, max_length=20)]
    channels: dict[Severity, Annotated[list[ChannelKind], Field(min_length=1, max_length=11)]] = {}
    acknowledgement_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    business_calendar: DocumentId | None = None
    redial_seconds: Annotated[int, Field(ge=30, le=3600)] = 120
    redials: Annotated[int, Field(ge=0, le=10)] = 2

    @model_validator(mode="after")
    def _rising(self) -> "EscalationPolicy":
        minutes = [one.after_minutes for one in self.steps]
        if minutes[0] != 0 or sorted(set(minutes)) != minutes:
            raise ValueError("steps: after_minutes must begin with 0 and rise")
        return self


class BusinessCalendar(Document):
    """Working hours of some weekdays; not on holidays."""

    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    weekdays: Annotated[list[Weekday], Field(min_length=1, max_length=7)] = ["mon", "tue", "wed", "thu", "fri"]
    opens: ClockTime = "09:00"
    closes: ClockTime = "17:00"
    holidays: Annotated[list[Day], Field(max_length=MOST)] = []

    _zone = field_validator("timezone")(_known_zone)

    @model_validator(mode="after")
    def _hours(self) -> "BusinessCalendar":
        if self.closes <= self.opens:
            raise ValueError("closes: must be later than opens")
        return self


class Edge(Document):
    """A component and what it depends on."""

    component: Text
    needs: Text


class Handling(Document):
    """How alerts become groups. Defaults hold where nothing is written.

    `group_by`: labels that make a group. `correlate_by`: a new group joins a live one that agrees in one of these, or
    whose component is a neighbour in `components`, within `correlate_minutes`; so does every new group once
    `storm_groups` were opened in that time. Flapping: so many turns within `flapping_minutes` to enter and to leave.
    """

    group_by: Annotated[list[Label], Field(min_length=1, max_length=20)] = ["alertname", "service", "component"]
    correlate_by: Annotated[list[Label], Field(max_length=20)] = ["component"]
    component_label: Label = "component"
    components: Annotated[list[Edge], Field(max_length=500)] = []
    correlate_minutes: Annotated[int, Field(ge=0, le=1440)] = 10
    storm_groups: Annotated[int, Field(ge=1, le=1000)] = 5
    wait_seconds: Annotated[int, Field(ge=0, le=600)] = 5
    flapping_enter: Annotated[int, Field(ge=2, le=40)] = 6
    flapping_leave: Annotated[int, Field(ge=0, le=38)] = 2
    flapping_minutes: Annotated[int, Field(ge=1, le=1440)] = 60

    @model_validator(mode="after")
    def _thresholds(self) -> "Handling":
        if self.flapping_leave >= self.flapping_enter:
            raise ValueError("flapping_leave: must be lower than flapping_enter")
        return self


class HeartbeatCheck(Document):
    """A URL that the watchdog pings while everything works; whoever watches it calls when the pings cease."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=500)]
    every_seconds: Annotated[int, Field(ge=10, le=3600)] = 60


class Drill(Document):
    """A practice: alerts that match and begin within it are its own, and every message about them says so.

    People are told only with `page`; else messages are written down and not sent. `minute_seconds`: how long a minute
    of an escalation lasts. What still fires when the drill is over is real. With `alerts_until` its fault is off: what
    began to be true later is real, and what did before, as far as its rule says so, is practice until `ends_at`.
    """

    matchers: Annotated[list[Matcher], Field(min_length=1, max_length=50)]
    starts_at: Moment
    ends_at: Moment
    alerts_until: Moment | None = None
    page: bool = False
    minute_seconds: Annotated[int, Field(ge=1, le=60)] = 60

    @model_validator(mode="after")
    def _bounded(self) -> "Drill":
        if not timedelta(0) < self.ends_at - self.starts_at <= _DRILL_MOST:
            raise ValueError("ends_at: must lie after starts_at, by four hours at most")
        return self


class AlertRule(Document):
    """A rule of the workspace's own: it fires for each series that `expr` gives, once it gave it for `for_seconds`.

    `expr` is PromQL over the series `cmg_workspace_*`, of which it sees this workspace's alone. `summary` may hold
    templates as in Prometheus (`{{ $value | humanize }}`).
    """

    expr: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*$")]
    for_seconds: Annotated[int, Field(ge=0, le=7 * 86_400)] = 0
    severity: Severity = "P3"
    summary: Text = ""
    enabled: bool = True


KINDS: dict[str, type[Document]] = {
    "silences": Silence,
    "maintenance-windows": MaintenanceWindow,
    "inhibitions": Inhibition,
    "routes": Route,
    "responders": Responder,
    "channels": Channel,
    "schedules": Schedule,
    "escalation-policies": EscalationPolicy,
    "business-calendars": BusinessCalendar,
    "handling": Handling,
    "heartbeats": HeartbeatCheck,
    "drills": Drill,
    "alert-rules": AlertRule,
}
