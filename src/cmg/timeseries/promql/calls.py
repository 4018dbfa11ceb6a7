"""What each function of PromQL does with its arguments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np

from cmg.timeseries.labels import UNLABELLED, Frame, Labels, labels_of, nameless
from cmg.timeseries.promql.budget import Budget
from cmg.timeseries.promql.functions.dates import DATES
from cmg.timeseries.promql.functions.elementwise import MATHEMATICS, above, below, rounded
from cmg.timeseries.promql.functions.histograms import histogram_quantile
from cmg.timeseries.promql.functions.relabelling import label_join, label_replace
from cmg.timeseries.promql.functions.table import BLOCKS, EDGES, NATIVE, NUMBERED
from cmg.timeseries.promql.plan import Call, Node, Selector, Text
from cmg.timeseries.promql.vectors import Grid, Result, Vector, nothing, regrouped, sums
from cmg.timeseries.promql.windows import Windows
from cmg.timeseries.samples import Mask, Times, Values


class Sampled(Protocol):
    """An instant selector's series, and when each value was sampled."""

    @property
    def vector(self) -> Vector: ...  # noqa: D102  said above

    @property
    def sampled(self) -> Times: ...  # noqa: D102  said above


class Arguments(Protocol):
    """What evaluates a function's arguments."""

    @property
    def grid(self) -> Grid: ...  # noqa: D102  the steps

    @property
    def budget(self) -> Budget: ...  # noqa: D102  of the query

    def vector(self, node: Node) -> Vector: ...  # noqa: D102  one value a series and step

    def scalar(self, node: Node) -> Values: ...  # noqa: D102  one value a step

    def windows(self, node: Node, *, collapsed: bool = True) -> Windows: ...  # noqa: D102  many values a step

    def selected(self, node: Selector) -> Sampled: ...  # noqa: D102  values with their times


