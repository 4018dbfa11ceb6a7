"""The end of an incident: its impact comes from the ledger, and it is closed only when the service works again."""

from datetime import timedelta

import pytest

from cmg.incidents.closing.checks import error_rate, latency
from cmg.incidents.models import Incident
from cmg.kit.errors import Conflict
from cmg.ledger.reports.store import Window
from rooms.incidents.conftest import ANA, World


async def resolved(world: World, **fields: str) -> Incident:
    made = await world.declare(**fields)
    return await world.closing.resolve(ANA, made.id, "Rolled back.")


async def test_the_impact_is_what_the_ledger_says_of_the_time(world: World) -> None:
    await world.calls(50, ago_s=5400)  # as long before as it lasted
    await world.calls(10, ago_s=1800)
    await world.calls(4, ago_s=1800, status="error", workspace_id="other", cost_nano=500_000_000)
    await world.calls(3, ago_s=1800, status="cut", user_id="ada")
    await world.calls(9, ago_s=1800, replayed=True)
    await world.calls(9, ago_s=-60)
    impact = (await resolved(world, started_at="2026-11-24T11:00:00Z")).impact
    assert impact is not None
    assert (impact["calls"], impact["calls_failed"], impact["calls_before"], impact["calls_missing"]) == (17, 7, 50, 33)
    assert (impact["users_affected"], impact["workspaces_affected"], impact["users"]) == (5, 2, 15)
    assert (impact["cost_usd_failed"], impact["cost_usd"]) == (2.003, 2.013)
    assert (impact["error_rate"], impact["error_rate_before"]) == (pytest.approx(7 / 17, abs=1e-6), 0)


async def test_an_incident_without_calls_has_an_impact_of_nothing(world: World) -> None:
    impact = (await resolved(world)).impact
    assert impact is not None
    assert (impact["calls"], impact["error_rate"], impact["latency_ms_p95"]) == (0, None, None)


async def test_a_working_service_closes_its_incident_and_the_checks_stay(world: World) -> None:
    await world.operation.mark(ANA, {"title": "version 2"})
    made = await resolved(world)
    closed = await world.closing.close(ANA, made.id)
    assert (closed.status, closed.closed_at) == ("closed", world.clock.now())
    told = dict.fromkeys(await world.told(made))
    assert ("check", "call passed: a call of sim/echo through the gateway was answered in 12 ms") in told
    assert ("check", "health passed: the level of health is HEALTHY") in told
    assert ("check", "error_rate skipped: 0 calls are too few to judge by; 20 are needed") in told
    assert ("status", "Closed") in told
    world.clock.advance(timedelta(days=100).total_seconds())
    await world.desk.purge(timedelta(days=1100), timedelta(days=90))
    assert ("deploy", "deploy: version 2") in await world.told(made), "it outlives the marker"


async def test_what_does_not_work_keeps_it_open_until_somebody_says_why_not(world: World) -> None:
    world.prober.wrong, world.prober.health = "the answer is 502", "UNHEALTHY"
    made = await resolved(world)
    with pytest.raises(Conflict, match="the answer is 502") as told:
        await world.closing.close(ANA, made.id)
    assert (told.value.code, (await world.desk.get(made.id)).status) == ("checks_failed", "resolved")
    assert ("check", "health failed: the level of health is UNHEALTHY") in await world.told(made)
    assert (await world.closing.close(ANA, made.id, "The check itself is broken.")).status == "closed"
    assert ("status", "Closed, in spite of failed checks: The check itself is broken.") in await world.told(made)


async def test_figures_worse_than_before_the_trouble_keep_it_open(world: World) -> None:
    await world.calls(100, ago_s=7200)
    made = await resolved(world, started_at="2026-11-24T11:00:00Z")
    world.clock.advance(1800)
    await world.calls(40, ago_s=60, latency_ms=900.0)
    await world.calls(10, ago_s=60, status="error")
    found = {check.name: check for check in await world.closing.check(ANA, made.id)}
    assert {name: one.outcome for name, one in found.items()} == {
        "call": "passed",
        "health": "passed",
        "error_rate": "failed",
        "latency": "failed",
    }
    assert found["error_rate"].told == "20.00% of the calls of the last 10 minutes failed; at most 1.00% may"


async def test_an_open_incident_is_not_closed_and_a_closed_one_not_changed(world: World) -> None:
    made = await world.declare()
    with pytest.raises(Conflict, match="resolve it before"):
        await world.closing.close(ANA, made.id)
    await world.closing.resolve(ANA, made.id)
    await world.closing.close(ANA, made.id)
    for attempt in (world.closing.close, world.closing.check, world.closing.assess, world.closing.resolve):
        with pytest.raises(Conflict):
            await attempt(ANA, made.id)
    with pytest.raises(Conflict):
        await world.desk.change(ANA, made.id, {"status": "identified"})


@pytest.mark.parametrize(
    ("now", "before", "outcome"),
    [
        (Window(calls=19, failed=19), Window(), "skipped"),
        (Window(calls=100, failed=1), Window(), "passed"),
        (Window(calls=100, failed=2), Window(calls=100, failed=0), "failed"),
        (Window(calls=100, failed=3), Window(calls=100, failed=2), "passed"),
        (Window(calls=100, failed=4), Window(calls=100, failed=2), "failed"),
    ],
)
def test_the_error_rate_is_judged_by_what_it_was(now: Window, before: Window, outcome: str) -> None:
    assert error_rate(now, before).outcome == outcome


@pytest.mark.parametrize(
    ("now", "before", "outcome"),
    [(349, 100, "passed"), (351, 100, "failed"), (2900, 2000, "passed"), (3100, 2000, "failed")],
)
def test_the_latency_is_judged_by_what_it_was(now: float, before: float, outcome: str) -> None:
    present, then = Window(calls=20, latency_ms_p95=now), Window(calls=20, latency_ms_p95=before)
    assert latency(present, then).outcome == outcome
