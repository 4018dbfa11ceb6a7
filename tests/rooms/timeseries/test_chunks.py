"""Chunks give back what they were made of, in few bytes."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmg.timeseries.labels import labels_of
from cmg.timeseries.samples import STALE, is_stale
from cmg.timeseries.series import in_order, number_of
from cmg.timeseries.store.chunks import DamagedChunk, decode, encode
from cmg.timeseries.store.rollups import rolled_up

COUNTER, GAUGE = labels_of([("__name__", "a_total")]), labels_of([("__name__", "a")])
VALUES = st.one_of(
    st.floats(), st.integers(-(2**55), 2**55).map(float), st.sampled_from([STALE, 0.0, 0.1, 12.34, 1e300, 2.0**-26])
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests may hold the machine
@given(st.lists(st.tuples(st.integers(1, 10**12), VALUES), min_size=1, max_size=50))
def test_every_sample_comes_back(samples: list[tuple[int, float]]):
    times, values = np.cumsum([step for step, _ in samples]), np.array([value for _, value in samples])
    found_times, found = decode(encode(times, values))
    assert found_times.tolist() == times.tolist()
    same_bits = found.view(np.int64) == values.view(np.int64)
    assert (same_bits | (found == values)).all()
    assert (is_stale(found) == is_stale(values)).all()


@pytest.mark.parametrize(
    ("most", "values"),
    [
        (0.8, np.cumsum(np.random.default_rng(1).poisson(7, 240)).astype(float)),
        (0.4, np.full(240, 5.5)),
        (2.0, np.round(np.cumsum(np.random.default_rng(2).normal(size=240)), 2)),
        (8.5, np.random.default_rng(3).random(240)),
    ],
)
def test_an_hour_of_a_series_takes_few_bytes(most: float, values: np.ndarray):
    assert len(encode(np.arange(240) * 15_000, values)) <= most * 240


@pytest.mark.parametrize("data", [b"", b"x" * 40, encode(np.arange(9), np.arange(9.0))[:-3], b"\x09" + bytes(40)])
def test_what_is_no_chunk_is_said(data: bytes):
    with pytest.raises(DamagedChunk):
        decode(data)


def test_of_two_samples_at_one_time_the_later_counts():
    times, values = in_order(np.array([3, 1, 3, 2]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert (times.tolist(), values.tolist()) == ([1, 2, 3], [2.0, 4.0, 3.0])


def test_number_of_labels_is_the_same_everywhere():
    assert number_of(COUNTER) == number_of(labels_of([("__name__", "a_total"), ("empty", "")]))
    assert 0 <= number_of(COUNTER) < 2**63
    assert number_of(COUNTER) != number_of(GAUGE)


def test_coarse_samples_stand_at_the_end_of_their_five_minutes():
    times = np.array([1, 299_999, 300_000, 300_001, 899_000])
    found, values = rolled_up(GAUGE, times, np.arange(5.0))
    assert found.tolist() == [300_000, 600_000, 900_000]
    assert values.tolist() == [2.0, 3.0, 4.0]


def test_coarse_counters_keep_the_peak_before_a_reset():
    times, values = np.arange(1, 6) * 60_000, np.array([10.0, 20.0, 3.0, 1.0, 8.0])
    found, kept = rolled_up(COUNTER, times, values)
    assert found.tolist() == [120_000, 180_000, 300_000]
    assert kept.tolist() == [20.0, 3.0, 8.0]
    assert rolled_up(GAUGE, times, values)[1].tolist() == [8.0]
