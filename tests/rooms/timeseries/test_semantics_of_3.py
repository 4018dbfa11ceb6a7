"""Where Prometheus 3 differs from the 2.42 that the differential test runs: worked out by hand."""

import math
from collections.abc import Sequence

import pytest

from cmg.kit.clock import SystemClock
from cmg.timeseries.errors import BadData, ExecutionError, QueryError
from cmg.timeseries.labels import labels_of
from cmg.timeseries.promql.engine import Engine
from cmg.timeseries.promql.needs import Span
from cmg.timeseries.promql.vectors import Vector
from cmg.timeseries.samples import STALE
from support.memory_source import MemorySource

BASE_S = 1_700_000_000


def engine(**series: Sequence[tuple[float, float]]) -> Engine:
    """Series by name, each as (seconds after the base, value)."""
    made = {}
    for name, samples in series.items():
        times, values = zip(*samples, strict=True)
        made[labels_of([("__name__", name)])] = ([int((BASE_S + one) * 1000) for one in times], values)
    return Engine(MemorySource(made), SystemClock())


async def value(asked: Engine, expression: str, at_s: float) -> float | None:
    """The one value of an expression; None when there is none."""
    answer = await asked.instant(expression, int((BASE_S + at_s) * 1000))
    if not isinstance(answer.value, Vector):
        return float(answer.value[0])
    found = answer.value.values[answer.value.present]
    assert len(found) <= 1
    return float(found[0]) if len(found) else None


EVERY_MINUTE = [(60 * n, float(n)) for n in range(11)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("count_over_time(m[5m])", 5),  # the sample at the window's start is out: 2.42 says 6
        ("sum_over_time(m[2m])", 19),
        ("rate(m[1m])", None),
        ("increase(m[2m])", 2),
        ("count_over_time(m[5m:1m])", 5),
        ("count_over_time(m[5m:1m] @ 1700000600)", 5),
        ("count_over_time(m[5m:1m] offset 1m)", 5),
        ("count_over_time(count_over_time(m[2m])[5m:1m])", 5),
    ],
)
async def test_windows_are_open_on_the_left(expression: str, expected: float | None):
    assert await value(engine(m=EVERY_MINUTE), expression, 600) == expected


async def test_a_sample_exactly_five_minutes_old_is_gone():
    asked = engine(m=[(0, 7.0)])
    assert await value(asked, "m", 299.999) == 7
    assert await value(asked, "m", 300) is None


async def test_default_step_of_a_subquery_is_a_minute():
    assert await value(engine(m=EVERY_MINUTE), "count_over_time(m[10m:])", 600) == 10


async def test_counter_far_from_the_start_reaches_back_half_an_interval_at_most():
    # 10 s apart, the first one 100 s after the window's start: half an interval would be 5 s, zero lies 2 s before.
    near_zero = engine(m=[(500, 2.0), (510, 12.0), (520, 22.0)])
    assert await value(near_zero, "increase(m[2m])", 520) == pytest.approx(20 * 22 / 20, rel=1e-12)
    far_from_zero = engine(m=[(500, 9.0), (510, 19.0), (520, 29.0)])
    assert await value(far_from_zero, "increase(m[2m])", 520) == pytest.approx(20 * 25 / 20, rel=1e-12)


async def test_counter_near_the_start_is_not_extrapolated_below_zero():
    asked = engine(m=[(10, 4.0), (20, 14.0), (30, 24.0), (40, 34.0)])
    assert await value(asked, "increase(m[40s])", 40) == pytest.approx(34, rel=1e-12)
    assert await value(asked, "delta(m[40s])", 40) == pytest.approx(40, rel=1e-12)


async def test_resets_are_added_up():
    asked = engine(m=[(10, 100.0), (20, 110.0), (30, 5.0), (40, 15.0), (50, 3.0)])
    assert await value(asked, "increase(m[50s])", 55) == pytest.approx((3 - 100 + 110 + 15) * (40 + 5 + 5) / 40)
    assert await value(asked, "resets(m[50s])", 55) == 2
    assert await value(asked, "irate(m[50s])", 55) == pytest.approx(0.3)


async def test_sums_do_not_lose_what_large_terms_hide():
    asked = engine(m=[(10, 1e16), (20, 1.0), (30, -1e16), (40, 2.0)], a=[(40, 1e16)], b=[(40, 1.0)], c=[(40, -1e16)])
    assert await value(asked, "sum_over_time(m[1m])", 60) == 3
    assert await value(asked, "avg_over_time(m[1m])", 60) == 0.75
    assert await value(asked, 'sum({__name__=~"a|b|c"})', 60) == 1


async def test_means_of_huge_numbers_do_not_overflow():
    asked = engine(m=[(10, 1.5e308), (20, 1.5e308)], a=[(20, 1.5e308)], b=[(20, 1.5e308)])
    assert await value(asked, "avg_over_time(m[1m])", 30) == 1.5e308
    assert await value(asked, 'avg({__name__=~"a|b"})', 30) == 1.5e308
    assert await value(asked, "sum_over_time(m[1m])", 30) == math.inf


