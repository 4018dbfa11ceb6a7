"""The stages of an alert's life, in scripted time: what is told, what is held, and the reason that is kept."""

from datetime import UTC, datetime, timedelta

import pytest

from cmg.alerting.escalation.actions import acknowledge
from cmg.alerting.evaluation.rule_files import catalogue
from cmg.alerting.models import Report, fingerprint, severity_of
from cmg.alerting.world import Changes
from cmg.timeseries.rules.files import AlertingRule
from support.alerting_world import Script
from support.manual_clock import START

MINUTE = 60


def moment(second: float) -> str:
    return (datetime.fromtimestamp(START, UTC) + timedelta(seconds=second)).isoformat()


def equal(label: str, value: str, op: str = "=") -> dict[str, str]:
    return {"label": label, "op": op, "value": value}


def test_fingerprint_is_the_one_that_prometheus_gives():
    # from Prometheus' common/model: LabelSet{"first-label": …} hashes as FNV-1a; the empty set is the offset itself
    assert fingerprint({}) == "cbf29ce484222325"
    assert fingerprint({"b": "2", "a": "1"}) == fingerprint({"a": "1", "b": "2"})
    assert fingerprint({"a": "1"}) != fingerprint({"a1": ""})


@pytest.mark.parametrize(
    ("word", "severity"),
    [("critical", "P1"), ("P2", "P2"), ("high", "P2"), ("warning", "P3"), ("info", "P4"), ("", "P3"), ("odd", "P3")],
)
def test_words_of_other_systems_become_severities(word, severity):
    assert severity_of({"severity": word}) == severity


def test_an_alert_that_is_reported_again_is_told_of_once():
    script = Script()
    for _ in range(5):
        script.fire()
    assert script.told() == [(0, "ada sms"), (0, "ada voice")]
    assert script.world.alerts[fingerprint({"alertname": "Down", "severity": "critical"})].reports == 5


def test_the_end_of_what_was_never_told_of_is_no_news():
    script = Script()
    script.cease()
    assert not script.world.alerts
    assert not script.decisions


def test_a_silence_holds_and_when_it_ends_people_are_told():
    script = Script()
    silence = {"matchers": [equal("alertname", "Do.*", "=~")], "starts_at": moment(0), "ends_at": moment(600)}
    script.configure("silences", "quiet", {**silence, "comment": "we know"})
    script.fire()
    script.to(585)
    assert script.told() == []
    assert script.reasons("silences")[0].startswith('silence quiet (we know) matches alertname=~"Do.*" until')
    script.to(600)
    assert script.told() == [(600, "ada sms"), (600, "ada voice")]


def test_a_silence_that_is_made_later_holds_the_next_step():
    script = Script()
    script.fire()
    script.to(300)
    quiet = {"matchers": [equal("alertname", "Down")], "starts_at": moment(0), "ends_at": moment(40 * MINUTE)}
    script.configure("silences", "late", quiet)
    script.to(39 * MINUTE)
    assert [who for _, who in script.told()] == ["ada sms", "ada voice"]
    script.to(42 * MINUTE)
    assert "bob sms" in [who for _, who in script.told()]


def test_an_inhibition_holds_what_another_alert_explains():
    script = Script()
    rule = {"source": [equal("alertname", "DatabaseDown")], "target": [equal("severity", "warning")], "equal": ["zone"]}
    script.configure("inhibitions", "database", rule)
    script.fire("DatabaseDown", zone="a")
    script.fire("Slow", "warning", zone="a")
    script.fire("Slow", "warning", zone="b")
    assert script.told("page")[2:] == [(0, "ada email"), (0, "ada slack")], "only the one in the other zone"
    script.cease("DatabaseDown", zone="a")
    script.to(30)
    assert len([one for one in script.world.alerts.values() if one.firing and not one.held]) == 2


