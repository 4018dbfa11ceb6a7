"""Drills beside the real thing: practice is told apart, wakes nobody, and what stays is real."""

import pytest

from cmg.alerting.alerts import Story
from cmg.alerting.delivery.sender import QUIET_RECEIPT
from cmg.alerting.models import Report
from cmg.kit.clock import rfc3339
from support.alerting_world import TIERS, Script, document
from support.fake_receivers import channels_at
from support.manual_clock import START

DRILL = {
    "matchers": [{"label": "quantity", "op": "=~", "value": "database|disk"}],
    "starts_at": rfc3339(START),
    "ends_at": rfc3339(START + 600),
    "minute_seconds": 2,
}


@pytest.fixture
def script() -> Script:
    made = Script()
    made.configure("drills", "gone", DRILL)
    return made


def test_an_alert_of_the_drill_is_marked_and_escalated_at_its_pace(script):
    script.fire(quantity="database")
    script.to(65)
    assert script.group.drill == "gone"
    assert [second for second, _ in script.told() if second][:2] == [30, 30], "15 minutes are 30 s"
    assert {one.facts["drill"] for _, one in script.sent} == {"quiet"}
    assert all(one.subject.startswith("[P1] DRILL, nothing is wrong: ") for _, one in script.sent)


def test_other_alerts_are_real_and_never_join_the_drill(script):
    script.fire(quantity="database", component="db")
    script.fire("Other", component="db", quantity="cpu")
    groups = sorted(one.drill for one in script.world.groups.values())
    assert groups == ["", "gone"]
    real = [one for _, one in script.sent if "drill" not in one.facts]
    assert {one.target for one in real} == {"responder:ada"}


def test_what_began_before_the_drill_is_real():
    script = Script()
    script.fire(quantity="database")
    later = {**DRILL, "starts_at": rfc3339(START + 60)}
    script.configure("drills", "gone", later)
    script.to(90)
    script.fire(quantity="database")
    assert script.group.drill == ""


@pytest.mark.parametrize("end", ["removed", "over"])
def test_what_still_fires_after_the_drill_pages_from_the_first_step(script, end):
    script.fire(quantity="database")
    script.to(300)
    if end == "removed":
        script.configure("drills", "gone", None)
    script.to(660)
    real = [(one.target, one.channel) for _, one in script.sent if "drill" not in one.facts]
    first = next(iter(TIERS))
    assert real == [(f"responder:{first}", "sms"), (f"responder:{first}", "voice")]
    assert script.group.drill == ""
    assert script.group.round == 1


def test_a_drill_that_was_over_in_time_leaves_nothing(script):
    script.fire(quantity="database")
    script.to(60)
    script.cease(quantity="database")
    script.to(1200)
    assert script.world.groups == {}
    assert not [one for _, one in script.sent if "drill" not in one.facts]


@pytest.fixture
def paged_drill(configuring, admin, monitor, alerts, receivers, clock):
    """Runs a drill on a real sender; returns the story of its group."""

    async def run(*, page: bool) -> Story:
        sms = channels_at(receivers.url)["sms"]
        await configuring.put(admin, "channels", "sms", document("channels", sms))
        contacts = [{"channel": "sms", "address": "+15550001"}]
        await configuring.put(admin, "responders", "ada", document("responders", {"name": "A", "contacts": contacts}))
        steps = [{"after_minutes": minutes, "targets": [{"responder": "ada"}]} for minutes in (0, 15)]
        policy = document("escalation-policies", {"name": "All", "steps": steps})
        await configuring.put(admin, "escalation-policies", "default", policy)
        await configuring.put(admin, "handling", "default", document("handling", {"wait_seconds": 0}))
        await configuring.put(admin, "drills", "gone", document("drills", {**DRILL, "page": page}))
        await alerts.receive("default", [Report(labels={"alertname": "Gone", "severity": "P1", "quantity": "disk"})])
        pager = monitor("a")
        for _ in range(8):
            await pager.round()
            clock.advance(5)
        (group,) = await alerts.groups(admin, None, None, 10)
        return await alerts.story(admin, group.id)

    return run


@pytest.mark.parametrize(("page", "calls"), [(False, 0), (True, 2)])
async def test_messages_of_a_drill_are_sent_only_when_it_says_so(paged_drill, receivers, page, calls):
    story = await paged_drill(page=page)
    assert len(receivers.got) == calls
    receipts = {one.receipt for one in story.notifications}
    assert (receipts == {QUIET_RECEIPT}) is not page
    assert {one.state for one in story.notifications} == {"sent"}
