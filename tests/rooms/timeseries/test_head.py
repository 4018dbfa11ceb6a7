"""The recent samples in memory, their log, and what a restart finds of them."""

import numpy as np
import pytest

from cmg.timeseries.promql.plan import Matcher
from cmg.timeseries.samples import Values
from cmg.timeseries.store.head import Head
from cmg.timeseries.store.index import SeriesIndex
from cmg.timeseries.store.scrape_log import ScrapeLog
from rooms.timeseries.conftest import HOUR, named

A, B = named("a", x="1"), named("b", x="2")


def rows(head: Head, *labels) -> np.ndarray:
    return np.array([head.row(one) for one in labels], np.intp)


def scraped(head: Head, count: int, *labels) -> None:
    """So many scrapes, a second apart."""
    for n in range(1, count + 1):
        head.append(rows(head, *labels), n * 1000, np.full(len(labels), float(n)))


def between(head: Head, labels, after_ms: int, until_ms: int) -> Values:
    counts, _, values = head.between(rows(head, labels), after_ms, until_ms)
    assert counts.sum() == len(values)
    return values


@pytest.mark.parametrize(
    ("after", "until"), [(0, 99_000), (3000, 7000), (70_000, 200_000), (90_000, 90_000), (500_000, 600_000)]
)
def test_windows_are_cut_out_of_the_ring(after: int, until: int):
    head = Head(SeriesIndex(), slots=50, most=5)
    scraped(head, 80, A, B)
    expected = [n for n in range(31, 81) if after < n * 1000 <= until]
    assert between(head, A, after, until).tolist() == expected


def test_a_sample_that_is_not_later_is_left_out():
    head = Head(SeriesIndex(), slots=50, most=5)
    scraped(head, 3, A)
    head.append(rows(head, A, B), 2000, np.array([9.0, 9.0]))
    assert between(head, A, 0, 10_000).tolist() == [1, 2, 3]
    assert between(head, B, 0, 10_000).tolist() == [9]


@pytest.mark.parametrize("until", [0, 42_500, 79_000, 80_000, 99_000])
def test_after_a_rewind_later_samples_are_taken_again(until: int):
    head = Head(SeriesIndex(), slots=50, most=5)
    scraped(head, 80, A, B)
    assert head.rewind(until) == 2 * sum(1 for n in range(31, 81) if n * 1000 > until)
    head.append(rows(head, A), until + 1, np.array([7.0]))
    kept = [n for n in range(31, 81) if n * 1000 <= until]
    assert between(head, A, 0, 100_000).tolist() == [*kept, 7][-50:]


def test_a_rewind_of_nothing_is_nothing():
    assert Head(SeriesIndex(), slots=5, most=5).rewind(0) == 0


def test_series_beyond_the_bound_get_no_row():
    head = Head(SeriesIndex(), slots=2, most=3)
    assert [head.row(named("m", n=str(n))) for n in range(5)] == [0, 1, 2, None, None]
    assert head.bytes == 3 * 2 * 16


def test_what_is_overwritten_moves_the_floor_and_is_counted_if_it_was_not_flushed():
    head = Head(SeriesIndex(), slots=10, most=5)
    head.flushed_ms = 3000
    scraped(head, 15, A)
    assert head.floor_ms == 5000
    assert head.lost == 3  # those of 3, 4 and 5 s


def test_rows_of_series_that_are_gone_serve_new_ones():
    head = Head(SeriesIndex(), slots=10, most=1)
    scraped(head, 3, A)
    assert head.row(B) is None
    assert len(head.free_idle(5000)) == 1
    assert head.row(B) == 0
    assert between(head, B, 0, 10_000).tolist() == []


def test_index_finds_series_by_all_kinds_of_conditions():
    index = SeriesIndex()
    for number, labels in enumerate([A, B, named("a"), named("a", x="3", y="z")]):
        index.add(number, labels)

    def found(*matchers: tuple[str, str, str]) -> list[int]:
        return sorted(index.select(tuple(Matcher(*one) for one in matchers)).numbers.tolist())

    assert found(("__name__", "=", "a")) == [0, 2, 3]
    assert found(("__name__", "=", "a"), ("x", "=", "")) == [2]
    assert found(("__name__", "=", "a"), ("x", "!=", "")) == [0, 3]
    assert found(("__name__", "=~", "a|b"), ("x", "!~", "1|3")) == [1, 2]
    assert found(("x", "=~", ".+"), ("y", "=~", "z|")) == [0, 1, 3]
    assert found(("x", "=", "nosuch")) == found(("nosuch", "=", "x")) == []
    index.remove([0])
    assert found(("__name__", "=", "a")) == [2, 3]


def test_log_gives_every_scrape_back(tmp_path):
    log = ScrapeLog(tmp_path / "log")
    for n in range(5):
        labels = (A, B) if n < 3 else (A,)
        log.append(labels, HOUR - 2000 + n * 1000, np.full(len(labels), n + 0.5))
    assert len(list((tmp_path / "log").iterdir())) == 2  # one an hour
    found = list(ScrapeLog(tmp_path / "log").read())
    assert [one.time_ms for one in found] == [HOUR - 2000 + n * 1000 for n in range(5)]
    assert [tuple(one.labels) for one in found] == [(A, B)] * 3 + [(A,)] * 2
    assert [one.values.tolist() for one in found] == [[0.5] * 2, [1.5] * 2, [2.5] * 2, [3.5], [4.5]]
    log.forget(HOUR)
    assert [one.time_ms for one in ScrapeLog(tmp_path / "log").read()] == [HOUR + n * 1000 for n in range(3)]


@pytest.mark.parametrize("cut", [1, 5, 9, 30])
def test_a_cut_record_ends_its_file_and_the_next_run_writes_another(tmp_path, cut: int):
    log = ScrapeLog(tmp_path)
    log.append((A,), 1000, np.array([1.0]))
    log.append((A,), 2000, np.array([2.0]))
    log.close()
    file = next(tmp_path.iterdir())
    file.write_bytes(file.read_bytes()[:-cut])
    again = ScrapeLog(tmp_path)
    again.append((A,), 3000, np.array([3.0]))
    assert [one.time_ms for one in ScrapeLog(tmp_path).read()] == [1000, 3000]


def test_damage_in_the_middle_is_seen(tmp_path):
    log = ScrapeLog(tmp_path)
    for n in range(3):
        log.append((A,), n, np.array([1.0]))
    file = next(tmp_path.iterdir())
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    assert len(list(ScrapeLog(tmp_path).read())) < 3
