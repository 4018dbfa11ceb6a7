"""`cmg alerts test`: what it says and how it ends."""

import json
from pathlib import Path

import pytest

from cmg.cli.commands import run

RULES = "groups: [{name: g, rules: [{alert: Large, expr: m > 1, labels: {severity: P3}}]}]"
TESTS = """
rule_files: [rules.yml]
tests:
  - interval: 1m
    input_series: [{series: m, values: '0 2'}]
    alert_rule_test:
      - {eval_time: 0m, alertname: Large, exp_alerts: []}
      - {eval_time: 1m, alertname: Large, exp_alerts: [{exp_labels: {severity: P3}}]}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    tests = tmp_path / "rules.test.yml"
    tests.write_text(TESTS)
    return tests


def test_rules_that_do_what_is_expected_are_good(file: Path, capsys: pytest.CaptureFixture[str]):
    assert run(["alerts", "test", str(file)]) == 0
    assert f"{file}: good" in capsys.readouterr().out


def test_what_differs_is_shown_and_the_answer_is_no(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(TESTS.replace("severity: P3", "severity: P1"))
    assert run(["alerts", "test", str(file)]) == 1
    shown = capsys.readouterr().out
    assert 'expected  {alertname="Large", severity="P1"}' in shown
    assert 'found     {alertname="Large", severity="P3"}' in shown
    assert run(["alerts", "test", "--json", str(file)]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["files"][str(file)][0]["what"]) == (False, "alert Large")


def test_a_file_that_is_no_rule_test_is_a_wrong_word(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(TESTS.replace("rule_files", "rules"))
    assert run(["alerts", "test", str(file)]) == 2
    assert "unknown field `rules`" in capsys.readouterr().err
