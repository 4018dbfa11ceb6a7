"""W3C trace context: what is taken for a caller's trace, and what others are told."""

import pytest

from cmg.kit.ids import uuid7_hex
from cmg.telemetry.tracing.context import context_of
from cmg.telemetry.tracing.trace import MARKS_MAX, Trace, Unmarked

GOOD = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_valid_header_gives_the_trace_its_parent_and_the_flag() -> None:
    context = context_of({b"traceparent": GOOD, b"tracestate": b"a=1,b=2"})
    assert context is not None
    assert (context.trace_id, context.span_id) == ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
    assert (context.sampled, context.state) == (True, "a=1,b=2")


@pytest.mark.parametrize(
    "given",
    [
        b"",
        GOOD[:-1],
        GOOD + b"0",
        GOOD + b"-more",
        b"ff" + GOOD[2:],
        GOOD.upper(),
        GOOD.replace(b"4bf92f3577b34da6a3ce929d0e0e4736", b"0" * 32),
        GOOD.replace(b"00f067aa0ba902b7", b"0" * 16),
        b"\xff" * 55,
    ],
)
def test_what_does_not_fit_the_form_is_as_if_it_were_not_there(given: bytes) -> None:
    assert context_of({b"traceparent": given}) is None


def test_a_later_version_may_say_more() -> None:
    assert context_of({b"traceparent": b"01" + GOOD[2:] + b"-more"}) is not None


@pytest.mark.parametrize("state", [b"x" * 513, b"a=\r\nb", "a=ü".encode()])
def test_a_state_that_is_no_header_or_too_long_is_left_out(state: bytes) -> None:
    context = context_of({b"traceparent": GOOD, b"tracestate": state})
    assert context is not None
    assert context.state == ""


@pytest.mark.parametrize(("flags", "told"), [(b"01", "01"), (b"00", "00"), (b"03", "01")])
def test_the_flag_of_the_caller_is_passed_on(flags: bytes, told: str) -> None:
    trace = Trace("0" * 32, context_of({b"traceparent": GOOD[:-2] + flags}), 0.0, 0.0)
    assert trace.traceparent().startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert trace.traceparent().endswith(f"-{told}")


def test_marks_are_bounded_and_the_rest_is_counted() -> None:
    trace = Trace("a" * 32, None, 0.0, 0.0)
    for _ in range(MARKS_MAX + 5):
        trace.add("part", 0.0, 1.0)
    assert (len(trace.marks), trace.left_out) == (MARKS_MAX, 5)
    assert trace.begin("more", 0.0) == 0
    trace.end(0, 1.0)  # nothing happens


def test_marks_lie_within_what_was_begun_before_them() -> None:
    trace = Trace("a" * 32, None, 0.0, 0.0)
    outer = trace.begin("outer", 0.0)
    trace.add("inner", 0.1, 0.2)
    trace.end(outer, 0.3, {"a": 1})
    trace.add("after", 0.4, 0.5)
    assert [(mark[0], mark[3]) for mark in trace.marks] == [("outer", 0), ("inner", outer), ("after", 0)]
    assert trace.marks[0][4] == {"a": 1}


def test_every_span_has_an_id_of_its_own_and_none_is_zero() -> None:
    trace = Trace(uuid7_hex(), None, 0.0, 0.0)
    ids = {trace.span_of(number) for number in range(MARKS_MAX + 1)}
    assert len(ids) == MARKS_MAX + 1
    assert all(0 < one < 2**64 for one in ids)


def test_without_tracing_the_context_goes_on_and_nothing_is_marked() -> None:
    trace = Unmarked("a" * 32, context_of({b"traceparent": GOOD}), 0.0, 0.0)
    trace.end(trace.begin("part", 0.0), 1.0)
    trace.add("part", 0.0, 1.0)
    assert trace.marks == []
    assert trace.traceparent().startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-")
