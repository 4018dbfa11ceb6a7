"""The auditor, in simulated time: what stands still is found, done and counted, whatever became of the pager."""

import asyncio

import pytest

from cmg.alerting.alerts import Alerts
from cmg.alerting.auditing.auditor import Auditor
from cmg.alerting.delivery.claiming import claim
from cmg.alerting.delivery.sender import Sender
from cmg.alerting.desk import Desk
from cmg.alerting.escalation import actions
from cmg.alerting.escalation.timers import advance
from cmg.alerting.models import Report
from cmg.identity.models import Actor
from support.alerting_world import TIERS, document
from support.fake_receivers import Receivers, channels_at

ADMIN = Actor("key:me", frozenset({"admin"}), "default", "127.0.0.1", "me")
DOWN = Report(labels={"alertname": "Down", "severity": "critical"})
NUMBERS = [f"+1555{len(who)}{who}" for who in TIERS]


async def people(configuring, receivers) -> None:
    await configuring.put(ADMIN, "channels", "sms", document("channels", channels_at(receivers.url)["sms"]))
    for who, number in zip(TIERS, NUMBERS, strict=True):
        body = {"name": who, "contacts": [{"channel": "sms", "address": number}]}
        await configuring.put(ADMIN, "responders", who, document("responders", body))
    steps = [{"after_minutes": minutes, "targets": [{"responder": who}]} for who, minutes in TIERS.items()]
    policy = document("escalation-policies", {"name": "All", "steps": steps})
    await configuring.put(ADMIN, "escalation-policies", "default", policy)
    await configuring.put(ADMIN, "handling", "default", document("handling", {"wait_seconds": 0}))


class World:
    """A pager that may be dead, an auditor that is not, and half minutes that pass."""

    def __init__(self, database, clock, instruments, pager, auditor) -> None:
        self.database, self.clock, self.instruments = database, clock, instruments
        self.pager, self.auditor, self.alive = pager, auditor, True
        self.alerts = Alerts(pager._desk, database, clock)

    async def minutes(self, count: float) -> list[str]:
        """The kinds that were found."""
        found = []
        for _ in range(int(count * 2)):
            self.clock.advance(30)
            if self.alive:
                await self.pager.round()
            found += [one.kind for one in await self.auditor.look()]
        return found

    async def group(self):
        (one,) = [one for one in await self.alerts.groups(ADMIN, None, None, 9) if one.live]
        return one

    def counted(self, kind: str) -> float:
        read = self.instruments.registry.get_sample_value
        return read("cmg_escalation_audit_findings_total", {"kind": kind}) or 0.0


@pytest.fixture
def auditor(database, audit, clock, instruments, sealer, session) -> Auditor:
    desk = Desk(database, audit, clock)
    return Auditor(database, desk, Sender(desk, sealer, clock, instruments, lambda: session), clock, instruments)


@pytest.fixture
async def bare(database, clock, instruments, monitor, auditor) -> World:
    return World(database, clock, instruments, monitor("pager"), auditor)


@pytest.fixture
async def world(bare, configuring, receivers) -> World:
    await people(configuring, receivers)
    return bare


def told(receivers: Receivers) -> list[str]:
    return [one.body["To"] for one in receivers.got]


async def test_what_goes_as_it_should_is_never_found(world, receivers, configuring):
    await world.alerts.receive("default", [DOWN])
    assert await world.minutes(61) == []
    assert told(receivers) == NUMBERS
    await world.alerts.act(ADMIN, (await world.group()).id, "acknowledge", actions.acknowledge)
    assert await world.minutes(70) == [], "the acknowledgement expired meanwhile, and escalation began again"
    await world.alerts.act(
        ADMIN, (await world.group()).id, "snooze", lambda changes, group, by: actions.snooze(changes, group, by, 20)
    )
    assert await world.minutes(19) == []
    silence = {
        "matchers": [{"label": "alertname", "value": "Down"}],
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2030-01-01T00:00:00Z",
    }
    await configuring.put(ADMIN, "silences", "all", document("silences", silence))
    assert await world.minutes(40) == [], "what is held is asked again each minute, and stands not still"


