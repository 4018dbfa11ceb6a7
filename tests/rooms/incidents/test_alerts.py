"""Groups of alerts become incidents by rule: opened once, joined while open, never into a resolved one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from cmg.alerting.alerts import Alerts
from cmg.alerting.desk import Desk as AlertingDesk
from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.lifecycle.pipeline import look_again
from cmg.alerting.models import Notification, Report
from cmg.alerting.store import AlertFilter
from cmg.identity.models import DEFAULT_WORKSPACE
from cmg.incidents.alerts.calling import Calling
from cmg.incidents.alerts.desk import IncidentDesk
from cmg.incidents.alerts.rules import Seen
from cmg.incidents.alerts.watching import OF_INCIDENTS, AlertWatch
from cmg.incidents.models import Incident
from rooms.incidents.conftest import ANA, World

LAST = datetime(9999, 1, 1, tzinfo=UTC)


def group(world: World, name: str, severity: str = "P1", **labels: str) -> Seen:
    """A group of alerts that began now."""
    told = {"alertname": name, **labels}
    return Seen(id=f"g-{name}", title=f"{name} fires", severity=severity, labels=told, opened_at=world.clock.now())


async def follow(world: World, seen: Seen, **changes: Any) -> int | None:
    async with world.database.transaction() as conn:
        met = msgspec.structs.replace(seen, **changes)
        return await IncidentDesk().follow(conn, met, world.clock.now())


async def opened(world: World, seen: Seen) -> Incident:
    number = await follow(world, seen)
    assert number is not None
    return await world.desk.get(number)


async def test_a_page_opens_an_incident_that_says_what_it_came_from(world: World) -> None:
    world.clock.advance(60)
    made = await opened(world, group(world, "DatabaseDown", component="memory"))
    assert (made.severity, made.origin, made.public, made.title) == (2, "alert", False, "DatabaseDown fires")
    assert (made.components, made.labels["alertname"]) == ({"memory": "major_outage"}, "DatabaseDown")
    assert await world.told(made) == [("declared", "SEV-2 declared by rule: P1 alert DatabaseDown fires")]


async def test_the_same_group_told_again_changes_nothing(world: World) -> None:
    seen = group(world, "DatabaseDown")
    made = await opened(world, seen)
    assert await follow(world, seen) == made.id
    assert len(await world.told(made)) == 1
    assert len((await world.desk.list(None, None, None, 9))[0]) == 1


@pytest.mark.parametrize(
    ("severity", "labels", "expected"),
    [
        ("P1", {}, 2),
        ("P2", {}, 3),
        ("P3", {}, None),
        ("P4", {}, None),
        ("P3", {"incident": "SEV-1"}, 1),
        ("P1", {"incident": "none"}, None),
    ],
)
async def test_the_rule_says_which_incident_opens(
    world: World, severity: str, labels: dict[str, str], expected: int | None
) -> None:
    number = await follow(world, group(world, "X", severity, **labels))
    assert (None if number is None else (await world.desk.get(number)).severity) == expected


async def test_what_belongs_together_joins_and_the_worse_severity_counts(world: World) -> None:
    made = await opened(world, group(world, "SlowQueries", "P2", component="database"))
    world.clock.advance(300)
    assert await follow(world, group(world, "RecallFails", "P3", component="memory")) == made.id
    assert await follow(world, group(world, "DatabaseDown", "P1", component="database")) == made.id
    assert await follow(world, group(world, "BudgetSpent", "P3", component="budget")) is None
    other = await opened(world, group(world, "LoginsFail", "P1", component="security"))
    assert other.id != made.id
    assert (await world.desk.get(made.id)).severity == 2
    assert ("severity", "Severity: SEV-3 → SEV-2, by DatabaseDown fires") in await world.told(made)


async def test_a_dependent_component_joins_soon_after_and_the_same_one_for_longer(world: World) -> None:
    made = await opened(world, group(world, "SlowQueries", component="database"))
    world.clock.advance(timedelta(minutes=16).total_seconds())
    assert await follow(world, group(world, "RecallFails", component="memory")) != made.id
    world.clock.advance(timedelta(minutes=60).total_seconds())
    assert await follow(world, group(world, "Connections", component="database")) == made.id
    world.clock.advance(timedelta(hours=3).total_seconds())
    assert await follow(world, group(world, "Locks", component="database")) != made.id


async def test_nothing_ever_joins_a_resolved_incident(world: World) -> None:
    made = await opened(world, group(world, "DatabaseDown", component="database"))
    await world.desk.resolve(ANA, made.id)
    again = msgspec.structs.replace(group(world, "DatabaseDown", component="database"), id="g-again")
    assert await follow(world, again) not in {made.id, None}
    quiet = msgspec.structs.replace(group(world, "DatabaseDown", "P4", component="database"), id="g-quiet")
    assert await follow(world, quiet) != made.id


async def test_an_acknowledgement_and_the_end_of_alerts_reach_the_incident(world: World) -> None:
    first, second = group(world, "DatabaseDown", component="database"), group(world, "Locks", component="database")
    made = await opened(world, first)
    await follow(world, second)
    world.clock.advance(120)
    now = world.clock.now()
    await follow(world, first, acknowledged_at=now, by="key:ben")
    assert (await world.desk.get(made.id)).acknowledged_at == now
    await follow(world, first, acknowledged_at=now, resolved_at=now)
    assert (await world.desk.get(made.id)).status == "investigating"
    await follow(world, second, resolved_at=now)
    assert (await world.desk.get(made.id)).status == "monitoring"
    kinds = [kind for kind, _ in await world.told(made)]
    assert kinds == ["declared", "alert", "acknowledged", "alert_resolved", "alert_resolved", "status"]
    world.clock.advance(60)
    await follow(world, group(world, "Connections", component="database"))
    assert (await world.desk.get(made.id)).status == "investigating"


async def test_what_came_and_went_unseen_opens_nothing(world: World) -> None:
    seen = group(world, "DatabaseDown")
    assert await follow(world, seen, resolved_at=world.clock.now()) is None


async def test_groups_of_the_real_alerting_are_followed_once_over_a_restart(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    watch = AlertWatch(world.database, IncidentDesk(), world.clock)
    told = {"alertname": "DatabaseDown", "severity": "critical", "component": "database", "incident": "SEV-1"}
    own = {"alertname": "IncidentDeclared", "severity": "critical", OF_INCIDENTS: "INC-1"}
    await alerts.receive(DEFAULT_WORKSPACE, [Report(labels=told), Report(labels=own)])
    await alerts.receive("other", [Report(labels=told)])
    assert await watch.look() == 2
    assert await AlertWatch(world.database, IncidentDesk(), world.clock).look() == 0
    [made] = (await world.desk.list(None, None, None, 9))[0]
    assert (made.severity, made.status) == (1, "investigating")
    world.clock.advance(30)
    await alerts.receive(DEFAULT_WORKSPACE, [Report(labels=told, firing=False)])
    for _ in range(20):
        world.clock.advance(60)
        await alerts.change(DEFAULT_WORKSPACE, look_again)
        await watch.look()
    assert (await world.desk.get(made.id)).status == "monitoring"
    assert [kind for kind, _ in await world.told(made)].count("declared") == 1


async def test_a_sev_1_calls_people_until_it_is_over(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    calling = Calling(world.database, alerts, world.clock, world.clock.time)
    made = await world.declare(severity="SEV-1")
    await world.declare(severity="SEV-2")
    for _ in range(3):
        await calling.call()
    [group] = await alerts.groups(ANA, None, None, 9)
    [alert] = await alerts.page(ANA, AlertFilter(LAST, ""))
    assert (group.severity, alert.labels["sev"], alert.labels[OF_INCIDENTS]) == ("P1", "SEV-1", made.name)
    assert await AlertWatch(world.database, IncidentDesk(), world.clock).look() == 1
    assert len((await world.desk.list(None, None, None, 9))[0]) == 2
    await world.desk.resolve(ANA, made.id)
    await calling.call()
    [alert] = await alerts.page(ANA, AlertFilter(LAST, ""))
    assert not alert.firing


async def test_of_two_processes_one_follows_at_a_time(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    await alerts.receive(DEFAULT_WORKSPACE, [Report(labels={"alertname": "X", "severity": "P1"})])
    async with world.database.transaction() as conn:
        await conn.execute("SELECT * FROM incident_watch FOR UPDATE")
        assert await AlertWatch(world.database, IncidentDesk(), world.clock).look() == 0
    assert await AlertWatch(world.database, IncidentDesk(), world.clock).look() == 1


async def test_whom_alerting_told_stands_in_the_timeline_without_addresses(world: World) -> None:
    made = await opened(world, group(world, "DatabaseDown"))
    one = Notification(
        key="k1", group_id="g-DatabaseDown", occasion="page", target="ben", channel="sms", address="+491234567",
        step="1", subject="s", body="b", severity="P1", created_at=world.clock.time(), due_at=0,
        state="sent", repeats=1,
    )  # fmt: skip
    desk = AlertingDesk(world.database, world.audit, world.clock)
    await desk.change(DEFAULT_WORKSPACE, lambda changes: changes.notify(one))
    assert ("notification", "page to ben by sms: sent, perhaps 2 times") in await world.told(made)
    entries = await world.timelines.of(world.database, made)
    assert not [entry for entry in entries if "+49" in repr(entry)]
    await world.closing.resolve(ANA, made.id)
    await world.closing.close(ANA, made.id)
    assert [kind for kind, _ in await world.told(made)].count("notification") == 1


async def test_who_answers_the_call_to_a_sev_1_acknowledges_the_incident(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    watch = AlertWatch(world.database, IncidentDesk(), world.clock)
    made = await world.declare(severity="SEV-1")
    await Calling(world.database, alerts, world.clock, world.clock.time).call()
    await watch.look()
    assert ("alert", "People are called") in await world.told(made)
    [called] = await alerts.groups(ANA, None, None, 9)
    world.clock.advance(60)
    await alerts.act(ANA, called.id, "acknowledge", acknowledge)
    await watch.look()
    assert (await world.desk.get(made.id)).acknowledged_at == world.clock.now()


async def test_a_rule_raises_a_sev_1_and_the_call_names_its_groups_until_the_end_over_a_restart(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    watch = AlertWatch(world.database, IncidentDesk(), world.clock)
    told = {"alertname": "DatabaseDown", "severity": "critical", "incident": "SEV-1"}
    await alerts.receive(DEFAULT_WORKSPACE, [Report(labels=told)])
    await watch.look()
    await Calling(world.database, alerts, world.clock, world.clock.time).call()
    [made] = (await world.desk.list(None, None, None, 9))[0]
    by_name = {one.name: one for one in await alerts.page(ANA, AlertFilter(LAST, ""))}
    call = by_name["IncidentDeclared"]
    assert (made.severity, call.labels[OF_INCIDENTS]) == (1, made.name)
    assert call.ends_at is None, "it never ends by itself: the database may be away for long"
    await watch.look()
    await world.desk.change(ANA, made.id, {"severity": "SEV-2"})
    await Calling(world.database, alerts, world.clock, world.clock.time).call()
    assert {one.name for one in await alerts.page(ANA, AlertFilter(LAST, "", active=True))} == {"DatabaseDown"}


async def test_a_sev_2_that_is_raised_calls_with_the_groups_that_it_has(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    calling, watch = (
        Calling(world.database, alerts, world.clock, world.clock.time),
        AlertWatch(world.database, IncidentDesk(), world.clock),
    )
    await alerts.receive(DEFAULT_WORKSPACE, [Report(labels={"alertname": "DatabaseDown", "severity": "P1"})])
    await watch.look()
    await calling.call()
    [group] = await alerts.groups(ANA, None, None, 9)
    [made] = (await world.desk.list(None, None, None, 9))[0]
    assert made.severity == 2
    await world.desk.change(ANA, made.id, {"severity": "SEV-1"})
    await calling.call()
    call = next(one for one in await alerts.page(ANA, AlertFilter(LAST, "")) if one.name == "IncidentDeclared")
    assert call.annotations["cmg_groups"] == group.id


async def test_the_call_says_up_to_when_it_is_known_which_groups_are_its_own(world: World) -> None:
    alerts = Alerts(AlertingDesk(world.database, world.audit, world.clock), world.database, world.clock)
    watch = AlertWatch(world.database, IncidentDesk(), world.clock)
    calling = Calling(world.database, alerts, world.clock, lambda: watch.followed_at)
    await world.declare(severity="SEV-1")
    looked_at = world.clock.time()
    await watch.look()
    world.clock.advance(60)
    await calling.call()
    [call] = await alerts.page(ANA, AlertFilter(LAST, ""))
    assert 0 <= looked_at - float(call.annotations["cmg_followed"]) <= 1.5