class Calls:
    """Calls of functions, evaluated over one grid."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._special: dict[str, Callable[[Call], Result]] = {
            "absent": self._absent,
            "absent_over_time": self._absent_over_time,
            "clamp": self._clamp,
            "clamp_max": lambda call: self._bounded(call, below),
            "clamp_min": lambda call: self._bounded(call, above),
            "histogram_quantile": lambda call: histogram_quantile(self._number(call, 0), self._vector(call, 1)),
            "label_join": lambda call: label_join(self._vector(call, 0), _words(call), self._arguments.budget),
            "label_replace": lambda call: label_replace(self._vector(call, 0), _words(call), self._arguments.budget),
            "pi": lambda _: np.full(self._steps, np.pi),
            "round": self._rounded,
            "scalar": self._scalar,
            "sort": lambda call: _sorted(self._vector(call, 0), descending=False),
            "sort_desc": lambda call: _sorted(self._vector(call, 0), descending=True),
            "time": lambda _: self._now(),
            "timestamp": self._timestamp,
            "vector": lambda call: self._unlabelled(self._number(call, 0)),
        }

    @property
    def _steps(self) -> int:
        return self._arguments.grid.steps

    def call(self, call: Call) -> Result:
        """The value of a call for every step."""
        name = call.name
        if name in EDGES:
            windows = self._arguments.windows(call.arguments[0])
            return self._over_time(windows, *EDGES[name](windows), named=name == "last_over_time")
        if name in BLOCKS:
            work, at_least = BLOCKS[name]
            windows = self._arguments.windows(call.arguments[0])
            return self._over_time(windows, *windows.each(work, at_least))
        if name in NUMBERED:
            return self._numbered(call)
        if name in MATHEMATICS:
            vector = self._vector(call, 0)
            with np.errstate(all="ignore"):
                return vector.nameless(MATHEMATICS[name](vector.values))
        if name in DATES:
            dated = self._vector(call, 0) if call.arguments else self._unlabelled(self._now())
            return dated.nameless(DATES[name](dated.values))
        if name in NATIVE:
            return nothing(self._arguments.grid)
        return self._special[name](call)

    def _vector(self, call: Call, place: int) -> Vector:
        return self._arguments.vector(call.arguments[place])

    def _number(self, call: Call, place: int) -> Values:
        return self._arguments.scalar(call.arguments[place])

    def _now(self) -> Values:
        return self._arguments.grid.times / 1000

    def _unlabelled(self, values: Values) -> Vector:
        return Vector(UNLABELLED, values[None, :], np.ones((1, self._steps), bool))

    def _over_time(self, windows: Windows, values: Values, present: Mask, *, named: bool = False) -> Vector:
        shape = (len(windows.samples.frame), self._steps)
        found = Vector(windows.samples.frame, np.broadcast_to(values, shape), np.broadcast_to(present, shape))
        if named:
            return found
        return regrouped(found, nameless(found.frame), over_all_steps=True)

    def _numbered(self, call: Call) -> Vector:
        place, work, at_least = NUMBERED[call.name]
        windows = self._arguments.windows(call.arguments[place], collapsed=False)
        numbers = self._number(call, 1 - place)
        return self._over_time(windows, *windows.each(lambda block: work(block, numbers), at_least))

    def _absent(self, call: Call) -> Vector:
        return self._missing(call, np.asarray(self._vector(call, 0).present.any(axis=0)))

    def _absent_over_time(self, call: Call) -> Vector:
        windows = self._arguments.windows(call.arguments[0])
        there = (windows.counts > 0).any(axis=0)
        return self._missing(call, np.broadcast_to(there, (self._steps,)))

    def _missing(self, call: Call, there: Mask) -> Vector:
        frame = Frame((_labels_meant(call.arguments[0]),))
        return Vector(frame, np.ones((1, self._steps)), ~there[None, :])

    def _clamp(self, call: Call) -> Vector:
        vector, least, most = self._vector(call, 0), self._number(call, 1), self._number(call, 2)
        found = vector.nameless(above(below(vector.values, most), least))
        return replace(found, present=found.present & ~(most < least))

    def _bounded(self, call: Call, bound: Callable[[Values, Values], Values]) -> Vector:
        vector = self._vector(call, 0)
        return vector.nameless(bound(vector.values, self._number(call, 1)))

    def _rounded(self, call: Call) -> Vector:
        vector = self._vector(call, 0)
        nearest = self._number(call, 1) if len(call.arguments) > 1 else np.ones(self._steps)
        with np.errstate(all="ignore"):
            return vector.nameless(rounded(vector.values, nearest))

    def _scalar(self, call: Call) -> Values:
        vector = self._vector(call, 0)
        everything = vector.frame.grouped(frozenset(), by=True)
        if not len(everything.frame):
            return np.full(self._steps, np.nan)
        values = sums(np.where(vector.present, vector.values, 0.0), everything)[0]
        return np.where(vector.present.sum(axis=0) == 1, values, np.nan)

    def _timestamp(self, call: Call) -> Vector:
        argument = call.arguments[0]
        if isinstance(argument, Selector):
            found = self._arguments.selected(argument)
            return found.vector.nameless(found.sampled / 1000)
        vector = self._vector(call, 0)
        return vector.nameless(np.broadcast_to(self._now(), vector.values.shape))


def _words(call: Call) -> list[str]:
    return [one.value for one in call.arguments[1:] if isinstance(one, Text)]


def _labels_meant(node: Node) -> Labels:
    """The labels that the selector of `absent` fixes; one that is named twice counts as not fixed."""
    if not isinstance(node, Selector):
        return ()
    meant: dict[str, str] = {}
    fixed: set[str] = set()
    for matcher in node.matchers:
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in fixed:
            meant[matcher.name] = matcher.value
            fixed.add(matcher.name)
        else:
            meant.pop(matcher.name, None)
    return labels_of(meant.items())


def _sorted(vector: Vector, *, descending: bool) -> Vector:
    """By value where there is one step, NaN last; over many steps the order of series means nothing."""
    if vector.values.shape[1] != 1 or not len(vector.frame):
        return vector
    values = vector.values[:, 0]
    nan = np.isnan(values)
    order = np.lexsort((np.where(nan, 0.0, -values if descending else values), nan))
    return vector.at_rows(order, Frame([vector.frame.labels[row] for row in order]))
