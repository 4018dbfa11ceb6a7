"""Which traces are kept: every error, everything slow, what callers ask for, and a share of the rest."""

from collections.abc import Callable
from random import Random

import pytest

from cmg.config import TraceSettings
from cmg.telemetry.tracing.context import Context
from cmg.telemetry.tracing.tail import Tail
from cmg.telemetry.tracing.trace import Trace

NOBODY = TraceSettings(per_second=0.0001, share=0)
Change = Callable[[Trace], None]


def a_trace(*, asked: bool | None = None, started: float = 100.0) -> Trace:
    context = None if asked is None else Context("a" * 32, "b" * 16, asked)
    return Trace("0" * 16 + "c" * 16, context, started, 1.7e9)


def spent(settings: TraceSettings = NOBODY) -> Tail:
    """A tail whose ordinary one of the first second is taken."""
    tail = Tail(settings, Random(1))
    tail.decide(a_trace(), 100.0)
    return tail


def failed(trace: Trace) -> None:
    trace.failed = True


def late_first_token(trace: Trace) -> None:
    trace.answer_s = 10.0


def slow_gateway(trace: Trace) -> None:
    trace.answer_s, trace.own_s = 0.5, 0.25


def long_answer(trace: Trace) -> None:
    trace.answer_s, trace.own_s = 0.5, 0.01


@pytest.mark.parametrize(
    ("change", "after_s", "reason"),
    [
        (failed, 0.001, "error"),
        (lambda _: None, 1.0, "slow"),
        (lambda _: None, 0.9, ""),
        (late_first_token, 10.1, "slow"),
        (slow_gateway, 0.6, "slow"),
        (long_answer, 60.0, ""),
    ],
)
def test_errors_and_what_is_slow_are_kept_whatever_chance_says(change: Change, after_s: float, reason: str) -> None:
    trace = a_trace()
    change(trace)
    assert spent().decide(trace, 100.0 + after_s) == reason


def test_a_caller_who_records_is_kept_up_to_a_bound_and_one_who_does_not_only_for_errors() -> None:
    tail = spent(TraceSettings(per_second=0.0001, share=0, asked_per_second=3))
    assert [tail.decide(a_trace(asked=True), 100.0) for _ in range(5)] == ["asked"] * 3 + ["", ""]
    unwanted = a_trace(asked=False)
    assert Tail(TraceSettings(share=1)).decide(unwanted, 100.0) == ""
    unwanted.failed = True
    assert tail.decide(unwanted, 100.0) == "error"


def test_a_quiet_service_keeps_everything_and_a_busy_one_a_share() -> None:
    tail = Tail(TraceSettings(per_second=1, share=0.1), Random(1))
    assert all(tail.decide(a_trace(started=second), second) == "share" for second in (100.0, 101.0, 102.5))
    kept = sum(tail.decide(a_trace(started=103.0), 103.0) == "share" for _ in range(2000))
    assert 150 < kept < 250


def test_a_decision_is_made_once() -> None:
    tail = spent(TraceSettings(per_second=0.0001, share=0.5))
    trace = a_trace()
    first = tail.decide(trace, 100.0)
    assert all(tail.decide(trace, 100.0) == first for _ in range(50))
