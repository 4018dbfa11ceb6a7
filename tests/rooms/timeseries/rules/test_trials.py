"""promtool's rule tests on the embedded evaluator: the same verdicts as promtool's own, and the same words."""

import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.rules.trials.files import TrialFileError
from cmg.timeseries.rules.trials.notation import NotationError, series_of, values_of
from cmg.timeseries.rules.trials.running import run
from cmg.timeseries.samples import is_stale

RULES = """
groups:
  - name: second
    rules:
      - alert: High
        expr: doubled > 10
        for: 3m
        labels: {severity: P2, at: 'x{{ $labels.job }}'}
        annotations:
          summary: '{{ $labels.job }} at {{ printf "%.1f" $value }} ({{ $value | humanize }}) in
            {{ $externalLabels.region }}'
      - alert: Away
        expr: absent(m{job="z"})
  - name: first
    rules:
      - {record: doubled, expr: 2 * m}
"""
TESTS = """
rule_files: [rules.yml]
evaluation_interval: 1m
group_eval_order: [first, second]
tests:
  - interval: 1m
    external_labels: {region: eu}
    input_series:
      - {series: 'm{job="a"}', values: '1 2 8+1x10 stale'}
      - {series: 'm{job="z"}', values: '0x3 _x2 0'}
    alert_rule_test:
      - eval_time: 4m
        alertname: High
        exp_alerts: []
      - eval_time: 7m
        alertname: High
        exp_alerts:
          - exp_labels: {job: a, severity: P2, at: 'xa'}
            exp_annotations: {summary: 'a at 26.0 (26) in eu'}
      - eval_time: 20m
        alertname: Away
        exp_alerts: [{exp_labels: {job: z}}]
    promql_expr_test:
      - expr: doubled{job="a"}
        eval_time: 5m
        exp_samples: [{labels: 'doubled{job="a"}', value: 22}]
      - expr: count(ALERTS{alertstate="pending"})
        eval_time: 3m
        exp_samples: [{labels: '{}', value: 1}]
"""
# What is changed, and whether the file still holds.
CHANGES = [
    ("", "", True),
    ("eval_time: 4m", "eval_time: 5m", False),
    ("eval_time: 4m", "eval_time: 4m59s", True),
    ("at: 'xa'", "at: 'xb'", False),
    ("severity: P2, at", "severity: P1, at", False),
    ("a at 26.0 (26) in eu", "a at 26.0 (26) in us", False),
    ("value: 22", "value: 22.5", False),
    ("[first, second]", "[second, first]", False),
    ("alertname: Away\n        exp_alerts: [{exp_labels: {job: z}}]", "alertname: Away\n        exp_alerts: []", False),
    ("8+1x10 stale", "8+1x3 stale", False),
    ("0x3 _x2 0", "0x30", False),
]


def _written(tmp_path: Path, tests: str) -> Path:
    (tmp_path / "rules.yml").write_text(RULES)
    file = tmp_path / "rules.test.yml"
    file.write_text(tests)
    return file


def _promtool(file: Path) -> "subprocess.CompletedProcess[str]":
    command = ["promtool", "test", "rules", file]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.needs("promtool")
@pytest.mark.parametrize(("before", "after", "good"), CHANGES)
async def test_verdicts_are_those_of_promtool(tmp_path: Path, before: str, after: str, *, good: bool):
    changed = TESTS.replace(before, after) if before else TESTS
    assert (changed != TESTS) is bool(before)
    file = _written(tmp_path, changed)
    theirs = _promtool(file)
    ours = await run(file, SystemClock())
    assert (theirs.returncode == 0, not ours) == (good, good), (theirs.stdout, ours)


NUMBERS = [1, 999.4, 1000, 100000, 999999, 1e6, 1234567.5, 123456789, 1e15, 1e16, 0.1, 0.00012, 0.0000123, 0, 3661,
           86399.5, 90061, 0.0015, -5, -4000.25, 59.99, 1048576, 1.5e9]  # fmt: skip
PIPES = [
    "$value",
    "$value | humanize",
    "humanize1024 $value",
    "$value | humanizePercentage",
    "printf `%.3f|%6.2e|%g` $value $value $value",
    "$value | humanizeDuration",
    'printf "%v %s" $value $labels.job | toUpper',
]


@pytest.mark.needs("promtool")
async def test_numbers_are_written_as_promtool_writes_them(tmp_path: Path):
    annotations = {f"a{place}": f"{{{{ {pipe} }}}} x {{{{- $labels.job }}}}" for place, pipe in enumerate(PIPES)}
    rules = {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "m", "annotations": annotations}]}]}
    (tmp_path / "rules.yml").write_text(json.dumps(rules))
    series = [{"series": f'm{{job="{place}"}}', "values": f"{one!r}"} for place, one in enumerate(NUMBERS)]
    case = {"eval_time": "0m", "alertname": "A", "exp_alerts": []}
    trial = {"interval": "1m", "input_series": series, "alert_rule_test": [case]}
    tests = {"rule_files": ["rules.yml"], "tests": [trial]}
    file = tmp_path / "t.yml"
    file.write_text(json.dumps(tests))
    told = _promtool(file)
    theirs = re.findall(r"Labels:(\{.*\})\s+Annotations:(\{.*\})", told.stdout + told.stderr)
    (difference,) = await run(file, SystemClock())
    assert len(theirs) == len(NUMBERS)
    assert sorted(theirs) == sorted(difference.found)


async def test_an_alert_that_no_rule_has_is_a_difference(tmp_path: Path):
    named = "alertname: {}\n        exp_alerts: []"
    file = _written(tmp_path, TESTS.replace(named.format("High"), named.format("Hihg")))
    (difference,) = await run(file, SystemClock())
    assert difference.found == (("error", "no rule has this name"),)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("rule_files: [rules.yml]", "rule_files: [away.yml]", "no rule file is named 'away.yml'"),
        ("rule_files: [rules.yml]", "rule_files: [rules.test.yml]", "unknown field"),
        ("eval_time: 4m", "evaltime: 4m", "unknown field `evaltime`"),
        ("eval_time: 4m", "eval_time: 4 minutes", "not a valid duration"),
        ("[first, second]", "[third]", "names 'third'"),
        ("8+1x10 stale", "8+1x10 stall", "'stall' is no value"),
        ('m{job="a"}', 'm{job=~"a"}', "its labels need ="),
    ],
)
async def test_a_file_that_cannot_be_run_says_why(tmp_path: Path, before: str, after: str, told: str):
    with pytest.raises((TrialFileError, NotationError), match=re.escape(told.rsplit("not a ", maxsplit=1)[-1])):
        await run(_written(tmp_path, TESTS.replace(before, after)), SystemClock())


def test_values_are_read_as_promtool_reads_them():
    assert values_of("1 -2 _ 1.5e1 Inf") == [1, -2, None, 15, float("inf")]
    assert values_of("1+2x2 5-1x1 7x2 _x2") == [1, 3, 5, 5, 4, 7, 7, 7, None, None]
    (ended,) = values_of("stale")
    assert is_stale(np.array([ended]))[0]
    with pytest.raises(NotationError, match="more than 100000 values"):
        values_of("0x50000 0x50000")


def test_series_are_read_with_and_without_a_name():
    assert series_of('up{job="a", x=""}') == (("__name__", "up"), ("job", "a"))
    assert series_of("{}") == ()
