"""The time boxes of the workflow: detection, triage, investigation, resolution, review. Pure.

An incident has five minutes to be detected, then ten to be triaged and 105 more to be understood: of one that is
detected at its fifth minute, that is triage until minute 15 and a cause until two hours. How long the resolution takes
is measured, not bounded. The review is due between 24 and 48 hours after it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cmg.incidents.models import Incident

DETECT = timedelta(minutes=5)
TRIAGE = timedelta(minutes=10)
INVESTIGATE = timedelta(minutes=115)
REVIEW_OPENS = timedelta(hours=24)
REVIEW_DUE = timedelta(hours=48)
State = Literal["later", "running", "met", "missed"]


@dataclass(frozen=True)
class Box:
    """One step: when it begins, until when it should be done (None: no limit), and when it was."""

    name: str
    begins_at: datetime | None
    due_at: datetime | None
    done_at: datetime | None
    state: State

    @property
    def late_s(self) -> float:
        """Seconds that a step took longer than it had; of one that is not done, 0."""
        if self.done_at is None or self.due_at is None:
            return 0.0
        return max(0.0, (self.done_at - self.due_at).total_seconds())


def boxes(incident: Incident, now: datetime) -> list[Box]:
    """The five steps of an incident as they stand now."""
    found, resolved = incident.detected_at, incident.resolved_at
    return [
        _box("detect", incident.started_at, incident.started_at + DETECT, found, now),
        _box("triage", found, found + TRIAGE, incident.triaged_at, now),
        _box("investigate", found + TRIAGE, found + INVESTIGATE, incident.identified_at, now),
        _box("resolve", found, None, resolved, now),
        _box(
            "review",
            None if resolved is None else resolved + REVIEW_OPENS,
            None if resolved is None else resolved + REVIEW_DUE,
            incident.reviewed_at,
            now,
        ),
    ]


def missed(incident: Incident, now: datetime) -> list[Box]:
    """The steps that took too long, or are overdue now."""
    return [box for box in boxes(incident, now) if box.state == "missed"]


def _box(name: str, begins: datetime | None, due: datetime | None, done: datetime | None, now: datetime) -> Box:
    late = due is not None and (now if done is None else done) > due
    if late:
        state: State = "missed"
    elif done is not None:
        state = "met"
    else:
        state = "running" if begins is not None and now >= begins else "later"
    return Box(name, begins, due, done, state)
