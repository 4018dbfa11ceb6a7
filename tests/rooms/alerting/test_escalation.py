"""Who is told when: severities by channels, the steps 0/15/30/60, acknowledgement, reminders, snoozing, tiers."""

from datetime import UTC, datetime

import msgspec
import pytest

from cmg.alerting.delivery.claiming import Outcome, settle
from cmg.alerting.escalation import actions
from cmg.alerting.models import Report
from cmg.alerting.world import Changes
from cmg.kit.errors import Conflict
from support.alerting_world import Script, tiers

MINUTE, HOUR = 60, 3600


def at(second: float, who: str, *channels: str) -> list[tuple[float, str]]:
    return [(second, f"{who} {channel}") for channel in channels]


@pytest.mark.parametrize(
    ("severity", "channels"),
    [("P1", ("sms", "voice")), ("P2", ("sms", "email")), ("P3", ("email", "slack")), ("P4", ("email",))],
)
def test_each_severity_has_its_channels(severity, channels):
    script = Script()
    script.fire(severity=severity)
    assert script.told() == at(0, "ada", *channels)


@pytest.mark.parametrize(("severity", "channels"), [("P1", ("sms", "voice")), ("P2", ("sms", "email"))])
def test_nobody_answers_and_every_tier_is_told_in_its_time(severity, channels):
    script = Script()
    script.fire(severity=severity)
    script.to(61 * MINUTE)
    told = {
        who: [second for second, one in script.told() if one.startswith(who)] for who in ("ada", "bob", "mia", "sam")
    }
    assert {who: seconds[0] for who, seconds in told.items()} == {"ada": 0, "bob": 900, "mia": 1800, "sam": 3600}
    assert all(len(seconds) == 2 for seconds in told.values()), "each of them once, on two channels"
    assert script.told() == [
        *at(0, "ada", *channels),
        *at(900, "bob", *channels),
        *at(1800, "mia", *channels),
        *at(3600, "sam", *channels),
    ]


def test_the_last_tier_is_told_again_every_hour():
    script = Script()
    script.fire()
    script.to(3 * HOUR + MINUTE)
    assert script.told("remind") == at(2 * HOUR, "sam", "sms", "voice") + at(3 * HOUR, "sam", "sms", "voice")


def test_p3_is_told_again_at_its_target_and_never_escalated():
    script = Script()
    script.fire(severity="P3")
    script.to(4 * HOUR + MINUTE)
    assert script.told("remind") == at(2 * HOUR, "ada", "email", "slack") + at(4 * HOUR, "ada", "email", "slack")


def test_p4_waits_for_the_next_business_day_and_skips_holidays():
    documents = tiers()
    documents["business-calendars"] = {"default": {"holidays": ["2026-12-25"], "timezone": "Europe/Berlin"}}
    eve = datetime(2026, 12, 24, 10, tzinfo=UTC).timestamp()  # a Thursday; the 25th is a holiday, then a weekend
    script = Script(documents, start=eve)
    script.fire(severity="P4")
    script.to(5 * 24 * HOUR)
    monday_evening = datetime(2026, 12, 28, 16, tzinfo=UTC).timestamp() - eve  # 17:00 in Berlin
    assert script.told("remind") == at(monday_evening, "ada", "email")


def test_an_acknowledgement_stops_everything_and_ends_after_an_hour():
    script = Script()
    script.fire()
    script.to(5 * MINUTE)
    script.acknowledge("ada")
    script.to(64 * MINUTE)
    assert len(script.told()) == 2, "only the first page"
    script.to(81 * MINUTE)
    assert script.told()[2:] == at(65 * MINUTE, "ada", "sms", "voice") + at(80 * MINUTE, "bob", "sms", "voice")
    assert any("ada acknowledged it, and it is not resolved yet" in one.event for one in script.decisions)


def test_an_acknowledgement_takes_back_what_waits_to_be_sent():
    script = Script()
    script.fire()
    waiting = script.sent[0][1]
    script.world.outbox[waiting.key] = waiting
    changes = Changes(script.world, script.start)
    actions.acknowledge(changes, script.group, "ada")
    assert changes.notifications[waiting.key].state == "cancelled"
    assert changes.notifications[waiting.key].error == "acknowledged by ada"


def test_a_snooze_ends_and_escalation_begins_again():
    script = Script()
    script.fire()
    script._step(lambda changes: actions.snooze(changes, script.group, "ada", 30))
    script.to(31 * MINUTE)
    assert script.told()[2:] == at(30 * MINUTE, "ada", "sms", "voice")


def test_a_group_that_was_resolved_by_hand_opens_anew_with_the_next_report():
    script = Script()
    script.fire()
    script._step(lambda changes: actions.resolve(changes, script.group, "ada"))
    script.to(2 * HOUR)
    assert len(script.told("page")) == 2
    script.fire()
    assert len(script.told("page")) == 4


def test_whoever_it_is_assigned_to_is_told_at_once():
    script = Script()
    script.fire()
    script._step(lambda changes: actions.reassign(changes, script.group, "ada", "mia"))
    assert script.told()[2:] == at(0, "mia", "sms", "voice")


def test_nobody_acts_on_what_is_resolved():
    script = Script()
    script.fire()
    group = script.group
    script.cease()
    with pytest.raises(Conflict):
        actions.acknowledge(Changes(script.world, script.start), script.world.groups.get(group.id, _over(group)), "ada")


def _over(group):
    return msgspec.structs.replace(group, status="resolved")


