"""The moments of one request or job, taken while it runs: some 0.2 µs each, a bounded number."""

from contextvars import ContextVar
from typing import Any

from cmg.telemetry.tracing.context import Context, traceparent

MARKS_MAX = 128  # of one trace; what comes behind is counted

Attributes = dict[str, Any]
Mark = list[Any]
"""[name, start, end (0: not ended), number of the mark around it (0: the request itself), attributes or None]."""


class Trace:
    """Marks are numbered from 1. Times are the clock's monotonic seconds, but for `started_at` (epoch seconds).

    `answer_s` and `own_s` are set for a model call: until its first token or whole answer, and what of it was ours.
    `facts` describe the whole once it is kept; `person` are the user and the thread that it names.
    """

    __slots__ = (
        "answer_s", "asked", "baggage", "facts", "failed", "id", "left_out", "marks", "own_s", "parent", "person",
        "reason", "request_id", "span", "started", "started_at", "state", "tried", "within", "workspace_id",
    )  # fmt: skip

    def __init__(self, request_id: str, context: Context | None, started: float, started_at: float) -> None:
        self.request_id = request_id
        self.started, self.started_at = started, started_at
        self.span = int(request_id[16:], 16)  # of a version 7 UUID: never 0, and never near the end of 64 bits
        self.id, self.parent, self.state = request_id, "", ""
        self.asked: bool | None = None  # whether the caller records the trace; None: it has none
        if context is not None:
            self.id, self.parent, self.state = context.trace_id, context.span_id, context.state
            self.asked = context.sampled
        self.marks: list[Mark] = []
        self.left_out = self.within = 0
        self.reason = ""  # why it is kept, once that is known
        self.tried = False  # whether chance was asked already
        self.failed = False
        self.answer_s: float | None = None
        self.own_s = 0.0
        self.facts: Attributes = {}
        self.baggage: bytes | None = None  # of the caller, where some of it is wanted
        self.person: tuple[str | None, str | None] = (None, None)
        self.workspace_id: str | None = None

    def add(self, name: str, start: float, end: float, attributes: Attributes | None = None) -> None:
        """Something that is over."""
        if len(self.marks) < MARKS_MAX:
            self.marks.append([name, start, end, self.within, attributes])
        else:
            self.left_out += 1

    def open(self, name: str, start: float, attributes: Attributes | None = None) -> int:
        """Something begins, beside what goes on; returns its number. What is never closed ends with the trace."""
        if len(self.marks) >= MARKS_MAX:
            self.left_out += 1
            return 0
        self.marks.append([name, start, 0.0, self.within, attributes])
        return len(self.marks)

    def begin(self, name: str, start: float, attributes: Attributes | None = None) -> int:
        """As `open`; what is marked before its `end` lies within it."""
        number = self.open(name, start, attributes)
        if number:
            self.within = number
        return number

    def end(self, number: int, end: float, attributes: Attributes | None = None) -> None:
        """Something that was opened or begun is over."""
        if not number:
            return
        mark = self.marks[number - 1]
        mark[2] = end
        if self.within == number:
            self.within = mark[3]
        if attributes:
            mark[4] = attributes if mark[4] is None else mark[4] | attributes

    def adopt(self, marks: list[Mark]) -> None:
        """What another process of this machine marked for it: on the same clock, and within what goes on here."""
        before = len(self.marks)
        room = MARKS_MAX - before
        self.left_out += max(0, len(marks) - room)
        for mark in marks[: max(0, room)]:
            mark[3] = mark[3] + before if mark[3] else self.within
            self.marks.append(mark)

    def span_of(self, number: int) -> int:
        """The id of the span that a mark becomes; 0 is the request itself."""
        return self.span + number

    def exemplar(self) -> dict[str, str]:
        """What leads from a measured value here."""
        return {"trace_id": self.id}

    def traceparent(self, number: int = 0) -> str:
        """The header for whoever is asked within a mark. Whether it is kept is decided later: only a caller says no."""
        return traceparent(self.id, self.span_of(number), sampled=self.asked is not False)


class Unmarked(Trace):
    """A trace of which nothing is kept: only the context goes on."""

    __slots__ = ()

    def add(self, name: str, start: float, end: float, attributes: Attributes | None = None) -> None:
        """Nothing."""

    def open(self, name: str, start: float, attributes: Attributes | None = None) -> int:  # noqa: ARG002  as a trace's
        """Nothing."""
        return 0

    def adopt(self, marks: list[Mark]) -> None:
        """Nothing."""


_current: ContextVar[Trace | None] = ContextVar("cmg_trace", default=None)
current = _current.get
"""The trace of the request or job that runs; None outside of any."""
enter = _current.set
"""Make a trace the current one of this task; give the token to `leave`."""
leave = _current.reset
