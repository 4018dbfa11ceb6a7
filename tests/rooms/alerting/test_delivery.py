"""Messages go out once: over failures, busy receivers, kills at every step, and two monitors."""

import asyncio
import itertools
from typing import Any

import pytest

from cmg.alerting.delivery import pager as pager_module
from cmg.alerting.delivery.heartbeat import Heartbeat
from cmg.alerting.delivery.pager import LEASE_S, Pager
from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.models import Report
from cmg.alerting.store import AlertingStore, Overtaken
from support.alerting_world import TIERS, document
from support.fake_receivers import Receivers, channels_at, receiving

pytestmark = pytest.mark.usefixtures("people")
DOWN = Report(labels={"alertname": "Down", "severity": "critical", "component": "db"})


def down(name: str, way: str) -> Report:
    """A page that its route sends one way."""
    return Report(labels={"alertname": name, "severity": "critical", "way": way})


class Killed(BaseException):
    """kill -9: nothing of the process runs on."""


@pytest.fixture
async def people(configuring, admin, receivers) -> dict[str, Any]:
    """Four tiers on real adapters: SMS, voice and PagerDuty, with ntfy behind the SMS."""
    channels = channels_at(receivers.url)
    channels["sms"]["fallback"] = "ntfy"
    for name in ("ntfy", "sms", "voice", "pagerduty"):
        await configuring.put(admin, "channels", name, document("channels", channels[name]))
    contacts = [{"channel": "sms", "address": "+15550001"}, {"channel": "voice", "address": "+15550002"}]
    for who in TIERS:
        await configuring.put(admin, "responders", who, document("responders", {"name": who, "contacts": contacts}))
    steps = [{"after_minutes": minutes, "targets": [{"responder": who}]} for who, minutes in TIERS.items()]
    policy = {"name": "All", "steps": steps, "channels": {"P1": ["sms"]}}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", policy))
    await configuring.put(admin, "handling", "default", document("handling", {"wait_seconds": 0}))
    return policy


async def passed(clock, pager: Pager, seconds: float, step: float = 5.0) -> None:
    """Let time pass, a round of the pager every few seconds."""
    for _ in range(int(seconds / step)):
        clock.advance(step)
        await pager.round()


def sms(receivers: Receivers) -> list[str]:
    return [one.body["Body"].splitlines()[-1] for one in receivers.got if one.path.endswith("/Messages.json")]


async def test_nobody_answers_and_four_messages_go_out_in_an_hour(monitor, alerts, receivers, clock):
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    assert len(sms(receivers)) == 1
    await passed(clock, pager, 59 * 60, step=30)
    assert len(sms(receivers)) == 3
    await passed(clock, pager, 120, step=30)
    assert len(sms(receivers)) == len(set(sms(receivers))) == 4


async def test_a_busy_receiver_gets_it_when_it_asked_for_it(monitor, alerts, receivers, clock):
    receivers.failures = [(429, {"retry-after": "7"}, {})]
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 5)
    assert len(receivers.got) == 1
    await passed(clock, pager, 5)
    assert len(receivers.got) == 2


async def test_a_dead_channel_falls_to_the_next_and_raises_its_own_alert(monitor, alerts, receivers, clock, desk):
    receivers.failures = [(500, {}, {})] * 3
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    await passed(clock, pager, 60)
    called = [one.path.rsplit("/", 1)[1] for one in receivers.got[:4]]
    assert called == ["Messages.json"] * 3 + ["Calls.json"], "then the person's next contact"
    names = {one.name for one in (await desk.change("default", lambda changes: list(changes.world.alerts.values())))}
    assert names == {"Down", "NotificationChannelFailing"}


async def test_a_wrong_secret_is_not_tried_again(monitor, alerts, receivers):
    receivers.failures = [(401, {}, {"message": "Authenticate"})]
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    assert [one.path.rsplit("/", 1)[1] for one in receivers.got][:2] == ["Messages.json", "Calls.json"]


async def test_where_nobody_of_a_tier_can_be_reached_the_next_is_told_at_once(
    monitor, alerts, receivers, clock, configuring, admin
):
    only = {"name": "ada", "contacts": [{"channel": "sms", "address": "+15550001"}]}
    await configuring.put(admin, "responders", "ada", document("responders", only))
    receivers.failures = [(401, {}, {"message": "Authenticate"})] * 2  # her SMS, then ntfy behind it
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await passed(clock, pager, 10)
    assert [one.path.rsplit("/", 1)[1] for one in receivers.got][:3] == ["Messages.json", "ntfy", "Messages.json"]
    assert receivers.got[2].body["To"] == "+15550001", "bob's number"
    heard = sms(receivers)
    await passed(clock, pager, 29 * 60, step=30)
    assert sms(receivers)[:2] == heard[:2]
    (group,) = [one for one in await alerts.groups(admin, None, None, 9) if one.title == "Down"]
    assert (group.step, group.heard) == (2, "step 2 2.0")


