"""The rule files are whole: known metrics; severity, category, runbook, a firing and a silent case for each alert."""

import re
import subprocess
from pathlib import Path

import msgspec
import pytest

from cmg.catalogue.metrics import METRICS
from cmg.catalogue.rendering.rendering import rendered, rule_files
from cmg.catalogue.routing import CATEGORIES, INHIBITIONS, SEVERITIES
from cmg.catalogue.slos import BURN_RATES, OBJECTIVES
from cmg.incidents.alerts.rules import DEPENDS
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Negation, Node, Selector, Subquery
from cmg.timeseries.rules.files import AlertingRule, RecordingRule, Rule, RuleFile
from cmg.timeseries.rules.trials.files import TrialFile
from conftest import require
from house.tree import ROOT, SOURCE

FOLDER, RUNBOOKS = SOURCE / "catalogue" / "rules", SOURCE / "catalogue" / "runbooks"
DEPLOY = ROOT / "deploy"
TESTS = sorted((ROOT / "tests" / "rules").glob("*.test.yml"))
# What others export, and what scrapes themselves and rules tell.
OF_OTHERS = re.compile(r"(up|ALERTS|ALERTS_FOR_STATE|(kube|node|pg|redis)_[a-z_A-Z]+)$")
HEADINGS = ("## What it means", "## Impact", "## First checks", "## Mitigation", "## Escalation")
FILES = {name: RuleFile.parse(text, name) for name, text in rule_files().items()}


def _rules() -> list[tuple[str, Rule]]:
    return [(name, rule) for name, file in FILES.items() for group in file.groups for rule in group.rules]


def _alerts() -> dict[str, AlertingRule]:
    return {rule.alert: rule for _, rule in _rules() if isinstance(rule, AlertingRule)}


def _named(node: Node) -> set[str]:
    """The metrics that an expression reads."""
    match node:
        case Selector():
            return {one.value for one in node.matchers if one.name == "__name__" and one.op == "="}
        case Call():
            return set().union(*map(_named, node.arguments)) if node.arguments else set()
        case Binary():
            return _named(node.left) | _named(node.right)
        case Aggregate():
            return _named(node.body) | (set() if node.parameter is None else _named(node.parameter))
        case Subquery() | Negation():
            return _named(node.body)
        case _:
            return set()


def _series() -> set[str]:
    names = {rule.record for _, rule in _rules() if isinstance(rule, RecordingRule)}
    for metric in METRICS:
        names.add(metric.name)
        if metric.kind == "histogram":
            names |= {f"{metric.name}_{suffix}" for suffix in ("bucket", "sum", "count")}
    return names


def test_every_metric_of_a_rule_is_in_the_catalogue_or_an_exporters():
    known = _series()
    strange = {
        f"{file}: {rule.name}": found
        for file, rule in _rules()
        if (found := {one for one in _named(parse(rule.expr)) if one not in known and not OF_OTHERS.fullmatch(one)})
    }
    assert not strange


def test_every_recorded_series_is_read_or_kept_for_dashboards():
    read = set().union(*(_named(parse(rule.expr)) for _, rule in _rules()))
    text = "".join(file.read_text() for file in (SOURCE / "catalogue").rglob("*.py")) + "".join(
        file.read_text() for file in RUNBOOKS.glob("*.md")
    )
    recorded = {rule.record for _, rule in _rules() if isinstance(rule, RecordingRule)}
    unused = {one for one in recorded if one not in read and one not in text and not one.startswith("slo:")}
    assert not unused


def test_every_alert_has_severity_category_and_a_whole_runbook():
    severities, wrong = {one.name for one in SEVERITIES}, []
    for name, rule in _alerts().items():
        severity, category = rule.labels["severity"].text, rule.labels["category"].text
        runbook = RUNBOOKS.parent / rule.annotations["runbook_url"].text
        text = runbook.read_text() if runbook.is_file() else ""
        whole = all(heading in text for heading in HEADINGS) and name in text and "```sh" in text
        if severity not in severities or category not in CATEGORIES or not whole or "summary" not in rule.annotations:
            wrong.append((name, severity, category, runbook.name))
    assert not wrong


# These tell the component of their series, or are about a machine that is whatever it is.
ANY_COMPONENT = {
    "ServiceCritical",
    "ServiceUnhealthy",
    "ComponentDegraded",
    "ProbeLies",
    "HealthNotLookedAt",
    "TargetDown",
}


