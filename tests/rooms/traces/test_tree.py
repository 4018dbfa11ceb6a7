"""A trace as a tree with times, and where its time went."""

import pytest

from cmg.telemetry.tracing import names
from cmg.telemetry.tracing.record import Mark
from cmg.traces.rows import whole_of
from cmg.traces.spans import Span, spans_of
from cmg.traces.tree import self_ns, tree, where
from support.trace_records import trace_record


def a_span(name: str, parent: str, start: int, end: int) -> Span:
    return Span(name * 16, parent * 16, name, "internal", start, end, *(False, {}))


def test_a_call_becomes_a_tree_whose_children_lie_where_they_were_marked() -> None:
    record = trace_record()
    (root,) = tree(spans_of(record, whole_of(record)))
    assert (root["name"], root["start_ms"], root["duration_ms"]) == ("POST /v1/chat/completions", 0.0, 100.0)
    assert [one["name"] for one in root["children"]] == ["admission", "chat m", "chat m", "record"]
    admission, first, second, _ = root["children"]
    assert admission["children"][0]["attributes"] == {names.QUERY: "identity.key_by_id", names.DATABASE: "postgresql"}
    assert (admission["duration_ms"], admission["self_ms"]) == (5.0, pytest.approx(2.0, abs=0.01))
    assert (first["status"], second["status"]) == ("error", "ok")
    assert first["parent_id"] == root["span_id"]


def test_where_the_time_went_is_told_most_first() -> None:
    record = trace_record()
    first, *_ = where(tree(spans_of(record, whole_of(record))))
    assert (first["name"], first["self_ms"], first["share"]) == ("chat m", pytest.approx(80.0, abs=0.01), 0.8)


def test_children_that_overlap_count_once_and_none_beyond_the_parents_end() -> None:
    parent = a_span("a", "", 0, 100)
    children = [a_span("b", "a", 10, 50), a_span("c", "a", 30, 60), a_span("d", "a", 90, 500)]
    assert self_ns(parent, children) == 100 - 50 - 10


def test_spans_that_name_each_other_as_parents_end_the_walk() -> None:
    assert tree([a_span("a", "b", 0, 1), a_span("b", "a", 0, 1)]) == []
    lonely = tree([a_span("a", "f", 0, 1), a_span("b", "a", 0, 1)])
    assert [one["name"] for one in lonely] == ["a"]


def test_what_nobody_ended_was_cut_short_with_the_whole() -> None:
    record = trace_record(marks=[Mark("stream", 100.02, 0.0, 0)])
    _, stream = spans_of(record, {})
    assert (stream.end_ns - stream.start_ns) / 1e6 == pytest.approx(80, abs=0.01)


def test_nobody_is_named_in_a_trace() -> None:
    record = trace_record(user="ada-the-user", thread="the-secret-thread")
    told = repr(spans_of(record, whole_of(record)))
    assert "ada-the-user" not in told
    assert "the-secret-thread" not in told
    assert (
        whole_of(record)[names.CONVERSATION] == whole_of(trace_record(thread="the-secret-thread"))[names.CONVERSATION]
    )
    assert whole_of(record)[names.CONVERSATION] != whole_of(trace_record())[names.CONVERSATION]
