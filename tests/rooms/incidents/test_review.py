"""What is learnt: the document holds what happened, plots are right, action items are tracked, figures are means."""

from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import msgspec
import pytest

from cmg.alerting.models import Group
from cmg.incidents.attending import Attendant
from cmg.incidents.models import Incident
from cmg.incidents.review.drawing import Figure, Line, round_up, svg
from cmg.incidents.review.figures import Figures, alert_figures, incident_figures, out_of_hours
from cmg.incidents.review.plotting import PLOTS, LateSamples, Plots, lines_of
from cmg.kit.errors import Conflict, InvalidRequest, NotFound
from rooms.incidents.conftest import ANA, World

T = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"


async def ended(world: World, **fields: Any) -> Incident:
    made = await world.declare(started_at="2026-11-24T11:50:00Z", **fields)
    world.clock.advance(1200)
    return await world.closing.resolve(ANA, made.id, "Rolled back.")


async def test_the_document_holds_what_happened_and_says_what_is_missing(world: World) -> None:
    await world.operation.mark(ANA, {"title": "version 2 | final", "at": "2026-11-24T11:45:00Z"})
    made = await ended(world, commander="ben", title="Calls <fail>")
    await world.desk.change(ANA, made.id, {"cause": "A full disk.", "factors": ["No alert on the disk"]})
    await world.review.actions.add(
        ANA, made.id, {"text": "Watch the disk", "owner": "ada", "due_at": "2026-11-25T00:00:00Z"}
    )
    world.clock.advance(86_400)
    text, plots = await world.review.document(world.timelines, made.id)
    for part in (
        f"# Post-mortem of {made.name}: Calls &lt;fail>",
        "| Severity | SEV-2, major functionality impaired |",
        "A full disk.",
        "- No alert on the disk",
        "| 2026-11-24 11:45:00 UTC | deploy | key:ana | deploy: version 2 \\| final |",
        "| detect | missed | 2026-11-24 11:55 UTC | 2026-11-24 12:00 UTC | 5 min |",
        "- [ ] Watch the disk (ada), due 2026-11-25, **overdue**",
        "![Share of failed calls](plots/errors.svg)",
    ):
        assert part in text
    assert text.split("## Lessons")[1].startswith("\n\n*Not written down yet.*")
    assert [plot.name for plot in plots] == list(PLOTS)


async def test_plots_are_drawn_of_the_time_and_kept_at_the_end(world: World) -> None:
    made = await ended(world)
    plot = await world.review.plot(made.id, "calls")
    root = ET.fromstring(plot.svg)
    assert {"began", "resolved"} <= {text.text for text in root.iter(f"{SVG}text")}
    asked = world.samples.asked[0]
    assert (float(asked["start"][0]), float(asked["end"][0])) == (T.timestamp() - 2400, world.clock.time())
    await world.closing.close(ANA, made.id)
    world.samples.values = []
    assert len((await world.review.plot(made.id, "calls")).svg) > 0
    assert (await world.review.plot(made.id, "calls")).svg.count("<path") == plot.svg.count("<path")
    with pytest.raises(NotFound):
        await world.review.plot(made.id, "../calls")


async def test_without_time_series_there_is_a_document_without_plots(world: World) -> None:
    made = await ended(world)
    assert await Plots(world.database, LateSamples(), world.clock).of(made) == []
    world.samples.status = 503
    text, plots = await world.review.document(world.timelines, made.id)
    assert plots == []
    assert "There were no time series" in text


def test_a_line_is_drawn_to_scale_with_gaps_where_there_is_no_number() -> None:
    points = [(0, 0.0), (50, 50.0), (60, float("nan")), (100, 100.0)]
    root = ET.fromstring(svg(Figure("A & B", "s", 0, 100, [Line("all", points)])))
    [drawn] = [path.get("d") for path in root.iter(f"{SVG}path") if path.get("stroke") == "#3b5bdb"]
    assert drawn == "M64.0 204.0L384.0 118.0M704.0 32.0"
    assert root.get("aria-label") == "A & B"
    empty = svg(Figure("x", "", 0, 100, []))
    assert "no samples of this time" in empty


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (0.99, 1), (1, 1), (1.1, 2), (2.2, 2.5), (0.03, 0.05), (7300, 10_000)]
)
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == pytest.approx(top)


def test_lines_are_named_by_their_labels_the_largest_first() -> None:
    result = [
        {"metric": {"status": name}, "values": [[1, value], [2, "NaN"]]} for name, value in (("ok", "1"), ("cut", "9"))
    ]
    body = msgspec.json.encode({"status": "success", "data": {"resultType": "matrix", "result": result}})
    assert [line.name for line in lines_of(body)] == ["cut", "ok"]


async def test_action_items_are_tracked_until_they_are_done(world: World) -> None:
    made = await ended(world)
    first = await world.review.actions.add(ANA, made.id, {"text": "Watch the disk"})
    second = await world.review.actions.add(ANA, made.id, {"text": "Larger disk"})
    await world.closing.close(ANA, made.id)
    done = await world.review.actions.change(ANA, made.id, first.id, {"state": "done"})
    assert (done.state, done.ended_at, done.ended_by) == ("done", world.clock.now(), "key:ana")
    assert [one.id for one in (await world.review.actions.page("open", None, 9))[0]] == [second.id]
    again = await world.review.actions.change(ANA, made.id, first.id, {"state": "open"})
    assert (again.ended_at, again.ended_by) == (None, "")
    assert ("action", f"Action {first.id} is done: Watch the disk") in await world.told(made)
    with pytest.raises(NotFound):
        await world.review.actions.change(ANA, made.id + 1, first.id, {"state": "done"})
    with pytest.raises(InvalidRequest):
        await world.review.actions.add(ANA, made.id, {"text": None})