async def test_with_the_pager_dead_the_auditor_pages_every_tier_in_time(world, receivers, clock):
    world.alive = False
    begun = clock.time()
    await world.alerts.receive("default", [DOWN])
    at: dict[str, float] = {}
    while len(at) < len(TIERS) and clock.time() < begun + 4200:
        await world.minutes(0.5)
        for number in told(receivers):
            at.setdefault(number, (clock.time() - begun) / 60)
    late = {who: at[number] - minutes for (who, minutes), number in zip(TIERS.items(), NUMBERS, strict=True)}
    assert all(0 <= one <= 2 for one in late.values()), late
    assert told(receivers) == NUMBERS
    assert world.counted("overdue") >= 4
    world.alive = True
    await world.minutes(30)
    assert told(receivers) == NUMBERS, "the pager that came back tells nobody a second time"


async def test_it_works_while_the_pager_holds_its_own_desk_for_ever(world, receivers):
    await world.alerts.receive("default", [DOWN])
    async with world.pager._desk._locks.setdefault("default", asyncio.Lock()):
        world.alive = False  # its round would wait here
        await world.minutes(2)
    assert told(receivers) == NUMBERS[:1]


async def test_a_timer_that_was_lost_is_set_again(world, receivers):
    await world.alerts.receive("default", [DOWN])
    await world.minutes(1)
    await world.database.execute("UPDATE alerting_timers SET done_at = due_at, changed = 99999")
    await world.database.execute("UPDATE alerting_heads SET generation = 99999")
    assert await world.minutes(2) == ["no_timer"]
    assert told(receivers) == NUMBERS[:2], "the next step is told at once: nobody knows how long it was forgotten"
    await world.minutes(60)
    assert told(receivers)[:4] == NUMBERS
    story = await world.alerts.story(ADMIN, (await world.group()).id)
    assert any("the auditor found" in one.event for one in story.decisions)


async def test_an_acknowledgement_that_nobody_ends_is_ended(world, receivers):
    await world.alerts.receive("default", [DOWN])
    await world.minutes(1)
    await world.alerts.act(ADMIN, (await world.group()).id, "acknowledge", actions.acknowledge)
    await world.database.execute("UPDATE alerting_timers SET due_at = due_at + interval '1 day', changed = 99999")
    await world.database.execute(
        "UPDATE alerting_timers SET body = jsonb_set(body, '{due_at}', to_jsonb((body->>'due_at')::float8 + 86400))"
    )
    await world.database.execute("UPDATE alerting_heads SET generation = 99999")
    assert await world.minutes(60) == []
    assert await world.minutes(3) == ["acknowledgement"]
    assert told(receivers) == [NUMBERS[0], NUMBERS[0]]


async def test_a_step_whose_timer_stands_in_the_future_is_told(world, receivers):
    await world.alerts.receive("default", [DOWN])
    await world.minutes(1)
    await world.database.execute("UPDATE alerting_timers SET due_at = due_at + interval '1 day', changed = 99999")
    await world.database.execute(
        "UPDATE alerting_timers SET body = jsonb_set(body, '{due_at}', to_jsonb((body->>'due_at')::float8 + 86400))"
    )
    await world.database.execute("UPDATE alerting_heads SET generation = 99999")
    assert await world.minutes(14) == []
    assert await world.minutes(3) == ["behind"]
    assert told(receivers) == NUMBERS[:2]


async def test_a_message_whose_sender_died_with_every_pager_is_sent(world, receivers):
    await world.alerts.receive("default", [DOWN])
    await world.pager._desk.change("default", advance)
    await world.pager._desk.change("default", lambda changes: claim(changes, {}))
    world.alive = False
    found = await world.minutes(7)
    assert found == ["message"]
    assert told(receivers) == NUMBERS[:1]


async def test_what_no_policy_takes_is_counted_once(bare):
    world = bare
    await world.alerts.receive("default", [DOWN])
    assert await world.minutes(10) == ["unrouted"]
    assert world.counted("unrouted") == 1
    await world.alerts.act(ADMIN, (await world.group()).id, "resolve", actions.resolve)
    await world.minutes(1)
    await world.alerts.receive("default", [DOWN])
    assert await world.minutes(3) == ["unrouted"], "another group is another finding"


async def test_of_two_auditors_one_looks(auditor, clock):
    assert await auditor._leads("one")
    assert not await auditor._leads("two")
    clock.advance(100)
    assert await auditor._leads("two")


@pytest.mark.usefixtures("auditor")
async def test_every_kind_is_a_series_from_the_start(instruments):
    read = instruments.registry.get_sample_value
    assert read("cmg_escalation_audit_findings_total", {"kind": "overdue"}) == 0
    assert read("cmg_escalation_audit_findings_total", {"kind": "unrouted"}) == 0
