"""Feeds, and the shifts in them: immutable values."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["schedules", "responders"]


@dataclass(frozen=True)
class Feed:
    """A subscription to a schedule, or to all that a person is on call for. Of its secret the SHA-256 is kept."""

    workspace_id: str
    id: str
    kind: Kind
    subject: str
    secret_hash: bytes
    created_at: datetime
    created_by: str
    rotated_at: datetime | None = None
    expires_at: datetime | None = None
    read_at: datetime | None = None


@dataclass(frozen=True)
class Duty:
    """Somebody's shift in a schedule, epoch seconds. `changed`: when the schedule was written last."""

    schedule: str
    schedule_name: str
    person: str
    person_name: str
    starts_at: float
    ends_at: float
    changed: datetime