def test_every_alert_says_which_component_it_is_about():
    """By it alerts become one group, and groups one incident."""
    said = {name: rule.labels["component"].text for name, rule in _alerts().items() if "component" in rule.labels}
    assert set(_alerts()) - set(said) == ANY_COMPONENT
    assert DEPENDS.keys() <= set(said.values())


def test_names_of_alerts_are_unique_and_camel_case():
    names = [rule.alert for _, rule in _rules() if isinstance(rule, AlertingRule)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"(?:[A-Z][a-z0-9]*)+", name) for name in names)


def test_no_runbook_tells_of_an_alert_that_is_gone():
    told = {
        name
        for file in RUNBOOKS.glob("*.md")
        for line in file.read_text().splitlines()
        if line.startswith("Alerts: ")
        for name in line.removeprefix("Alerts: ").rstrip(".").split(", ")
    }
    assert told == set(_alerts())


def test_every_alert_is_tried_firing_and_silent():
    firing, silent = set[str](), set[str]()
    for file in TESTS:
        for trial in TrialFile.read(file).trials:
            for case in trial.alert_rule_test or []:
                (firing if case.exp_alerts else silent).add(case.alertname)
    assert firing == set(_alerts())
    assert silent == set(_alerts())


def test_inhibitions_name_alerts_that_exist_and_labels_that_both_have():
    known = _alerts()
    for one in INHIBITIONS:
        assert {one.source, *one.targets} <= known.keys(), one


def test_burn_rates_follow_the_objectives():
    alerts = {rule.expr: rule.labels["severity"].text for name, rule in _alerts().items() if "Burn" in name}
    for objective in OBJECTIVES:
        for burn in BURN_RATES:
            wanted = [f'slo:errors:ratio_{window}{{slo="{objective.name}"}} > {burn.rate:g} * {objective.budget:g}'
                      for window in (burn.long, burn.short)]  # fmt: skip
            found = [severity for expr, severity in alerts.items() if all(one in expr for one in wanted)]
            assert found == [burn.severity], (objective.name, burn)


def test_rendered_files_are_as_the_catalogue_says():
    differing = [path for path, text in rendered().items() if (DEPLOY / path).read_text() != text]
    assert not differing, "run `cmg catalogue render`"
    rules = {file.name for file in (DEPLOY / "prometheus" / "rules").glob("*.yml")}
    assert rules == set(rule_files())


def _run(*command: str | Path) -> str:
    done = subprocess.run([*command], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration_and_rules():
    require("promtool")
    _run("promtool", "check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    _run("promtool", "check", "rules", *sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")))


def test_prometheus_takes_the_configuration_for_clusters(tmp_path: Path):
    """Debian's Prometheus is built without discovery in Kubernetes: the rest of the file is checked."""
    require("promtool")
    told = msgspec.yaml.decode((DEPLOY / "prometheus" / "prometheus-kubernetes.yml").read_bytes())
    for one in (*told["scrape_configs"], *told["alerting"]["alertmanagers"]):
        assert one.pop("kubernetes_sd_configs") == [{"role": "endpoints"}]
        one["static_configs"] = [{"targets": ["here:1"]}]
    told["rule_files"] = []
    file = tmp_path / "prometheus.yml"
    file.write_bytes(msgspec.yaml.encode(told))
    _run("promtool", "check", "config", file)
    jobs = {one["job_name"] for one in told["scrape_configs"]}
    assert jobs == {"cmg", "cmg-workspaces", "kube-state-metrics", "node", "postgres", "redis"}


@pytest.mark.parametrize("severity", [one.name for one in SEVERITIES])
def test_alertmanager_routes_each_severity_to_its_receiver(severity: str):
    require("amtool")
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    _run("amtool", "check-config", file)
    routed = _run("amtool", "config", "routes", "test", "--config.file", file, f"severity={severity}", "alertname=x")
    assert routed.strip() == severity.lower()


def test_alertmanager_routes_what_has_no_severity_too():
    require("amtool")
    file = DEPLOY / "alertmanager" / "alertmanager.yml"
    assert _run("amtool", "config", "routes", "test", "--config.file", file, "alertname=x").strip() == "p4"
