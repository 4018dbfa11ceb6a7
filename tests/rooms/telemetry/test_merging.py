"""Several processes, one exposition: sums never fall, gauges follow their mode, exemplars survive."""

from pathlib import Path

import pytest

from cmg.catalogue import metrics as catalogue
from cmg.catalogue.metrics import Metric
from cmg.telemetry import merging
from cmg.telemetry.instruments import Instruments
from cmg.telemetry.merging import Departed, expose, merge, snapshot

METRICS = (
    Metric("cmg_t_calls_total", "counter", "Calls.", ("route",), series=3),
    Metric("cmg_t_seconds", "histogram", "Time.", buckets=(0.1, 1)),
    *(Metric(f"cmg_t_{mode}_bytes", "gauge", "Gauge.", merge=mode) for mode in ("sum", "max", "min", "latest")),
)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge reads the modes from the catalogue: put these metrics in."""
    monkeypatch.setattr(merging, "BY_NAME", {**catalogue.BY_NAME, **{one.name: one for one in METRICS}})


def _worker(calls: float, gauge: float, seconds: float, exemplar: str | None = None) -> bytes:
    instruments = Instruments(METRICS)
    instruments.series("cmg_t_calls_total", "chat").inc(calls)
    instruments.series("cmg_t_seconds").observe(seconds, {"trace_id": exemplar} if exemplar else None)
    for mode in ("sum", "max", "min", "latest"):
        instruments.series(f"cmg_t_{mode}_bytes").set(gauge)
    return snapshot(instruments.registry)


def _text(families: merging.Snapshot, accept: str = "") -> str:
    return expose(families, accept)[0].decode()


def _merged(*snapshots: bytes) -> str:
    return _text(merge(merging._decode(one) for one in snapshots))


def test_counters_and_histograms_are_summed() -> None:
    text = _merged(_worker(2, 1, 0.0625), _worker(3, 1, 0.5))
    assert 'cmg_t_calls_total{route="chat"} 5.0' in text
    assert 'cmg_t_seconds_bucket{le="0.1"} 1.0' in text
    assert 'cmg_t_seconds_bucket{le="+Inf"} 2.0' in text
    assert "cmg_t_seconds_sum 0.5625" in text


@pytest.mark.parametrize(("mode", "value"), [("sum", 5.0), ("max", 3.0), ("min", 2.0), ("latest", 2.0)])
def test_gauges_are_joined_by_their_mode(mode: str, value: float) -> None:
    assert f"cmg_t_{mode}_bytes {value}" in _merged(_worker(1, 3, 0.05), _worker(1, 2, 0.05))


def test_exemplars_are_kept_and_shown_to_who_can_read_them() -> None:
    families = merge(merging._decode(one) for one in (_worker(1, 1, 0.05, "trace-1"), _worker(1, 1, 0.5, "trace-2")))
    text, kind = expose(families, OPENMETRICS)
    assert b'# {trace_id="trace-1"} 0.05' in text
    assert b'# {trace_id="trace-2"} 0.5' in text
    assert text.endswith(b"# EOF\n")
    assert kind.startswith("application/openmetrics-text")
    assert "trace-1" not in _text(families)


@pytest.mark.parametrize("newer_first", [True, False])
def test_of_two_exemplars_of_one_bucket_the_newer_is_shown(*, newer_first: bool) -> None:
    older, newer = _worker(1, 1, 0.05, "trace-1"), _worker(1, 1, 0.05, "trace-2")
    both = (newer, older) if newer_first else (older, newer)
    text, _ = expose(merge(merging._decode(one) for one in both), OPENMETRICS)
    assert (b"trace-2" in text, b"trace-1" in text) == (True, False)


def _calls(families: merging.Snapshot) -> float:
    (line,) = [line for line in _text(families).splitlines() if line.startswith('cmg_t_calls_total{route="chat"}')]
    return float(line.rsplit(" ", 1)[1])


def test_a_worker_that_left_is_still_counted(tmp_path: Path) -> None:
    departed = Departed(tmp_path / "departed")
    departed.merged({"0": ("a", _worker(2, 7, 0.05)), "1": ("b", _worker(3, 1, 0.05))})
    merged = departed.merged({"1": ("b", _worker(4, 1, 0.05)), "2": ("c", _worker(1, 1, 0.05))})
    assert _calls(merged) == 7
    assert "cmg_t_sum_bytes 2.0" in _text(merged), "a gauge leaves with its process"


def test_a_worker_in_the_place_of_another_counts_beside_it_once(tmp_path: Path) -> None:
    departed = Departed(tmp_path / "departed")
    departed.merged({"0": ("a", _worker(5, 1, 0.05))})
    shown = [_calls(departed.merged({"0": answer})) for answer in (None, ("b", _worker(0, 1, 0.05)), None)]
    shown += [_calls(departed.merged({"0": ("b", _worker(calls, 1, 0.05))})) for calls in (2, 3)]
    assert shown == [5, 5, 5, 7, 8]


def test_a_worker_that_does_not_answer_once_is_counted_as_last_seen(tmp_path: Path) -> None:
    departed = Departed(tmp_path / "departed")
    departed.merged({"0": ("a", _worker(2, 1, 0.05))})
    assert _calls(departed.merged({"0": None})) == 2
    assert _calls(departed.merged({"0": ("a", _worker(3, 1, 0.05))})) == 3


def test_what_was_shown_outlives_the_process_that_merges(tmp_path: Path) -> None:
    first = Departed(tmp_path / "departed")
    first.merged({"0": ("a", _worker(2, 1, 0.05)), "own": ("x", _worker(3, 1, 0.05))})
    second = Departed(tmp_path / "departed")
    silent = second.merged({"0": None, "own": ("y", _worker(1, 1, 0.05))})
    assert _calls(silent) == 6, "the killed merger's own counts stay, and a busy worker is counted as last seen"
    assert _calls(second.merged({"0": ("a", _worker(4, 1, 0.05)), "own": ("y", _worker(1, 1, 0.05))})) == 8


def test_no_sum_falls_by_a_bit_when_its_parts_come_in_another_order(tmp_path: Path) -> None:
    departed, shown = Departed(tmp_path / "departed"), [0.0]
    parts = [_worker(tenths / 10, 1, 0.05) for tenths in range(1, 40)]
    for number, part in enumerate(parts):
        places = {"0": (f"a{number}", part), "1": (f"b{number // 2}", parts[number // 2])}
        shown += [_calls(departed.merged(places)), _calls(departed.merged({"0": None, "1": None}))]
        departed = Departed(tmp_path / "departed")
        shown.append(_calls(departed.merged({"1": None, "0": None})))
    assert shown == sorted(shown)


def test_a_damaged_file_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "departed").write_bytes(b"\x93 no totals")
    assert _calls(Departed(tmp_path / "departed").merged({"0": ("a", _worker(2, 1, 0.05))})) == 2


def test_label_sets_over_the_budget_fold_to_other() -> None:
    instruments = Instruments(METRICS)
    for number in range(10):
        instruments.series("cmg_t_calls_total", f"route-{number}").inc()
    text = _merged(snapshot(instruments.registry))
    assert 'cmg_t_calls_total{route="other"} 7.0' in text
    assert text.count("cmg_t_calls_total{") == 4


def test_what_folds_is_counted() -> None:
    instruments = Instruments()
    for number in range(catalogue.BY_NAME["cmg_memory_notes_total"].series + 2):
        instruments.series("cmg_memory_notes_total", f"outcome-{number}").inc()
    folded = instruments.registry.get_sample_value
    assert folded("cmg_memory_notes_total", {"outcome": "other"}) == 2
    assert folded("cmg_metric_series_folded_total", {"metric": "cmg_memory_notes_total"}) == 2


def test_a_series_is_built_once() -> None:
    instruments = Instruments(METRICS)
    assert instruments.series("cmg_t_calls_total", "a") is instruments.series("cmg_t_calls_total", "a")


def test_every_catalogued_metric_can_be_built_and_shown() -> None:
    text = _merged(snapshot(Instruments().registry))
    for metric in catalogue.METRICS:
        assert f"# HELP {metric.name} " in text
