"""What is decided is kept once: over processes, over restarts, and never half."""

import asyncio
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from cmg.alerting.desk import Desk
from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.escalation.timers import advance
from cmg.alerting.models import Report
from cmg.alerting.store import AlertFilter
from cmg.kit.clock import at
from cmg.kit.errors import NotFound
from support.alerting_world import document
from support.manual_clock import START

pytestmark = pytest.mark.usefixtures("configured")
DOWN = Report(labels={"alertname": "Down", "severity": "critical"})


async def outbox(database) -> list[str]:
    rows = await database.fetch("SELECT key FROM alerting_notifications ORDER BY created_at, key")
    return [row["key"] for row in rows]


async def test_a_restart_knows_everything_again(desk, database, audit, alerts, clock):
    await alerts.receive("default", [DOWN])
    await desk.change("default", advance)
    fresh = Desk(database, audit, clock)
    world = await fresh.change("default", lambda changes: changes.world)
    assert world.alerts == desk.worlds["default"].alerts
    assert world.groups == desk.worlds["default"].groups
    assert world.timers == desk.worlds["default"].timers
    assert world.outbox == desk.worlds["default"].outbox
    assert len(world.outbox) == 2


async def test_a_timer_that_was_due_while_nobody_ran_is_done_afterwards(desk, database, audit, alerts, clock):
    await alerts.receive("default", [DOWN])
    await desk.change("default", advance)
    clock.advance(20 * 60)
    await Desk(database, audit, clock).change("default", advance)
    assert [key.split("/")[1] for key in await outbox(database)] == ["responder:ada"] * 2 + ["responder:bob"] * 2


async def test_two_monitors_never_both_do_what_is_due(database, audit, alerts, clock):
    await alerts.receive("default", [DOWN])
    desks = [Desk(database, audit, clock) for _ in range(4)]
    for _ in range(4):
        done = await asyncio.gather(*(one.change("default", advance) for one in desks))
        assert sum(done) <= 1
        clock.advance(15 * 60)
    assert len(await outbox(database)) == len(set(await outbox(database))) == 6


async def test_what_another_process_did_is_seen_before_anything_is_decided(database, audit, desk, alerts, clock):
    await alerts.receive("default", [DOWN])
    await desk.change("default", advance)
    other = Desk(database, audit, clock)
    await other.change(
        "default", lambda changes: acknowledge(changes, next(iter(changes.world.groups.values())), "bob")
    )
    clock.advance(30 * 60)
    assert await desk.change("default", advance) == 0, "it was acknowledged elsewhere"
    assert (await database.fetchval("SELECT count(*) FROM alerting_notifications WHERE state = 'cancelled'")) == 2


async def test_a_decision_that_fails_leaves_nothing_behind(desk, database, alerts):
    await alerts.receive("default", [DOWN])

    def half(changes):
        advance(changes)
        raise RuntimeError("power is gone")

    with pytest.raises(RuntimeError):
        await desk.change("default", half)
    assert await outbox(database) == []
    assert await desk.change("default", advance) == 1, "the timer is there still"


async def test_workspaces_do_not_see_each_other(alerts, admin, desk):
    await alerts.receive("other", [DOWN])
    assert await alerts.page(admin, AlertFilter(datetime(2200, 1, 1, tzinfo=UTC), "")) == []
    await alerts.receive("default", [DOWN])
    with pytest.raises(NotFound):
        await alerts.story(admin, uuid4().hex)
    assert sorted(await desk.heads()) == ["default", "other"]


async def test_an_alert_tells_why_somebody_was_paged(alerts, desk, admin):
    await alerts.receive("default", [DOWN])
    await desk.change("default", advance)
    (alert,) = desk.worlds["default"].alerts.values()
    story = await alerts.story(admin, alert.fingerprint)
    assert [one.stage for one in story.decisions[0].verdicts] == [
        "deduplication", "silences", "maintenance", "inhibition", "flapping", "grouping", "routing",
    ]  # fmt: skip
    assert all(one.reason for one in story.decisions[0].verdicts)
    assert {one.target for one in story.notifications} == {"responder:ada"}
    group = await alerts.story(admin, story.group.id)
    assert group.decisions[0].verdicts[0].reason == "ada → sms, voice"


async def test_an_alert_of_long_ago_is_known_again(alerts, desk, clock):
    await alerts.receive("default", [DOWN])
    await alerts.receive("default", [Report(labels=DOWN.labels, firing=False)])
    clock.advance(10 * 86_400)
    await alerts.receive("default", [Report(labels={"alertname": "Other"})])
    assert len(desk.worlds["default"].alerts) == 1, "it is out of memory"
    await alerts.receive("default", [DOWN])
    assert {one.episode for one in desk.worlds["default"].alerts.values() if one.name == "Down"} == {2}


async def test_what_is_old_is_deleted_and_what_matters_stays(alerts, desk, database, clock):
    await alerts.receive("default", [DOWN, Report(labels={"alertname": "Stays", "severity": "critical"})])
    await desk.change("default", advance)
    await alerts.receive("default", [Report(labels=DOWN.labels, firing=False)])
    clock.advance(401 * 86_400)
    assert await alerts.purge(400) > 0
    left = [row["body"] for row in await database.fetch("SELECT body::text AS body FROM alerting_alerts")]
    assert len(left) == 1
    assert "Stays" in left[0]
    assert await database.fetchval("SELECT count(*) FROM alerting_groups") == 1
    assert await database.fetchval("SELECT count(*) FROM alerting_decisions") == 0


async def test_documents_that_ended_long_ago_go_and_those_without_an_end_stay(configuring, admin):
    def until(days: float) -> dict[str, str]:
        moments = [START - 90 * 86_400, START + days * 86_400]
        return dict(zip(("starts_at", "ends_at"), (at(one).isoformat() for one in moments), strict=True))

    matchers = [{"label": "alertname", "value": "Down"}]
    for name, days in {"old": -31, "late": -29, "now": 1}.items():
        await configuring.put(admin, "silences", name, document("silences", {"matchers": matchers, **until(days)}))
    again = {"name": "Nights", "recurring": {"start": "02:00", "minutes": 60, "last_day": "2026-01-01"}}
    await configuring.put(admin, "maintenance-windows", "again", document("maintenance-windows", again))
    once = document("maintenance-windows", {"name": "Move", **until(-40)})
    await configuring.put(admin, "maintenance-windows", "once", once)
    assert await configuring.purge() == 2
    assert [one["id"] for one in (await configuring.page(admin, "silences"))[0]] == ["late", "now"]
    assert [one["id"] for one in (await configuring.page(admin, "maintenance-windows"))[0]] == ["again"]
    assert await configuring.purge() == 0


async def test_ten_thousand_alerts_in_a_storm_are_few_messages_and_none_is_lost(alerts, desk, database):
    reports = [
        Report(labels={"alertname": f"A{n % 40}", "severity": "P2", "host": f"h{n}"}, starts_at=START)
        for n in range(10_000)
    ]
    assert await alerts.receive("default", reports) == 10_000
    await desk.change("default", advance)
    assert await database.fetchval("SELECT count(*) FROM alerting_alerts WHERE active") == 10_000
    assert len(await outbox(database)) <= 20
    world = desk.worlds["default"]
    assert sum(len(world.members(one)) for one in world.groups) == 10_000
