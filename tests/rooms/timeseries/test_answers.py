"""Numbers, times and parameters are read and written as Prometheus does."""

import json
import math

import numpy as np
import pytest

from cmg.timeseries.api.answers import answer_json
from cmg.timeseries.api.parameters import duration_ms, limit, steps, time_ms
from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import Frame
from cmg.timeseries.promql.engine import Answer
from cmg.timeseries.promql.vectors import Grid, Vector
from cmg.timeseries.written import number, sample_value, timestamp


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"), (1.0, "1"), (-2.5, "-2.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"), (9.5e-7, "9.5e-7"), (1e-10, "1e-10"), (-3.25e-100, "-3.25e-100"), (0.1, "0.1"),
        (123456789012.125, "123456789012.125"), (float("nan"), "NaN"), (float("inf"), "+Inf"), (float("-inf"), "-Inf"),
        (1e16, "10000000000000000"), (5e-324, "5e-324"),
    ],
)  # fmt: skip
def test_a_value_is_the_shortest_that_reads_back(value: float, written: str):
    assert sample_value(value) == written
    assert math.isnan(value) or float(written) == value


def test_labels_from_values_have_no_exponent():
    assert number(1e21) == "1" + "0" * 21
    assert number(1e-7) == "0.0000001"


@pytest.mark.parametrize(
    ("ms", "written"), [(0, "0"), (1500, "1.500"), (1_700_000_000_007, "1700000000.007"), (-250, "-0.250")]
)
def test_times_are_seconds_with_three_decimals_or_none(ms: int, written: str):
    assert timestamp(ms) == written


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1700000000", 1_700_000_000_000), ("1700000000.217", 1_700_000_000_217), ("1.7e9", 1_700_000_000_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000), ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500), ("-1", -1000),
    ],
)  # fmt: skip
def test_moments_are_seconds_or_rfc_3339(text: str, ms: int):
    assert time_ms({"time": [text]}, "time") == ms


@pytest.mark.parametrize("text", ["", "yesterday", "2023-11-14T22:13:20", "inf", "NaN", "1e300"])
def test_what_is_no_moment_is_named(text: str):
    with pytest.raises(BadData, match='invalid parameter "start"'):
        time_ms({"start": [text]}, "start")


@pytest.mark.parametrize(
    ("text", "ms"),
    [("15", 15_000), ("0.5", 500), ("1h30m", 5_400_000), ("1y2w3d4h5m6s7ms", 33_019_506_007), ("-1", -1000)],
)
def test_durations_are_seconds_or_units(text: str, ms: int):
    assert duration_ms(text) == ms


@pytest.mark.parametrize("text", ["", "5 m", "1m1h", "x", "inf", "nan", "400y"])
def test_what_is_no_duration_is_an_error(text: str):
    with pytest.raises(BadData, match="to a valid duration"):
        duration_ms(text)


@pytest.mark.parametrize(
    ("start", "end", "step", "told"),
    [
        ("10", "5", "1", "end timestamp must not be before start time"),
        ("0", "10", "0", "zero or negative query resolution"),
        ("0", "10", "-1", "zero or negative query resolution"),
        ("0", "10", "", 'invalid parameter "step"'),
        ("0", "11001", "1", "exceeded maximum resolution of 11,000 points"),
    ],
)
def test_spans_that_cannot_be_are_refused(start: str, end: str, step: str, told: str):
    with pytest.raises(BadData, match=told):
        steps({"start": [start], "end": [end], "step": [step]})


def test_the_longest_span_is_allowed():
    assert steps({"start": ["0"], "end": ["11000"], "step": ["1"]}) == (0, 11_000_000, 1000)


@pytest.mark.parametrize("text", ["-1", "x", "1.5"])
def test_a_limit_is_a_number_of_results(text: str):
    with pytest.raises(BadData, match='invalid parameter "limit"'):
        limit({"limit": [text]})


def test_a_cut_answer_says_so():
    grid = Grid(np.array([1000], np.int64), 1)
    vector = Vector(Frame([(("a", "1"),), (("a", "2"),)]), np.array([[1.0], [2.0]]), np.ones((2, 1), bool))
    told = json.loads(answer_json(Answer("vector", grid, vector), ranged=False, limit=1))
    assert told["warnings"] == ["results truncated due to limit"]
    assert told["data"]["result"] == [{"metric": {"a": "1"}, "value": [1, "1"]}]
    assert "warnings" not in json.loads(answer_json(Answer("vector", grid, vector), ranged=False, limit=2))
