"""What is no rule file says so, with the place; templates write what Prometheus writes."""

import pytest

from cmg.timeseries.rules.files import AlertingRule, RecordingRule, RuleFile, RuleFileError
from cmg.timeseries.rules.templates import Context, Template

GOOD = """
groups:
  - name: calls
    interval: 30s
    limit: 10
    rules:
      - record: job:calls:rate5m
        expr: sum by (job) (rate(calls_total[5m]))
        labels: {from: here}
      - alert: NoCalls
        expr: job:calls:rate5m == 0
        for: 5m
        keep_firing_for: 10m
        labels: {severity: P1}
        annotations: {summary: "{{ $labels.job }} has {{ $value }} calls"}
"""


def test_groups_and_rules_are_read_in_order():
    (group,) = RuleFile.parse(GOOD, "calls.yml").groups
    recording, alerting = group.rules
    assert (group.name, group.interval_ms, group.limit) == ("calls", 30_000, 10)
    assert isinstance(recording, RecordingRule)
    assert recording.labels == {"from": "here"}
    assert isinstance(alerting, AlertingRule)
    assert (alerting.for_ms, alerting.keep_firing_for_ms) == (300_000, 600_000)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("expr: job:calls:rate5m == 0", "expr: job:calls:rate5m == ", "rule 2 (NoCalls): parse error"),
        ("expr: job:calls:rate5m == 0", "expr: calls_total[5m]", "rule 2 (NoCalls): the expression gives no vector"),
        ("for: 5m", "for: '5'", "for: '5' is no duration"),
        ("for: 5m", "for: 5", "Expected `str`, got `int` - at `$.groups[0].rules[1].for`"),
        ("for: 5m", "form: 5m", "unknown field `form`"),
        ("record: job:calls:rate5m", "record: job-calls", "job-calls): that is no name of a metric"),
        ("record: job:calls:rate5m", "annotations: {}", "rule 1: it needs one of `record` and `alert`"),
        ("{from: here}", "{from: here}\n        for: 5m", "only an alert has `for`"),
        ("{severity: P1}", "{se-verity: P1}", "'se-verity' is no name of a label"),
        ("{severity: P1}", "{severity: '{{ if true }}P1{{ end }}'}", "'if', which is not supported here"),
        ("has {{ $value }}", "has {{ $value", "{{ that is not closed"),
        ("has {{ $value }}", "has {{ $values }}", "'$values', which is not supported here"),
        ("has {{ $value }}", "has {{ humanize }}", "gives humanize wrong arguments"),
        ("  - name: calls", "  - name: calls\n    rules: []\n  - name: calls", "two groups named 'calls'"),
        ("limit: 10", "limit: -1", "the limit -1 is less than 0"),
        ("groups:", "groups: {", "calls.yml: "),
    ],
)
def test_what_is_wrong_is_told_with_its_place(before: str, after: str, told: str):
    text = GOOD.replace(before, after)
    assert text != GOOD
    with pytest.raises(RuleFileError) as caught:
        RuleFile.parse(text, "calls.yml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("calls.yml: ")


def test_evaluations_are_whole_intervals_apart():
    (group,) = RuleFile.parse(GOOD, "calls.yml").groups
    first = group.due_after(1_700_000_000_000)
    assert 0 < first - 1_700_000_000_000 <= 30_000
    assert group.due_after(first) == first + 30_000
    assert group.due_after(first - 1) == first


def test_a_value_that_cannot_be_written_does_not_keep_an_alert_back():
    template = Template.parse("{{ humanize $labels.job }}!")
    assert "error expanding template" in template.filled(Context({"job": "api"}, 1.0, {}, ""))


def test_a_template_shows_where_it_is():
    template = Template.parse("{{ $externalLabels.region | toUpper }} {{ $externalURL }} {{ .Labels.x }}{{ .Value }}")
    assert template.filled(Context({"x": "y"}, 2.5, {"region": "eu"}, "http://here")) == "EU http://here y2.5"