def test_of_the_services_own_thresholds_the_worst_one_is_told():
    """As Alertmanager does by the rendered configuration, so does the service that evaluates its rules itself."""
    script, here = Script(), {"job": "cmg", "instance": "a:8000"}
    script.fire("CpuUseAbove90Percent", "P2", **here)
    script.fire("CpuUseAbove70Percent", "P3", **here)
    script.fire("CpuUseAbove70Percent", "P3", job="cmg", instance="b:8000")
    held = {(one.name, one.labels["instance"]) for one in script.world.alerts.values() if one.held}
    assert held == {("CpuUseAbove70Percent", "a:8000")}


def test_the_services_own_alerts_about_one_component_are_one_group():
    script = Script()
    every = [rule for file in catalogue() for group in file.groups for rule in group.rules]
    rules = [rule for rule in every if isinstance(rule, AlertingRule)]
    labels = {rule.name: {name: one.text for name, one in rule.labels.items()} for rule in rules}
    for name in ("DatabaseAway", "DatabaseSlowStatements", "DatabaseDeadlocks"):
        script.report(Report(labels={"alertname": name, **labels[name]}))
    assert (script.group.alerts, script.group.labels["component"]) == (3, "database")


def test_an_inhibition_never_matches_on_labels_that_are_missing():
    script = Script()
    rule = {"source": [equal("alertname", "DatabaseDown")], "target": [equal("severity", "warning")], "equal": ["zone"]}
    script.configure("inhibitions", "database", rule)
    script.fire("DatabaseDown")
    script.fire("Slow", "warning")
    assert script.reasons("inhibition")[-1] == "no firing alert inhibits it"
    assert not any(one.held for one in script.world.alerts.values())


def test_an_alert_never_inhibits_itself_or_its_likes():
    script = Script()
    everything = [equal("severity", "critical")]
    script.configure("inhibitions", "all", {"source": everything, "target": everything})
    script.fire("A")
    script.fire("B")
    assert not any(one.held for one in script.world.alerts.values())


def test_what_flaps_is_told_of_once_and_held_until_it_calms_down():
    script = Script()
    script.configure("handling", "default", {"wait_seconds": 0, "flapping_enter": 6, "flapping_leave": 2})
    for turn in range(12):
        (script.fire if turn % 2 == 0 else script.cease)()
        script.to(script.now_s + 30)
    assert len(script.told("page")) == 3 * 2, "three beginnings before the sixth turn, by SMS and voice"
    assert len(script.told("flapping")) == 2
    script.to(2 * 3600)
    assert not script.world.groups, "it calmed down, resolved"
    assert any(reason.startswith("it calmed down") for reason in script.reasons("flapping"))


@pytest.mark.parametrize("enter", [5, 6])
def test_what_begins_to_flap_in_a_group_that_was_told_is_told_of_once(enter):
    """Whether the turn that is too many is a beginning or an end."""
    script = Script()
    script.configure("handling", "default", {"wait_seconds": 0, "flapping_enter": enter, "flapping_leave": 1})
    script.fire(host="steady")
    for turn in range(10):
        (script.fire if turn % 2 == 0 else script.cease)(host="odd")
        script.to(script.now_s + 20)
    assert [who for _, who in script.told("flapping")] == ["ada sms", "ada voice"]
    assert len(script.told("page")) == 2


def test_what_flaps_and_then_stays_is_escalated():
    script = Script()
    for turn in range(7):
        (script.fire if turn % 2 == 0 else script.cease)()
        script.to(script.now_s + 30)
    before = len(script.sent)
    script.to(2 * 3600)
    assert [who for _, who in script.told()[before:]][:2] == ["bob sms", "bob voice"]


def test_alerts_of_equal_labels_are_one_group_and_one_message():
    script = Script()
    script.configure("handling", "default", {"wait_seconds": 10})
    script.report(*(Report(labels={"alertname": "Down", "severity": "P1", "host": str(n)}) for n in range(50)))
    script.to(15)
    assert script.told() == [(15, "ada sms"), (15, "ada voice")]
    assert script.sent[0][1].subject == "[P1] Down (50 alerts)"


