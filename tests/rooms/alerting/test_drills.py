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


def after(quantities: str) -> dict[str, object]:
    """A drill that comes behind the other one."""
    named = {"label": "quantity", "op": "=~", "value": quantities}
    return {**DRILL, "matchers": [named], "starts_at": rfc3339(START + 300), "ends_at": rfc3339(START + 900)}


def hand_over(script: Script, quantities: str) -> None:
    """It fires in one drill, which another one follows."""
    script.fire(quantity="database")
    script.to(300)
    script.configure("drills", "after", after(quantities))
    script.configure("drills", "gone", None)
    script.to(400)


def test_what_the_next_drill_names_as_well_is_practice_until_that_one_is_over(script):
    hand_over(script, "database|cpu")
    assert script.group.drill == "after"
    assert not [one for _, one in script.sent if "drill" not in one.facts]
    script.to(960)
    assert script.group.drill == ""
    assert [one.target for _, one in script.sent if "drill" not in one.facts][:1] == [f"responder:{next(iter(TIERS))}"]


def test_what_the_next_drill_does_not_name_is_real_at_once(script):
    hand_over(script, "cpu")
    assert (script.group.drill, script.group.round) == ("", 1)
    assert [one for _, one in script.sent if "drill" not in one.facts]


def test_a_group_is_handed_over_only_when_the_next_drill_names_all_of_it(script):
    script.fire("Disk", quantity="disk", component="db")
    script.fire("Other", quantity="database", component="db")
    script.to(300)
    script.configure("drills", "after", after("database"))
    script.configure("drills", "gone", None)
    script.to(400)
    assert {one.drill for one in script.world.groups.values()} == {""}


@pytest.fixture
def faultless() -> Script:
    """A drill of which the fault was on for a minute."""
    made = Script()
    made.configure("drills", "gone", {**DRILL, "alerts_until": rfc3339(START + 60)})
    return made


def tell_of(script: Script, since_s: float, **labels: str) -> None:
    told = {"alertname": "Down", "severity": "critical", **labels}
    script.report(Report(labels=told, starts_at=script.start + script.now_s, since=script.start + since_s))


@pytest.mark.parametrize(("since_s", "drill"), [(-1, ""), (50, "gone"), (61, "")])
def test_a_rule_that_waited_tells_of_the_time_of_the_fault(faultless, since_s, drill):
    """It begins to fire when the fault is off; what counts is when it began to be true."""
    faultless.to(120)
    tell_of(faultless, since_s, quantity="database")
    assert faultless.group.drill == drill
    assert bool([one for _, one in faultless.sent if "drill" not in one.facts]) is (drill == "")


def test_what_fires_still_when_the_aftermath_is_over_is_real(faultless):
    faultless.to(120)
    tell_of(faultless, 50, quantity="database")
    faultless.to(660)
    assert faultless.group.drill == ""
    assert [one for _, one in faultless.sent if "drill" not in one.facts]


def test_a_drill_that_is_on_has_what_begins_before_the_aftermath_of_another(faultless):
    faultless.configure("drills", "zeal", {**DRILL, "starts_at": rfc3339(START + 100)})
    faultless.to(120)
    tell_of(faultless, 50, quantity="database")
    assert faultless.group.drill == "zeal"


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
