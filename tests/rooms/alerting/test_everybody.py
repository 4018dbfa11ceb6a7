"""A SEV-1 incident calls every tier at once, in scripted time; a P1 alone does not, and nobody is called twice."""

from typing import Any

import pytest

from cmg.alerting.escalation.actions import acknowledge, resolve
from cmg.alerting.models import Report
from support.alerting_world import TIERS, Script, tiers
from support.manual_clock import START

ALL = {f"{who} {kind}" for who in TIERS for kind in ("sms", "voice")}
HOUR = 3600


def call(*groups: str, firing: bool = True, name: str = "INC-1", followed_s: float | None = None) -> Report:
    """What incidents report while a SEV-1 is open; `followed_s`: the second of the script up to which they looked."""
    labels = {"alertname": "IncidentDeclared", "severity": "P1", "sev": "SEV-1", "cmg_incident": name}
    about = {"summary": f"{name}: everything is down", "cmg_groups": " ".join(groups)}
    if followed_s is not None:
        about["cmg_followed"] = f"{START + followed_s:.0f}"
    return Report(labels=labels, annotations=about, firing=firing)


def group_of(script: Script, title: str) -> Any:
    return next(one for one in script.world.groups.values() if title in one.title)


def act(script: Script, what: Any, title: str) -> None:
    script._step(lambda changes: what(changes, group_of(script, title), "ada"))


def told_at(script: Script, second: float) -> set[str]:
    return {who for at, who in script.told("page") if at == second}


def test_a_p1_alone_calls_the_first_tier_alone():
    script = Script()
    script.fire("Down")
    assert told_at(script, 0) == {"ada sms", "ada voice"}


def test_a_declared_sev_1_calls_every_tier_at_once_each_once():
    script = Script()
    script.report(call())
    assert told_at(script, 0) == ALL
    assert len(script.told("page")) == len(ALL)
    for _ in range(4):
        script.report(call())
        script.to(script.now_s + 15)
    script.to(HOUR - 60)
    assert len(script.told()) == len(ALL), "neither repeated reports nor the tiers' minutes call anybody again"


@pytest.mark.parametrize("labels", [{"incident": "SEV-1"}, {"incident": "sev-1"}])
def test_a_rule_that_says_sev_1_calls_every_tier_itself(labels):
    script = Script()
    script.fire("AllDown", **labels)
    assert told_at(script, 0) == ALL
    other = Script()
    other.fire("Down", incident="SEV-2")
    assert told_at(other, 0) == {"ada sms", "ada voice"}


def test_when_a_rule_called_everybody_the_incidents_own_call_calls_nobody_again():
    script = Script()
    script.fire("AllDown", incident="SEV-1")
    script.to(20)
    script.report(call(group_of(script, "AllDown").id))
    script.to(HOUR - 60)
    assert len(script.told()) == len(ALL)
    script.to(HOUR + 120)
    assert [who for _, who in script.told("remind")] == ["sam sms", "sam voice"], "one of the two reminds"


def test_raised_from_sev_2_the_tiers_that_were_not_called_yet_are_called():
    script = Script()
    script.fire("Down")
    script.to(300)
    script.report(call(group_of(script, "Down").id))
    assert told_at(script, 300) == ALL - {"ada sms", "ada voice"}
    script.to(HOUR - 60)
    assert len(script.told("page")) == len(ALL), "the alert's own escalation calls nobody a second time"


def test_raised_after_the_second_tier_was_called():
    script = Script()
    script.fire("Down")
    script.to(16 * 60)
    script.report(call(group_of(script, "Down").id))
    assert told_at(script, 16 * 60) == {"mia sms", "mia voice", "sam sms", "sam voice"}


def test_who_answers_one_message_of_the_incident_answers_all():
    for title in ("Down", "INC-1"):
        script = Script()
        script.fire("Down")
        script.to(60)
        script.report(call(group_of(script, "Down").id))
        act(script, acknowledge, title)
        assert {one.status for one in script.world.groups.values()} == {"acknowledged"}
        count = len(script.told())
        script.to(50 * 60)
        assert len(script.told()) == count


def test_an_acknowledgement_that_expires_calls_every_tier_again_once():
    script = Script()
    script.fire("Down")
    script.report(call(group_of(script, "Down").id))
    act(script, acknowledge, "INC-1")
    script.to(HOUR + 120)
    again = [who for at, who in script.told("page") if at >= HOUR]
    assert sorted(again) == sorted(ALL)


