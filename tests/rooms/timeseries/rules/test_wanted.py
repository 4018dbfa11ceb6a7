"""Which rules a trial needs: the others are tried only where it asks for something."""

import json
from pathlib import Path
from typing import Any

import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.rules.files import Group, RuleFile
from cmg.timeseries.rules.trials.files import AlertCase, ExpressionCase, Trial
from cmg.timeseries.rules.trials.running import run
from cmg.timeseries.rules.trials.wanted import parted

RULES: list[dict[str, Any]] = [
    {"record": "calls", "expr": "sum(m)"},
    {"record": "ratio", "expr": "calls / 2", "labels": {"slo": "a"}},
    {"record": "ratio", "expr": "n", "labels": {"slo": "b"}},
    {"alert": "High", "expr": 'max_over_time(ratio{slo="a"}[5m]) > 1'},
    {"alert": "Waits", "expr": 'ALERTS{alertname="High", alertstate="pending"}', "for": "1m"},
    {"alert": "Any", "expr": "count(ALERTS) > 3"},
    {"alert": "Named", "expr": 'count({__name__=~"rat.*"}) > 3'},
]


def _groups() -> tuple[Group, ...]:
    written = [{"name": "first", "rules": RULES[:2]}, {"name": "second", "rules": RULES[2:]}]
    return RuleFile.parse(json.dumps({"groups": written}), "rules.yml").groups


def _places(groups: list[Group]) -> list[int]:
    rules = [rule for group in _groups() for rule in group.rules]
    return [rules.index(rule) for group in groups for rule in group.rules]


def _trial(named: str) -> Trial:
    if named[0].isupper():
        return Trial(alert_rule_test=[AlertCase("1m", named)])
    return Trial(promql_expr_test=[ExpressionCase(named, "1m")])


@pytest.mark.parametrize(
    ("named", "needed"),
    [
        ("High", [0, 1, 3]),
        ("Waits", [0, 1, 3, 4]),
        ("Named", [0, 1, 2, 6]),
        ("Any", [0, 1, 2, 3, 4, 5, 6]),
        ("Nobody", []),
        ('ratio{slo!="a"}', [2]),
        ("sum(rate(calls[5m])) + on() absent(n)", [0]),
        ('{slo=~"a|c",__name__=~"calls|ratio"}', [0, 1]),
        ("calls +", []),
    ],
)
def test_a_trial_needs_what_it_names_and_what_that_reads(named: str, needed: list[int]):
    taken, left = parted(_groups(), _trial(named))
    assert _places(taken) == needed
    assert sorted(_places(taken) + _places(left)) == list(range(len(RULES)))


async def test_a_rule_that_fails_is_told_though_the_trial_does_not_name_it(tmp_path: Path):
    rules = [{"alert": "Good", "expr": "m > 1"}, {"alert": "Bad", "expr": "m * on(job) m"}]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    series = [{"series": f'm{{job="a",instance="{place}"}}', "values": "1x9"} for place in "xy"]
    case = {"eval_time": "3m", "alertname": "Good"}
    tests = {"rule_files": ["rules.yml"], "tests": [{"input_series": series, "alert_rule_test": [case]}]}
    file = tmp_path / "t.yml"
    file.write_text(json.dumps(tests))
    (difference,) = await run(file, SystemClock())
    assert (difference.what, difference.at) == ("Bad", "180s")
    assert "many-to-many" in str(difference.found) or "duplicate series" in str(difference.found)