async def test_where_nobody_at_all_can_be_reached_it_begins_again_until_somebody_is(
    monitor, alerts, receivers, clock, admin
):
    """A provider that is away for some minutes uses up no tier: whoever is first hears of it when it is back."""
    pager = monitor("a")
    receivers.failures = [(401, {}, {})] * 1000
    await alerts.receive("default", [DOWN])
    await passed(clock, pager, 600, step=10)
    receivers.failures, receivers.got = [], []
    await passed(clock, pager, 200, step=10)
    first = next(one for one in receivers.got if "Down" in str(one.body) and "Channel" not in str(one.body))
    assert first.path.endswith("/Messages.json")
    (group,) = [one for one in await alerts.groups(admin, None, None, 9) if one.title == "Down"]
    assert (group.step, group.heard) == (1, f"step 1 1.{group.round}")
    assert 2 <= group.round <= 5
    story = await alerts.story(admin, group.id)
    assert any("it begins again in 120 s" in one.outcome for one in story.decisions)


async def test_a_page_does_not_wait_long_for_a_busy_receiver_where_there_is_another(monitor, alerts, receivers, clock):
    receivers.failures = [(429, {"retry-after": "600"}, {})]
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await passed(clock, pager, 10)
    assert [one.path.rsplit("/", 1)[1] for one in receivers.got[:2]] == ["Messages.json", "Calls.json"]


async def test_where_one_of_two_messages_went_out_the_next_tier_waits_its_time(
    monitor, alerts, receivers, clock, configuring, admin, people
):
    both = {**people, "channels": {"P1": ["sms", "voice"]}}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", both))
    receivers.failures = [(401, {}, {"message": "Authenticate"})] * 2
    receivers.call_status = "completed"
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await passed(clock, pager, 14 * 60, step=30)
    groups = [one for one in await alerts.groups(admin, None, None, 9) if one.title == "Down"]
    assert [(one.step, one.heard) for one in groups] == [(1, "step 1 1.0")]


async def test_an_acknowledgement_while_it_is_sent_stops_all_that_follows(monitor, alerts, receivers, clock, desk):
    receivers.failures = [(503, {}, {})]
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    await desk.change("default", lambda changes: acknowledge(changes, next(iter(changes.world.groups.values())), "ada"))
    await passed(clock, pager, 30 * 60, step=30)
    assert len(receivers.got) == 1


STEPS = ["before the claim", "after the claim", "while it is sent", "before it is kept", "after it is kept"]


@pytest.mark.parametrize("tier", range(4))
@pytest.mark.parametrize("step", STEPS)
async def test_a_kill_at_any_step_loses_no_page(monitor, alerts, receivers, clock, step, tier):
    first = monitor("first")
    await alerts.receive("default", [DOWN])
    for minutes in (15, 15, 30)[:tier]:
        await first.round()
        clock.advance(minutes * 60)
    assert len(sms(receivers)) == tier
    _arm(first, step)
    with pytest.raises(Killed):
        await first.round()
    second = monitor("second")
    await passed(clock, second, LEASE_S + 45)
    new = sms(receivers)[tier:]
    assert len(set(new)) == 1, "a repeat has the same reference"
    assert len(new) == (2 if step in {"while it is sent", "before it is kept"} else 1)


def _arm(pager: Pager, step: str) -> None:
    """Kill the process when it comes to this step."""
    desk = pager._desk
    real, sends = desk.change, pager._sender._sent

    async def change(*given, **named):
        names = given[1].__code__.co_names
        claims, settles = "claim" in names, "settle" in names
        if (step == "before the claim" and claims) or (step == "before it is kept" and settles):
            raise Killed
        kept = await real(*given, **named)
        if (step == "after the claim" and claims and kept) or (step == "after it is kept" and settles):
            raise Killed
        return kept

    async def sent(*given):
        receipt = await sends(*given)
        raise Killed(receipt)

    desk.change = change
    if step == "while it is sent":
        pager._sender._sent = sent


async def test_of_two_monitors_one_pages_and_the_other_takes_over(monitor, alerts, receivers, clock):
    one, other = monitor("one"), monitor("other")
    await one.round()
    await other.round()
    assert (one.leads, other.leads) == (True, False)
    await alerts.receive("default", [DOWN])
    await asyncio.gather(one.round(), other.round())
    assert len(sms(receivers)) == 1
    await passed(clock, other, LEASE_S + 5)
    assert other.leads
    await passed(clock, other, 15 * 60, step=60)
    assert len(sms(receivers)) == 2


async def test_a_channel_never_sends_more_than_its_rate(configuring, admin, monitor, alerts, receivers, clock):
    slow = {**channels_at(receivers.url)["sms"], "per_minute": 2}
    await configuring.put(admin, "channels", "sms", document("channels", slow))
    await configuring.put(admin, "handling", "default", document("handling", {"wait_seconds": 0, "storm_groups": 99}))
    pager = monitor("a")
    await alerts.receive("default", [Report(labels={"alertname": f"A{n}", "severity": "P1"}) for n in range(5)])
    await pager.round()
    assert len(sms(receivers)) == 2
    await passed(clock, pager, 60)
    assert len(sms(receivers)) == 4
    await passed(clock, pager, 60)
    assert len(sms(receivers)) == 5