async def test_ended_series_is_gone_at_once_and_its_marker_is_no_sample():
    asked = engine(m=[(0, 1.0), (15, 2.0), (30, STALE), (60, 5.0)])
    assert await value(asked, "m", 29) == 2
    assert await value(asked, "m", 30) is None
    assert await value(asked, "count_over_time(m[1m])", 59) == 2
    assert await value(asked, "count_over_time(m[1m:15s])", 59) == 2  # at 10 and 25 s; then the series has ended
    assert await value(asked, "m", 60) == 5


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1h + 5m", 3900),
        ("1_000_000", 1e6),
        ("0x_ff", 255),
        ("5m == bool 300", 1),
        ("m offset 1m", 9),
        ("m offset 60", 9),
    ],
)
async def test_durations_are_numbers_and_numbers_durations(expression: str, expected: float):
    assert await value(engine(m=EVERY_MINUTE), expression, 600) == expected


async def test_names_may_be_any_text():
    asked = Engine(
        MemorySource({labels_of([("__name__", "höhe.über null"), ("an ort", "a\nb")]): ([BASE_S * 1000], [3.0])}),
        SystemClock(),
    )
    assert await value(asked, '{"höhe.über null"}', 1) == 3
    assert await value(asked, '{"höhe.über null", "an ort"=~"a.b"}', 1) == 3  # the dot matches a line's end too
    assert await value(asked, 'sum by ("an ort") ({"höhe.über null"})', 1) == 3


@pytest.mark.parametrize(
    "expression",
    [
        "holt_winters(m[5m], 0.5, 0.5)", "double_exponential_smoothing(m[5m], 0.5, 0.5)", "mad_over_time(m[5m])",
        'sort_by_label(m, "a")', "limitk(2, m)", "limit_ratio(0.5, m)", "info(m)", "m + fill(0) m",
        "first_over_time(m[5m])",
    ],
)  # fmt: skip
async def test_experimental_and_removed_functions_are_errors(expression: str):
    with pytest.raises(BadData, match=r"not enabled|unknown function|not supported"):
        await value(engine(m=EVERY_MINUTE), expression, 600)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m", 10),
        ("sum_over_time(m[3m] @ end())", 27),
        ("sum_over_time(m[3m] @ start())", 3),
        ("m @ end() - m @ start()", 8),
    ],
)
async def test_start_and_end_are_those_of_the_query(expression: str, expected: float):
    asked = engine(m=EVERY_MINUTE)
    span = Span((BASE_S + 120) * 1000, (BASE_S + 600) * 1000)
    answer = await asked.over(expression, span, 60_000)
    assert isinstance(answer.value, Vector)
    assert answer.value.values[0, -1] == expected


async def test_prediction_at_a_fixed_time_is_made_for_each_step():
    asked = engine(m=EVERY_MINUTE)
    span = Span((BASE_S + 600) * 1000, (BASE_S + 720) * 1000)
    answer = await asked.over("predict_linear(m[5m] @ 1700000300, 60)", span, 60_000)
    assert isinstance(answer.value, Vector)
    assert answer.value.values[0] == pytest.approx([11, 12, 13])


async def test_two_series_that_become_one_are_an_error_even_at_different_steps():
    asked = engine(a=[(0, 1.0), (60, 2.0)], b=[(600, 3.0), (660, 4.0)])
    span = Span(BASE_S * 1000, (BASE_S + 900) * 1000)
    with pytest.raises(ExecutionError, match="vector cannot contain metrics with the same labelset"):
        await asked.over('rate({__name__=~"a|b"}[5m])', span, 60_000)
    joined = await asked.over('abs({__name__=~"a|b"})', span, 60_000)
    assert isinstance(joined.value, Vector)
    assert len(joined.value.frame) == 1
    assert joined.value.present.sum() == 12


@pytest.mark.parametrize("expression", ["m[5m]", '"text"'])
async def test_range_queries_refuse_what_has_no_value_at_a_step(expression: str):
    with pytest.raises(QueryError, match="for range query, must be Scalar or instant Vector"):
        await engine(m=EVERY_MINUTE).over(expression, Span(0, 1000), 1000)


@pytest.mark.parametrize(
    "expression",
    [
        "(" * 5000 + "m" + ")" * 5000,
        "+".join(["1"] * 5000),
        "-" * 5000 + "m",
        "m @ -5",
        "m @ 1e300",
        "1e999",
        "m[400y]",
        "m offset NaN",
        "m[1e300]",
        "m offset 1e18",
        "m @ 100000y",
        "m @ 0x7FFFFFFFFFFFFFFF",
    ],
)
async def test_what_would_break_the_parser_is_an_error(expression: str):
    with pytest.raises(BadData):
        await value(engine(m=EVERY_MINUTE), expression, 600)
