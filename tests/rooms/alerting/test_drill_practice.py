"""When a drill may begin: alone, and only where what it should show does not show already."""

import asyncio
from types import SimpleNamespace

import pytest

from cmg.alerting.models import Report
from cmg.app.drills.practice import Practice
from cmg.app.drills.scenarios import SCENARIOS
from cmg.kit.errors import Conflict
from support.alerting_world import document
from support.manual_clock import START
from support.service import eventually

NAME = "disk-filling"


@pytest.fixture
def practice(alerts, desk, database, configuring, clock) -> Practice:
    services = SimpleNamespace(alerts=alerts, desk=desk, database=database, configuring=configuring)
    return Practice(services, clock, NAME, SCENARIOS[NAME], 600, page=False, minute_s=2)


async def report(alerts, quantity: str, *, firing: bool = True) -> None:
    labels = {"alertname": f"Of{quantity}", "severity": "P2", "quantity": quantity}
    await alerts.receive("default", [Report(labels=labels, firing=firing)])


async def passes(clock, checking: "asyncio.Task[None]", seconds: int) -> None:
    """Time passes until the check has ended, in the steps in which it looks; each look is a real statement."""
    for _ in range(seconds // 2):
        if checking.done():
            return

        async def waits() -> bool:
            return bool(clock._sleepers) or checking.done()

        await eventually(waits)
        clock.advance(2)


async def test_what_fires_already_and_does_not_end_refuses_the_drill(practice, alerts, clock, monkeypatch):
    monkeypatch.setattr("cmg.app.drills.practice._QUIET_S", 30.0)
    await report(alerts, SCENARIOS[NAME].quantities[0])
    checking = asyncio.create_task(practice.check())
    await passes(clock, checking, 60)
    with pytest.raises(Conflict, match=f"Of{SCENARIOS[NAME].quantities[0]}: fires already"):
        await checking
    assert clock.time() - START >= 30, "it was waited for"


async def test_what_ends_meanwhile_lets_the_drill_begin(practice, alerts, clock):
    await report(alerts, SCENARIOS[NAME].quantities[0])
    checking = asyncio.create_task(practice.check())
    await passes(clock, checking, 20)
    assert not checking.done()
    await report(alerts, SCENARIOS[NAME].quantities[0], firing=False)
    await passes(clock, checking, 20)
    await checking


async def test_what_another_fault_moves_is_no_hindrance(practice, alerts):
    await report(alerts, "another_quantity")
    await practice.check()


async def test_one_drill_at_a_time(practice, configuring, admin, clock):
    matcher = {"label": "quantity", "op": "=", "value": "disk"}
    on = {"matchers": [matcher], "starts_at": clock.now().isoformat(), "ends_at": "2026-11-24T13:00:00Z"}
    await configuring.put(admin, "drills", "upstream-503", document("drills", on))
    with pytest.raises(Conflict, match="the drill upstream-503 is on"):
        await practice.check()
    clock.advance(3601)  # it has ended, though nobody took it away
    await practice.check()
