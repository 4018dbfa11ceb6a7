"""The time boxes of the workflow."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from cmg.incidents.models import Incident
from cmg.incidents.workflow import boxes, missed

T = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def minutes(count: float) -> datetime:
    return T + timedelta(minutes=count)


def incident(**values: object) -> Incident:
    base = Incident(severity=1, title="x", started_at=T, detected_at=minutes(5), declared_at=minutes(5), updated_at=T)
    return msgspec.structs.replace(base, **values)


def states(one: Incident, now: datetime) -> dict[str, str]:
    return {box.name: box.state for box in boxes(one, now)}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (5, ("met", "running", "later", "running", "later")),
        (15, ("met", "running", "running", "running", "later")),
        (16, ("met", "missed", "running", "running", "later")),
        (121, ("met", "missed", "missed", "running", "later")),
    ],
)
def test_boxes_run_out_one_after_the_other(now: float, expected: tuple[str, ...]) -> None:
    assert tuple(states(incident(), minutes(now)).values()) == expected


def test_a_box_done_in_time_stays_met_and_one_done_late_stays_missed() -> None:
    one = incident(detected_at=minutes(7), triaged_at=minutes(12), identified_at=minutes(200))
    later = minutes(10_000)
    assert states(one, later) | {"resolve": "", "review": ""} == {
        "detect": "missed",
        "triage": "met",
        "investigate": "missed",
        "resolve": "",
        "review": "",
    }
    assert [(box.name, box.late_s) for box in missed(one, later)] == [("detect", 120), ("investigate", 78 * 60)]


@pytest.mark.parametrize(
    ("hours", "reviewed", "state"),
    [(23, None, "later"), (24, None, "running"), (48, None, "running"), (49, None, "missed"), (99, 30, "met")],
)
def test_the_review_is_due_two_days_after_the_end(hours: float, reviewed: float | None, state: str) -> None:
    done = None if reviewed is None else T + timedelta(hours=reviewed)
    one = incident(status="resolved", resolved_at=T, reviewed_at=done)
    assert states(one, T + timedelta(hours=hours))["review"] == state
