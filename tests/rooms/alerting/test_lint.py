"""The linter finds what would fail on the day it is needed, and nothing else."""

import copy

import pytest

from cmg.alerting.evaluation.rule_files import catalogue
from cmg.alerting.setup.lint import lint_rules, lint_setup
from cmg.catalogue.metrics import METRICS
from cmg.timeseries.rules.files import RuleFile
from support.alerting_world import setup_of, tiers
from support.fake_receivers import channels_at
from support.manual_clock import START


def whole() -> dict:
    """A set-up in which nothing is wrong."""
    made = copy.deepcopy(tiers())
    known = channels_at("http://x")
    email = {"kind": "email", "settings": {"host": "x", "from": "a@b.c"}}
    made["channels"] = {"sms": known["sms"], "voice": known["voice"], "email": email, "slack": known["slack"]}
    layer = {"people": ["ada", "bob"], "starts_on": "2026-01-05"}
    made["schedules"] = {"primary": {"name": "Primary", "layers": [layer]}}
    made["escalation-policies"]["default"]["steps"][0]["targets"] = [{"schedule": "primary"}]
    made["routes"] = {"all": {"order": 9, "policy": "default"}}
    return made


def test_nothing_is_found_where_nothing_is_wrong():
    assert list(lint_setup(setup_of(whole()), START)) == []


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        (lambda made: made["channels"]["sms"].pop("secrets"), "channels/sms", "has no secrets.auth_token"),
        (lambda made: made["responders"]["mia"].update(contacts=[]), "responders/mia", "cannot be reached"),
        (lambda made: made["schedules"]["primary"]["layers"][0].update(hours="08:00-18:00"), "schedules/primary",
         "nobody is on call from 2026-11-24T18:00"),
        (lambda made: made["escalation-policies"]["default"].update(
            steps=made["escalation-policies"]["default"]["steps"][:1]), "escalation-policies/default", "ends nowhere"),
        (lambda made: made["escalation-policies"].pop("default"), "escalation-policies/default", "is not there"),
        (lambda made: made["routes"].update(late={"order": 10, "policy": "default"}), "routes/late", "is never asked"),
        (lambda made: made["channels"]["slack"].pop("secrets"), "channels/slack", "has no secrets.token or"),
        (lambda made: made["channels"]["sms"].update(fallback="voice"), "channels/sms",
         "falls back to voice, which has no settings.to"),
        (lambda made: made["responders"]["sam"].update(contacts=[{"channel": "sms"}]), "responders/sam",
         "cannot be reached"),
        (lambda made: made["escalation-policies"]["default"]["steps"][1].update(targets=[{"channel": "email"}]),
         "escalation-policies/default", "step 2 names a channel of the kind email that has no settings.to"),
        (lambda made: made["escalation-policies"]["default"]["steps"][1].update(targets=[{"channel": "email"}]),
         "escalation-policies/default", "step 2 reaches nobody"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_document(change, where, told):
    made = whole()
    change(made)
    found = list(lint_setup(setup_of(made), START))
    assert any(one.where == where and one.told.startswith(told) for one in found), found


def rules(expr: str, **rest: object) -> list[RuleFile]:
    body = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": expr, **rest}]}]}
    import json

    return [RuleFile.parse(json.dumps(body), "r.yml")]


GOOD = {"labels": {"severity": "critical", "category": "x"}, "annotations": {"runbook": "x.md"}}


def test_a_metric_that_nobody_emits_is_found():
    ratio = "rate(cmg_http_requests_total[5m]) / cmg_typo_total > 1"
    found = list(lint_rules(rules(ratio, **GOOD), {"cmg_http_requests_total"}))
    assert [one.told for one in found] == ["reads cmg_typo_total, which nobody emits"]
    histogram = rules("histogram_quantile(0.9, rate(cmg_x_seconds_bucket[5m])) > 1 or up == 0", **GOOD)
    assert list(lint_rules(histogram, {"cmg_x_seconds"})) == []


def test_an_alert_without_severity_or_runbook_is_found():
    told = [one.told for one in lint_rules(rules("up == 0"), set())]
    assert told == ["has no severity", "has no category", "has no runbook"]


def test_nothing_is_wrong_with_the_rules_that_come_with_the_service():
    assert list(lint_rules(list(catalogue()), {metric.name for metric in METRICS})) == []