def test_neighbours_in_the_component_graph_are_one_group():
    script = Script()
    graph = [{"component": "gateway", "needs": "database"}]
    script.configure("handling", "default", {"wait_seconds": 0, "components": graph})
    script.fire("DatabaseDown", component="database")
    script.to(60)
    script.fire("Errors", component="gateway")
    assert script.group.alerts == 2
    assert "its component gateway is a neighbour of database" in script.reasons("grouping")[-1]


def test_nothing_joins_a_group_that_is_resolved():
    script = Script()
    script.fire()
    first = script.group.id
    script.cease()
    assert not script.world.groups
    script.fire()
    assert script.group.id != first
    assert len(script.told("page")) == 4


def test_a_storm_is_one_group():
    script = Script()
    for number in range(40):
        script.fire(f"A{number}", "warning", component=f"c{number}")
    assert len(script.world.groups) == 5
    assert sum(one.alerts for one in script.world.groups.values()) == 40
    assert len(script.told()) == 10


def test_a_more_urgent_alert_in_a_group_pages_though_it_was_acknowledged():
    script = Script()
    script.fire("Slow", "warning", component="api")
    script.acknowledge()
    script.fire("Down", "critical", component="api")
    assert script.told("page")[-2:] == [(0, "ada sms"), (0, "ada voice")]
    assert (script.group.status, script.group.severity) == ("open", "P1")


def test_an_alert_ends_by_itself_when_its_reporter_said_so():
    script = Script()
    script.report(Report(labels={"alertname": "Push", "severity": "P3"}, ends_at=START + 120))
    script.to(119)
    assert script.world.groups
    script.to(121)
    assert not script.world.groups


def test_without_a_policy_it_says_that_nobody_can_be_told_and_takes_it_up_later():
    script = Script(documents={"handling": {"default": {"wait_seconds": 0}}})
    script.fire()
    assert script.reasons("routing") == ["no route matches and there is no policy `default`: nobody can be told"]
    for kind, named in Script().documents.items():
        for name, one in named.items():
            script.configure(kind, name, one)
    script.to(15)
    assert script.told() == [(15, "ada sms"), (15, "ada voice")]


def routed(script: Script) -> Script:
    """Team b has a policy of its own; what team c reports is never more urgent than P4."""
    steps = [{"after_minutes": 0, "targets": [{"responder": "bob"}]}]
    script.configure("escalation-policies", "b", {"name": "B", "steps": steps})
    script.configure("routes", "b", {"order": 1, "matchers": [equal("team", "b")], "policy": "b"})
    calm = {"order": 2, "matchers": [equal("team", "c")], "policy": "default", "severity": "P4"}
    script.configure("routes", "c", calm)
    return script


def test_the_same_alert_of_two_teams_is_told_to_both():
    script = routed(Script())
    script.fire(component="api", team="a")
    script.fire(component="api", team="b")
    assert [who for _, who in script.told()] == ["ada sms", "ada voice", "bob sms", "bob voice"]


def test_a_storm_of_one_team_swallows_no_alert_of_another():
    script = routed(Script())
    for number in range(9):
        script.fire(f"A{number}")
    before = len(script.sent)
    script.fire("Other", team="b")
    assert [who for _, who in script.told()[before:]] == ["bob sms", "bob voice"]


def test_nothing_of_a_storm_joins_what_is_answered_already():
    script = Script()
    for number in range(6):
        script.fire(f"A{number}")
    changes = Changes(script.world, script.start)
    for one in list(script.world.groups.values()):
        acknowledge(changes, one, "ada")
    before = len(script.sent)
    for number in range(6, 12):
        script.fire(f"A{number}")
    assert [who for _, who in script.told()[before:]] == ["ada sms", "ada voice"], "one more group, and one page of it"


def test_what_a_route_says_of_urgency_holds_for_every_alert_of_a_group():
    script = routed(Script())
    script.fire(team="c", host="1")
    script.fire(team="c", host="2")
    script.to(60)
    assert script.group.severity == "P4"
    assert script.told() == [(0, "ada email")]
