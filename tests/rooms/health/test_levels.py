"""How parts add up to the whole, and what a reader of the report makes of its age."""

from pathlib import Path

import pytest

from cmg.health import views
from cmg.health.board import Board
from cmg.health.models import Component, Level, Reading, Report, State, told, whole
from cmg.health.prober import Pace
from cmg.health.reading import Reader
from support.manual_clock import ManualClock

H, D, U, C = Level.HEALTHY, Level.DEGRADED, Level.UNHEALTHY, Level.CRITICAL


def state(name: str, level: Level, *, worst: Level = D, group: str = "", kind: str = "component", at: float = 1000.0):
    """A state with one reading of that level."""
    found = (Reading(measurement="availability", level=level, value=level == H, output="" if level == H else "bad"),)
    component = Component(name=name, worst=worst, group=group, kind=kind)  # type: ignore[arg-type]
    return State(component=component, level=level, readings=found, at=at, probed_s=at, took_s=0.1, since=at)


@pytest.mark.parametrize(
    ("level", "worst", "expected"),
    [(H, C, H), (D, C, D), (U, D, D), (C, D, D), (U, C, U), (C, C, C), (C, U, U)],
)
def test_a_fault_lowers_the_whole_as_far_as_the_component_may(level: Level, worst: Level, expected: Level) -> None:
    assert whole([state("good", H), state("thing", level, worst=worst)]) == expected


@pytest.mark.parametrize(
    ("levels", "expected"), [((H, H), H), ((U, H), D), ((U, D), D), ((U, U), U), ((C, C), U), ((U,), U)]
)
def test_one_upstream_of_several_degrades_and_all_of_them_are_unhealthy(levels, expected: Level) -> None:
    found = [state(f"upstream/{n}", level, worst=U, group="upstreams") for n, level in enumerate(levels)]
    assert whole([state("database", H), *found]) == expected


def test_what_is_wrong_is_told_worst_first_and_short() -> None:
    readings = [
        Reading(measurement="a", level=D, output="late"),
        Reading(measurement="b", level=H, output="not said"),
        Reading(measurement="c", level=C, output="gone", part="gateway-1"),
    ]
    assert told(readings) == "gateway-1: gone; late"
    assert len(told([Reading(measurement="a", level=D, output="x" * 1000)])) == 300


def report(clock: ManualClock, *states: State) -> Report:
    """One written now."""
    return Report(machine="m", written_s=clock.monotonic(), interval_s=30, deadline_s=5, states=states)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path / "health.report")


PACE = Pace(30, 5)


def test_a_reader_sees_what_the_prober_wrote(board: Board, clock: ManualClock) -> None:
    reader = Reader(board, PACE, clock)
    board.write(report(clock, state("database", H, kind="datastore")))
    assert reader.standing().level == H
    board.write(report(clock, state("database", U, kind="datastore")))
    assert [one.level for one in reader.standing().states] == [U]


def test_a_report_that_is_not_renewed_means_that_the_background_process_is_gone(board: Board, clock) -> None:
    reader = Reader(board, PACE, clock)
    board.write(report(clock, state("database", H)))
    clock.advance(14)
    assert reader.standing().level == H
    clock.advance(2)
    levels = {one.component.name: one.level for one in reader.standing().states}
    assert levels == {"database": H, "workers": U, "health": U}
    assert reader.standing().level == D, "calls go on"


def test_a_result_that_is_too_old_is_a_fault_although_the_report_is_fresh(board: Board, clock: ManualClock) -> None:
    reader, looked = Reader(board, PACE, clock), state("database", H, at=clock.monotonic())
    for _ in range(8):
        clock.advance(5)
        board.write(report(clock, looked))
    assert reader.standing().level == H, "40 s are an interval, a deadline and a little"
    clock.advance(1)
    board.write(report(clock, looked))
    (stale,) = reader.standing().states
    assert (stale.level, stale.readings[-1].measurement) == (D, "age")
    assert "41 s ago" in stale.readings[-1].output


def test_without_any_report_there_is_grace_for_a_start_and_then_a_fault(board: Board, clock: ManualClock) -> None:
    reader = Reader(board, PACE, clock)
    assert reader.standing().level == H
    clock.advance(36)
    assert {one.component.name for one in reader.standing().states} == {"workers", "health"}
    assert reader.standing().level == D


def test_a_report_of_another_release_is_as_if_missing(board: Board, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "health.report").write_bytes(b"\x93 nothing of ours")
    reader = Reader(board, PACE, clock)
    assert reader.standing().states == ()


def test_what_a_process_knows_of_itself_is_added(board: Board, clock: ManualClock) -> None:
    mine: list[State] = []
    reader = Reader(board, PACE, clock, lambda: mine)
    board.write(report(clock, state("gateway", H, worst=C)))
    assert reader.standing().level == H
    mine.append(state("gateway", U, worst=C))
    assert reader.standing().level == U
    assert len(reader.standing().states[0].readings) == 2


def test_views_show_their_part_and_strangers_a_level(board: Board, clock: ManualClock) -> None:
    reader = Reader(board, PACE, clock)
    states = [
        state("database", U, kind="datastore"),
        state("cache", H),
        state("upstream/far", H, kind="system", worst=U, group="upstreams"),
        state("jobs", D),
    ]
    board.write(report(clock, *states))
    standing = reader.standing()
    bodies = {view: views.full(view, standing) for view in views.VIEWS}
    assert {view: (code, body["level"], sorted(body["levels"])) for view, (code, body) in bodies.items()} == {
        "detailed": (200, "DEGRADED", ["cache", "database", "jobs", "upstream/far"]),
        "dependencies": (200, "DEGRADED", ["database", "upstream/far"]),
        "cache": (200, "HEALTHY", ["cache"]),
        "database": (503, "UNHEALTHY", ["database"]),
    }
    (entry,) = bodies["dependencies"][1]["checks"]["database:availability"]
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "componentId": "database", "componentType": "datastore", "observedValue": False, "status": "fail",
        "level": "UNHEALTHY", "output": "bad",
    }  # fmt: skip
    assert bodies["detailed"][1]["checks"]["upstream:availability"][0]["componentId"] == "far"
    assert views.bare(standing.level) == (
        200, {"status": "warn", "level": "DEGRADED", "serviceId": "context-memory-gateway"},
    )  # fmt: skip