async def test_a_review_needs_an_end_and_a_cause(world: World) -> None:
    made = await world.declare()
    with pytest.raises(Conflict, match="when it is resolved"):
        await world.review.reviewed(ANA, made.id, {})
    await world.closing.resolve(ANA, made.id)
    with pytest.raises(Conflict, match="no cause yet"):
        await world.review.reviewed(ANA, made.id, {})
    await world.closing.close(ANA, made.id)
    done = await world.review.reviewed(ANA, made.id, {"cause": "A full disk.", "lessons": "Watch it."})
    assert (done.status, done.reviewed_at) == ("closed", world.clock.now())


def test_means_count_what_happened_and_name_what_was_late() -> None:
    def one(severity: int, acknowledged: float | None, resolved: float | None) -> Incident:
        moments = [None if minutes is None else T + timedelta(minutes=minutes) for minutes in (acknowledged, resolved)]
        base = Incident(
            severity=severity,
            title="x",
            started_at=T,
            detected_at=T + timedelta(minutes=1),
            declared_at=T,
            updated_at=T,
        )
        return msgspec.structs.replace(base, acknowledged_at=moments[0], resolved_at=moments[1])

    found = incident_figures([one(1, 3, 61), one(1, 5, None), one(3, None, None)], T + timedelta(minutes=30))
    assert (found["count"], found["mttd_s"], found["mtta_s"], found["mttr_s"]) == (3, 60, 180, 3600)
    assert found["by_severity"]["SEV-3"] == {"count": 1, "mttd_s": 60, "mtta_s": None, "mttr_s": None}
    assert found["time_boxes_missed"] == {"triage": 3}


def test_alerts_are_counted_by_shift_hour_and_what_became_of_them() -> None:
    def group(severity: Any, hour: int, *, told: bool = True, acknowledged: bool = False, drill: str = "") -> Group:
        opened = (T + timedelta(hours=hour)).timestamp()
        at = opened + 60 if acknowledged else None
        return Group(
            id=str(hour), key="k", labels={}, title="x", severity=severity, opened_at=opened,
            told_at=opened if told else None, acknowledged_at=at, drill=drill,
        )  # fmt: skip

    groups = [group("P1", 0, acknowledged=True), group("P2", 10), group("P3", 10), group("P1", 11, told=False)]
    groups.append(group("P1", 2, acknowledged=True, drill="practice"))
    groups[2] = msgspec.structs.replace(groups[2], by="ada", status="resolved")
    found = alert_figures(groups, T, T + timedelta(days=2), ZoneInfo("UTC"), 12)
    assert (found["count"], found["per_shift"], found["pages"], found["pages_out_of_hours"]) == (4, 1, 2, 1)
    assert (found["effectiveness"], found["mtta_s"], found["mttr_s"]) == (0.5, 60, None)
    assert alert_figures([], T, T + timedelta(days=1), ZoneInfo("UTC"), 24)["effectiveness"] is None


@pytest.mark.parametrize(
    ("moment", "zone", "out"),
    [
        ("2026-11-24T09:00:00+00:00", "UTC", "in"),
        ("2026-11-24T17:00:00+00:00", "UTC", "out"),
        ("2026-11-28T12:00:00+00:00", "UTC", "out"),
        ("2026-11-24T08:30:00+00:00", "Europe/Berlin", "in"),
        ("2026-11-24T08:30:00+00:00", "UTC", "out"),
    ],
)
def test_nights_and_weekends_are_out_of_hours_where_people_live(moment: str, zone: str, out: str) -> None:
    assert out_of_hours(datetime.fromisoformat(moment), ZoneInfo(zone)) is (out == "out")


async def test_figures_are_of_the_period_that_is_asked_for(world: World) -> None:
    await ended(world)
    found = await Figures(world.database, world.clock).of(None, None, None, 24)
    assert (found["incidents"]["count"], found["alerts"]["count"]) == (1, 0)
    before = await Figures(world.database, world.clock).of("2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", None, 24)
    assert before["incidents"]["count"] == 0
    for wrong in (("2026-11-01T00:00:00Z", "2026-10-01T00:00:00Z", None), (None, None, "Mars/Olympus")):
        with pytest.raises(InvalidRequest):
            await Figures(world.database, world.clock).of(*wrong, 24)


async def test_a_step_that_ran_out_of_time_is_told_once(world: World) -> None:
    made = await world.declare()
    world.clock.advance(660)
    for _ in range(3):
        await Attendant(world.database, world.clock, world.instruments).attend()
    told = [text for kind, text in await world.told(made) if kind == "time_box"]
    assert told == ["The step triage was not done in time: it was due at 2026-11-24 12:10 UTC"]
    series = world.instruments.series
    assert series("cmg_incidents_open", "SEV-2")._value.get() == 1
    assert series("cmg_incidents_late_open", "triage")._value.get() == 1