def test_a_step_that_reaches_nobody_goes_on_to_the_next_at_once():
    documents = tiers()
    layer = {"people": ["bob"], "starts_on": "2030-01-01"}
    documents["schedules"] = {"primary": {"name": "Primary", "layers": [layer]}}
    steps = documents["escalation-policies"]["default"]["steps"]
    steps[0]["targets"] = [{"schedule": "primary"}]
    script = Script(documents)
    script.fire()
    assert script.told() == at(0, "bob", "sms", "voice")
    assert "nobody is on call in primary" in script.reasons("target primary")
    script.to(31 * MINUTE)
    assert script.told()[2:] == at(30 * MINUTE, "mia", "sms", "voice")


def test_a_responder_without_the_usual_channels_is_told_on_another_one():
    documents = tiers()
    documents["responders"]["ada"]["contacts"] = [{"channel": "email", "address": "ada@email"}]
    script = Script(documents)
    script.fire()
    assert script.told() == at(0, "ada", "email")
    assert script.reasons("target ada") == ["ada: no sms and no voice → email"]


def test_a_policy_may_name_other_channels():
    documents = tiers()
    documents["escalation-policies"]["default"]["channels"] = {"P1": ["slack"]}
    script = Script(documents)
    script.fire()
    assert script.told() == at(0, "ada", "slack")


def test_a_route_leads_to_its_policy_and_may_set_the_severity():
    documents = tiers()
    policy = {"name": "Bob's", "steps": [{"after_minutes": 0, "targets": [{"responder": "bob"}]}]}
    documents["escalation-policies"]["bobs"] = policy
    matcher = {"label": "team", "op": "=", "value": "b"}
    documents["routes"] = {"b": {"order": 1, "matchers": [matcher], "policy": "bobs", "severity": "P3"}}
    script = Script(documents)
    script.fire(team="b")
    script.fire("Other", team="c")
    assert script.told() == [*at(0, "bob", "email", "slack"), *at(0, "ada", "sms", "voice")]


def test_only_quiet_channels_hear_that_it_is_over():
    script = Script()
    script.fire(severity="P2")
    script.cease(severity="P2")
    assert script.told("resolved") == at(0, "ada", "email")


def _on_call(who: str) -> dict[str, object]:
    return {"name": "Primary", "layers": [{"people": [who], "starts_on": "2026-01-01"}]}


def _gone_out(script: Script) -> None:
    """All that was told so far went through."""
    messages = [one for _, one in script.sent]
    script._step(lambda changes: settle(changes, messages, {one.key: Outcome(one.key, "ok") for one in messages}))


def test_whoever_was_told_hears_that_it_is_over_and_not_who_is_on_call_by_then():
    documents = tiers() | {"schedules": {"primary": _on_call("ada")}}
    documents["escalation-policies"]["default"]["steps"][0]["targets"] = [{"schedule": "primary"}]
    script = Script(documents)
    script.fire(severity="P3")
    script._step(lambda changes: actions.reassign(changes, script.group, "ada", "mia"))
    _gone_out(script)
    script.configure("schedules", "primary", _on_call("bob"))
    script.cease(severity="P3")
    assert script.told("resolved") == [*at(0, "ada", "email", "slack"), *at(0, "mia", "email", "slack")]


def test_who_is_just_being_told_hears_that_it_is_over_and_whom_nothing_reached_does_not():
    script = Script()
    script.fire(severity="P3")
    (_, mail), (_, slack) = script.sent
    for one, state in ((mail, "sending"), (slack, "pending")):
        script.world.outbox[one.key] = msgspec.structs.replace(one, state=state)
    script.cease(severity="P3")
    assert script.told("resolved") == at(0, "ada", "email")


def test_what_ends_before_anybody_was_told_is_never_told():
    documents = tiers()
    documents["handling"]["default"] = {"wait_seconds": 30}
    script = Script(documents)
    script.fire()
    script.to(15)
    script.cease()
    script.to(120)
    assert script.told() == []


def test_after_a_long_stop_all_that_was_due_is_done_at_once():
    script = Script()
    script.fire()
    script.now_s = 40 * MINUTE
    script._step(lambda _changes: None)
    assert [who for _, who in script.told()] == ["ada sms", "ada voice", "bob sms", "bob voice", "mia sms", "mia voice"]


@pytest.mark.parametrize("odd", ["\r\n", "\u2028", "\x85", "\x1b[2J", "\x0c", "\ufffe", "\n\n\n"])
def test_a_subject_is_one_line_without_control_characters(odd):
    """Mail and tickets refuse a subject of two lines, and XML, as calls are told in, a control character."""
    script = Script()
    labels = {"alertname": "Down", "severity": "critical"}
    script.report(Report(labels=labels, annotations={"summary": f"Disk{odd}full"}))
    subject = script.sent[0][1].subject
    assert len(subject.splitlines()) == 1
    assert not any(ord(letter) < 32 or letter in odd.strip() for letter in subject if letter not in "[2J")
    assert subject.startswith("[P1] Disk ")


def test_a_long_title_leaves_room_for_what_stands_around_it():
    script = Script()
    labels = {"alertname": "Down", "severity": "critical"}
    script.report(*(Report(labels={**labels, "host": str(n)}, annotations={"summary": "x" * 900}) for n in range(2)))
    script.to(2 * HOUR)
    (page, reminded) = script.sent[0][1].subject, script.sent[-1][1].subject
    assert (len(page), len(reminded)) == (200, 200)
    assert reminded.startswith("[P1] Still open: xxx")
    assert reminded.endswith("x (2 alerts)")