def test_lowered_and_raised_again_nobody_is_called_twice_for_the_same_incident():
    script = Script()
    script.report(call())
    script.to(600)
    script.report(call(firing=False))
    assert not script.world.groups
    script.to(900)
    script.report(call())
    script.to(HOUR)
    assert len(script.told("page")) == len(ALL)
    script.to(900 + HOUR + 30)
    assert script.told("remind"), "but it is not forgotten: it reminds"


def test_resolved_by_hand_while_the_incident_is_open_nobody_is_called_again():
    script = Script()
    script.report(call())
    act(script, resolve, "INC-1")
    script.to(30)
    script.report(call())
    script.to(600)
    assert len(script.told("page")) == len(ALL)


def test_another_sev_1_calls_everybody_for_itself():
    script = Script()
    script.report(call())
    script.to(60)
    script.report(call(name="INC-2"))
    assert told_at(script, 60) == ALL
    assert len(script.world.groups) == 2


def test_neither_a_storm_nor_a_component_swallows_the_call_or_is_swallowed_by_it():
    script = Script()
    for number in range(6):
        script.fire(f"Down{number}", component=f"c{number}")
    script.report(call())
    assert told_at(script, 0) >= ALL
    quiet = Script()
    quiet.report(call())
    for number in range(8):
        quiet.fire(f"Down{number}", component=f"c{number}")
    assert group_of(quiet, "INC-1").alerts == 1


def test_when_the_incident_is_over_its_alerts_go_on_for_themselves():
    script = Script()
    script.fire("Down")
    script.report(call(group_of(script, "Down").id))
    script.to(20 * 60)
    assert "calls everybody" in group_of(script, "Down").note
    script.report(call(firing=False))
    script.to(22 * 60)
    assert any(at > 20 * 60 and who == "bob sms" for at, who in script.told("page")), "tier 2 is due since minute 15"


def test_a_call_that_reached_nobody_holds_nobody_back():
    documents = tiers()
    ends = "2030-01-01T00:00:00Z"
    silence = {"matchers": [{"label": "cmg_incident", "value": "INC-1"}], "starts_at": "2026-01-01T00:00:00Z"}
    script = Script({**documents, "silences": {"s": {**silence, "ends_at": ends}}})
    script.fire("Down")
    script.report(call(group_of(script, "Down").id))
    script.to(16 * 60)
    assert "bob sms" in told_at(script, 15 * 60)


def test_an_alert_of_sev_1_that_joins_a_group_calls_the_tiers_that_are_missing():
    script = Script()
    script.fire("Down", component="db")
    script.to(60)
    script.fire("AllDown", component="db", incident="SEV-1")
    assert len(script.world.groups) == 1
    assert told_at(script, 60) == ALL - {"ada sms", "ada voice"}


def joined(script: Script, at_s: float, *, looked: bool) -> None:
    """A group is opened in the sixtieth second of a SEV-1; at `at_s` incidents tell that it is theirs, or is not."""
    script.report(call(followed_s=-1))
    script.to(60)
    script.fire("Late")
    script.to(at_s)
    script.report(call(*([group_of(script, "Late").id] if looked else []), followed_s=at_s - 1))


def test_a_group_that_joins_a_running_sev_1_calls_nobody_before_it_is_known_to_belong_to_it():
    script = Script()
    joined(script, 75, looked=True)
    script.to(HOUR - 60)
    assert {at for at, _ in script.told()} == {0}, "who was called for the incident is not called for the group"


def test_a_group_that_turns_out_to_be_another_matter_calls_its_first_tier_then():
    script = Script()
    joined(script, 75, looked=False)
    script.to(78)
    assert told_at(script, 78) == {"ada sms", "ada voice"}


def test_nobody_waits_for_an_incident_for_long_or_without_one():
    script = Script()
    script.report(call(followed_s=-1))
    script.to(60)
    script.fire("Late")
    script.to(120)
    late = {at for at, who in script.told("page") if who == "ada sms"} - {0}
    assert len(late) == 1
    assert 90 <= late.pop() <= 95, "who should look may be dead"
    alone = Script()
    alone.report(call())
    alone.to(60)
    alone.fire("Late")
    assert "ada sms" in told_at(alone, 60), "an older process does not say up to when it looked"
