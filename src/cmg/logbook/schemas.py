"""Shapes of this room's HTTP API. What callers send is text here: what is wrong is told by our own error body."""

from typing import Any

from pydantic import BaseModel, Field


class Filter(BaseModel):
    """Which lines: of a search and of a tail."""

    q: str | None = Field(None, description='Words that a line must hold; "a phrase", or, -not')
    since: str | None = Field(None, description="A time with its offset, a date, or so long ago: 15m, 2h, 7d")
    until: str | None = Field(None, description="As `since`; left out: up to now")
    level: str | None = Field(None, description="debug, info, warning, error, critical: this one and above")
    logger: str | None = Field(None, description="The component: a logger, with everything below it")
    service: str | None = Field(None, description="The program that wrote the line")
    request_id: str | None = Field(None, description="The id that answers carry as x-cmg-request-id")
    trace_id: str | None = Field(None, description="The trace's id, 32 hex digits")
    pattern: str | None = Field(None, description="The number of a pattern of messages")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")


class LogQuery(Filter):
    """A page of a search."""

    tiers: str | None = Field(None, description="hot, cold, archive, several with commas; default: hot,cold")
    cursor: str | None = Field(None, description="`next` of the page before")
    limit: str | None = Field(None, description="How many lines at most, 1 to 1000; default: 100")


class TailQuery(Filter):
    """A live tail."""

    after: str | None = Field(None, description="`next` of the stream before; left out: from now on")


class PatternQuery(BaseModel):
    """A page of patterns."""

    since: str | None = Field(None, description="Lines from then on count; default: a day ago")
    level: str | None = Field(None, description="Patterns with lines of this level or above")
    logger: str | None = Field(None, description="Of this logger and everything below it")
    new: str | None = Field(None, description="true: only patterns never seen before `since`")
    workspace: str | None = Field(None, description="One workspace; only a key with admin:all sees others")
    cursor: str | None = None
    limit: str | None = Field(None, description="1 to 500; default: 100")


class LogPageView(BaseModel):
    """Lines newest first, each by its ECS names. A page with a next one may hold fewer than asked for, even none."""

    items: list[dict[str, Any]]
    next: str | None


class PatternView(BaseModel):
    """One kind of message; `<*>` stands for what differs. `new`: never seen before the time asked for."""

    pattern: str
    workspace: str | None
    logger: str
    template: str
    level: str
    sample: str
    first_seen: str
    last_seen: str
    lines: int
    lines_ever: int
    new: bool


class PatternPageView(BaseModel):
    """Patterns, those of most lines first."""

    items: list[PatternView]
    next: str | None


class LevelForm(BaseModel):
    """A level to set."""

    logger: str = Field(description="A logger with everything below it; root: all")
    level: str = Field(description="debug, info, warning, error, critical")
    hold_for: str | None = Field(None, alias="for", description="15m, 2h, 7d; left out: until it is changed")


class LevelView(BaseModel):
    """A logger's level of its own."""

    logger: str
    level: str
    until: str | None
    set_by: str
    set_at: str


class LevelsView(BaseModel):
    """The loggers with levels of their own; all others have `default`."""

    default: str
    items: list[LevelView]


class HoldForm(BaseModel):
    """A hold to place."""

    reason: str
    since: str
    until: str | None = Field(None, description="Left out: everything to come, too")
    workspace: str | None = Field(None, description="Whom it is about; files are held whole")


class HoldView(BaseModel):
    """A legal hold; `released_at` None: it holds."""

    hold: str
    workspace: str | None
    reason: str
    since: str
    until: str | None
    placed_by: str
    placed_at: str
    released_by: str | None
    released_at: str | None


class HoldsView(BaseModel):
    """Holds, the newest first."""

    items: list[HoldView]
