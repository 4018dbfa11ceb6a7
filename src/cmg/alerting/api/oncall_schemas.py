"""Who is on call, as pydantic models: they make the OpenAPI document."""

from pydantic import AwareDatetime, BaseModel, Field


class PersonView(BaseModel):
    """A responder. `reachable`: whether a contact is on a channel that works."""

    responder: str
    name: str
    reachable: bool


class ShiftView(PersonView):
    """Somebody's time. `until` is null when nobody takes over within 92 days."""

    starts_at: AwareDatetime
    until: AwareDatetime | None


class GapView(BaseModel):
    """When nobody is on call."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime


class RosterView(BaseModel):
    """A schedule at a moment."""

    schedule: str
    name: str
    timezone: str
    now: ShiftView | None = Field(description="null: nobody is; `starts_at` is the moment that was asked for")
    next: ShiftView | None
    gaps: list[GapView] = Field(description="in the 14 days from then")


class RosterPageView(BaseModel):
    """By the schedules' ids; `next` is the cursor of the following page."""

    items: list[RosterView]
    next: str | None


class TierPersonView(PersonView):
    """Somebody who would be told, and the schedule that says so."""

    schedule: str | None


class TierView(BaseModel):
    """A step of a policy, counted from 1."""

    step: int
    name: str
    after_minutes: int
    people: list[TierPersonView]
    channels: list[str]
    nobody_in: list[str] = Field(description="schedules in which nobody is on call")


class TiersView(BaseModel):
    """A policy at a moment: a step that reaches nobody goes on to the next at once."""

    policy: str
    name: str
    tiers: list[TierView]


class TiersPageView(BaseModel):
    """By the policies' ids; `next` is the cursor of the following page."""

    items: list[TiersView]
    next: str | None