async def test_a_channel_that_does_not_answer_holds_up_no_other(
    configuring, admin, monitor, alerts, receivers, clock, monkeypatch
):
    monkeypatch.setattr(pager_module, "PATIENCE_S", 0.1)
    hook = {"kind": "webhook", "secrets": {"secret": "hush"}}
    handling = document("handling", {"wait_seconds": 0, "storm_groups": 1000})
    await configuring.put(admin, "handling", "default", handling)
    async with receiving() as silent:
        silent.speaking.clear()
        for name, url in (("quick", receivers.url), ("slow", silent.url)):
            channel = {**hook, "settings": {"url": f"{url}/{name}"}}
            await configuring.put(admin, "channels", name, document("channels", channel))
            policy = {"name": name, "steps": [{"after_minutes": 0, "targets": [{"channel": name}]}]}
            await configuring.put(admin, "escalation-policies", name, document("escalation-policies", policy))
            route = {"matchers": [{"label": "way", "value": name}], "policy": name}
            await configuring.put(admin, "routes", name, document("routes", route))
        pager = monitor("a")
        for number in range(13):
            await alerts.receive("default", [down(f"Slow{number}", "slow")])
            await passed(clock, pager, 1, step=1)
        await alerts.receive("default", [down("Quick", "quick")])
        await passed(clock, pager, 1, step=1)
        assert [one.path for one in receivers.got] == ["/quick"]
        assert len(silent.got) == 10, "ten are under way at a time"
        silent.speaking.set()
        await passed(clock, pager, 5, step=1)
    assert len(silent.got) == len({one.headers["x-cmg-delivery"] for one in silent.got}) == 13


async def test_a_call_that_nobody_picks_up_is_made_again(people, configuring, admin, monitor, alerts, receivers, clock):
    policy = {**people, "channels": {"P1": ["voice"]}, "redial_seconds": 60, "redials": 2}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", policy))
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    calls = lambda: sum(one.path.endswith("/Calls.json") for one in receivers.got)  # noqa: E731  it is read four times
    assert calls() == 1
    await passed(clock, pager, 65)
    assert calls() == 2
    receivers.call_status = "completed"
    await passed(clock, pager, 300)
    assert calls() == 2, "the second one was picked up"


async def test_pagerduty_hears_of_an_acknowledgement_and_the_end(configuring, admin, monitor, alerts, receivers, desk):
    policy = {"name": "PD", "steps": [{"after_minutes": 0, "targets": [{"channel": "pagerduty"}]}]}
    await configuring.put(admin, "escalation-policies", "default", document("escalation-policies", policy))
    pager = monitor("a")
    await alerts.receive("default", [DOWN])
    await pager.round()
    await desk.change("default", lambda changes: acknowledge(changes, next(iter(changes.world.groups.values())), "ada"))
    await pager.round()
    await alerts.receive("default", [Report(labels=DOWN.labels, firing=False)])
    await pager.round()
    events = [one.body for one in receivers.got]
    assert [one["event_action"] for one in events] == ["trigger", "acknowledge", "resolve"]
    assert len({one["dedup_key"] for one in events}) == 1


async def test_the_watchdog_calls_while_all_works_and_is_silent_when_it_does_not(
    configuring, admin, monitor, receivers, clock, instruments, session
):
    check = {"url": f"{receivers.url}/beat", "every_seconds": 60}
    await configuring.put(admin, "heartbeats", "outside", document("heartbeats", check))
    pager, wrong = monitor("a"), [""]
    watchdog = Heartbeat(pager._desk, lambda: wrong[0], clock, instruments, lambda: session)
    await pager.round()
    for _ in range(24):
        clock.advance(5)
        await watchdog.round()
    assert len(receivers.got) == 2
    wrong[0] = "the pager is 90 s late"
    for _ in range(24):
        clock.advance(5)
        await watchdog.round()
    assert len(receivers.got) == 2


async def test_claims_that_another_process_overtook_use_up_no_channel(monitor, alerts, receivers, clock, monkeypatch):
    """A claim is decided again then: what was counted for the first one would never be given back."""
    write, claims = AlertingStore.write, itertools.count()

    async def overtaken(store, conn, changes, *rest, **more):
        claiming = any(one.state == "sending" for one in changes.notifications.values())
        if claiming and next(claims) % 3 < 2:
            raise Overtaken
        await write(store, conn, changes, *rest, **more)

    monkeypatch.setattr(AlertingStore, "write", overtaken)
    pager = monitor("a")
    for number in range(5):
        await alerts.receive("default", [Report(labels={"alertname": f"A{number}", "severity": "critical"})])
        await passed(clock, pager, 65, step=5)
    assert len(sms(receivers)) == 5
    await passed(clock, pager, 15 * 60, step=30)
    assert len(set(sms(receivers))) == 10, "the next tier of each as well"
