"""Days of the status page from the history of health: a made history gives exactly its outages."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from cmg.app.incidents.past import PastComponents, pieced
from cmg.health.history import Kept
from cmg.health.models import Transition
from cmg.health.store import HealthStore
from cmg.incidents.status.models import Span
from cmg.kit.clock import at
from cmg.kit.ids import uuid7_hex

START = datetime(2026, 8, 26, tzinfo=UTC).timestamp()
HOUR, DAY = 3600.0, 86_400.0


def moved(after_s: float, component: str, level: str, machine: str = "one") -> Transition:
    return Transition(
        id=uuid7_hex(),
        at=START + after_s,
        machine=machine,
        component=component,
        before="UNKNOWN",
        after=level,
        output="",
    )


def told(spans: list[Span], component: str) -> list[tuple[str, float, float]]:
    """(state, from, until) in seconds from the start."""
    return [
        (one.state, one.since.timestamp() - START, one.until.timestamp() - START)
        for one in spans
        if one.component == component
    ]


WELL = [moved(0, "gateway", "HEALTHY"), moved(0, "database", "HEALTHY"), moved(0, "memory", "HEALTHY")]
OUTAGE = [
    *WELL,
    moved(10 * HOUR, "database", "UNHEALTHY"),
    moved(11 * HOUR, "gateway", "UNHEALTHY"),
    moved(11.5 * HOUR, "gateway", "HEALTHY"),
    moved(12 * HOUR, "database", "HEALTHY"),
]


def test_an_outage_is_as_long_as_its_levels_lasted():
    spans = pieced(OUTAGE, {"one": START + DAY}, START, START + DAY)
    assert told(spans, "administration") == [
        ("operational", 0, 10 * HOUR),
        ("major_outage", 10 * HOUR, 12 * HOUR),
        ("operational", 12 * HOUR, DAY),
    ]
    assert [one[0] for one in told(spans, "memory")] == ["operational", "partial_outage", "operational"]
    assert ("major_outage", 11 * HOUR, 11.5 * HOUR) in told(spans, "api")
    assert told(spans, "upstreams") == [("operational", 0, DAY)]


def test_a_time_in_which_nobody_looked_is_in_no_state():
    away = [moved(20 * HOUR, name, "UNKNOWN") for name in ("gateway", "database", "memory")]
    back = [moved(22 * HOUR, name, "HEALTHY") for name in ("gateway", "database", "memory")]
    spans = pieced([*OUTAGE, *away, *back], {"one": START + DAY}, START, START + DAY)
    assert told(spans, "api")[-2:] == [("operational", 11.5 * HOUR, 20 * HOUR), ("operational", 22 * HOUR, DAY)]


def test_a_machine_that_is_gone_says_nothing_any_more():
    gone = [*OUTAGE, moved(13 * HOUR, "database", "UNHEALTHY")]
    spans = pieced(gone, {"one": START + 14 * HOUR}, START, START + DAY)
    assert told(spans, "administration")[-1] == ("major_outage", 13 * HOUR, 14 * HOUR)


def test_of_two_machines_the_worse_one_counts():
    other = [moved(5 * HOUR, "gateway", "HEALTHY", "two"), moved(6 * HOUR, "gateway", "CRITICAL", "two")]
    heard = {"one": START + DAY, "two": START + 7 * HOUR}
    spans = pieced(sorted([*OUTAGE, *other], key=lambda one: one.at), heard, START, START + DAY)
    assert told(spans, "api")[:3] == [
        ("operational", 0, 6 * HOUR),
        ("major_outage", 6 * HOUR, 7 * HOUR),
        ("operational", 7 * HOUR, 11 * HOUR),
    ]


def test_only_the_time_that_was_asked_for_is_told():
    spans = pieced(OUTAGE, {"one": START + DAY}, START + 11 * HOUR, START + 13 * HOUR)
    assert told(spans, "administration") == [
        ("major_outage", 11 * HOUR, 12 * HOUR),
        ("operational", 12 * HOUR, 13 * HOUR),
    ]
    assert pieced([], {}, START, START + DAY) == []


@pytest.mark.parametrize("stored", [True, False])
async def test_what_is_not_in_the_database_yet_comes_from_the_file(database, tmp_path: Path, *, stored: bool):
    """The outage of a database is in it only afterwards; a process that was killed meanwhile left it in the file."""
    store, file = HealthStore(database), tmp_path / "health.history"
    await store.add(OUTAGE if stored else WELL)
    await store.beat("one", at(START + (DAY if stored else 10 * HOUR)))
    kept = Kept(seen_at=START + DAY, unwritten=[] if stored else OUTAGE[3:], recent=[moved(1, "disk", "CRITICAL")])
    file.write_bytes(msgspec.msgpack.encode(kept))
    past = PastComponents(store, file, "one")
    spans = await past.spans(at(START), at(START) + timedelta(days=1))
    assert ("major_outage", 10 * HOUR, 12 * HOUR) in told(spans, "administration")
    assert told(spans, "administration")[-1][2] == DAY
