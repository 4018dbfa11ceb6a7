"""The evaluator: a plan and the samples it needs become values for every step of a grid."""

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.promql.budget import Budget
from cmg.timeseries.promql.calls import Calls
from cmg.timeseries.promql.needs import Found, Span, need_of, subquery_span
from cmg.timeseries.promql.operators.aggregation import aggregated, groups_of, quantile
from cmg.timeseries.promql.operators.arithmetic import between_scalars, with_scalar
from cmg.timeseries.promql.operators.matching import both_of, combined, either_of, left_without
from cmg.timeseries.promql.operators.ranking import counted_values, extremes
from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Negation, Node, Number, Selector, Subquery, Text
from cmg.timeseries.promql.vectors import Grid, Result, Vector
from cmg.timeseries.promql.windows import Windows, windows
from cmg.timeseries.samples import Samples, Times, Values, is_stale, joined

_SETS = {"and": both_of, "unless": left_without, "or": either_of}


@dataclass(frozen=True)
class Selected:
    """An instant selector's series, and when each value was sampled (ms)."""

    vector: Vector
    sampled: Times


class Evaluator:
    """Evaluates plans over one grid; `found` holds what they need. Raises `ExecutionError`, `QueryTimeout`."""

    def __init__(self, grid: Grid, found: Found, lookback_ms: int, budget: Budget) -> None:
        self.grid, self.budget = grid, budget
        self._found, self._lookback = found, lookback_ms
        self._calls = Calls(self)
        self._span = Span(int(grid.times[0]), int(grid.times[-1]))

    def evaluate(self, node: Node) -> Result:
        """The value of a node for every step: (T,) of a scalar, a vector, or a string."""
        self.budget.check_time()
        found: Result
        match node:  # no method of its own: long chains of operators are as deep as Python goes
            case Number():
                found = np.full(self.grid.steps, node.value)
            case Text():
                return node.value
            case Selector() if node.range_ms is None:
                found = self.selected(node).vector
            case Selector() | Subquery():
                raise ExecutionError("a range vector has no value of its own at a step")
            case Call():
                found = self._calls.call(node)
            case Aggregate():
                found = self._aggregate(node)
            case Binary():
                found = self._binary(node)
            case Negation():
                found = self._negated(node)
            case _:
                assert_never(node)
        self.budget.charge(found.values.size if isinstance(found, Vector) else self.grid.steps)
        return found

    def vector(self, node: Node) -> Vector:
        """The value of a node that is a vector."""
        found = self.evaluate(node)
        assert isinstance(found, Vector), node
        return found

    def scalar(self, node: Node) -> Values:
        """The value of a node that is a scalar, (T,)."""
        found = self.evaluate(node)
        assert isinstance(found, np.ndarray), node
        return found

    def selected(self, node: Selector) -> Selected:
        """The last sample of each series within the lookback, unless it says that the series ended."""
        samples = self._found[need_of(node, self._span, self._lookback)]
        moments = self._moments(node, fixed=node.at_ms is not None)
        self.budget.check(len(samples.frame) * self.grid.steps)
        shape = (len(samples.frame), self.grid.steps)
        if not len(samples.times):
            nothing = Vector(samples.frame, np.zeros(shape), np.zeros(shape, bool))
            return Selected(nothing, np.zeros(shape, np.int64))
        low, high = samples.bounds(moments - self._lookback, moments)
        place = np.maximum(high - 1, 0)
        values = samples.values[place]
        present = (high > low) & ~is_stale(values)
        vector = Vector(samples.frame, np.broadcast_to(values, shape), np.broadcast_to(present, shape))
        return Selected(vector, np.broadcast_to(samples.times[place], shape))

    def windows(self, node: Node, *, collapsed: bool = True) -> Windows:
        """The windows of a range vector: one for each step, or a single one where `@` makes all the same."""
        assert isinstance(node, Selector | Subquery), node
        assert node.range_ms is not None, node
        if isinstance(node, Selector):
            samples = self._found[need_of(node, self._span, self._lookback)]
        else:
            samples = self._inner(node)
        ends = self._moments(node, fixed=collapsed and node.at_ms is not None)
        self.budget.charge(len(samples.frame) * len(ends))
        moments = self.grid.times if len(ends) == self.grid.steps else ends
        return windows(samples, moments, ends, node.range_ms, self.budget)

    def raw(self, node: Node) -> Samples:
        """The samples of a range vector at a single step: what an instant query for it answers."""
        found = self.windows(node)
        parts = [
            (found.samples.times[low:high], found.samples.values[low:high])
            for low, high in zip(found.low[:, 0], found.high[:, 0], strict=True)
        ]
        return joined(found.samples.frame, parts)

    def _inner(self, node: Subquery) -> Samples:
        """A subquery's values at its own steps, as samples."""
        span, step = subquery_span(node, self._span)
        self.budget.charge((span.last_ms - span.first_ms) // step + 1)
        times = np.arange(span.first_ms, span.last_ms + 1, step, dtype=np.int64)
        if not len(times):
            times = np.array([span.first_ms], np.int64)
        found = Evaluator(Grid(times, step), self._found, self._lookback, self.budget).vector(node.body)
        rows, columns = np.nonzero(found.present)
        counts = np.bincount(rows, minlength=len(found.frame))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.intp)
        return Samples(found.frame, offsets, times[columns], found.values[rows, columns])

    def _moments(self, node: Selector | Subquery, *, fixed: bool) -> Times:
        if node.at_ms is None:
            return self.grid.times - node.offset_ms
        return np.full(1 if fixed else self.grid.steps, node.at_ms - node.offset_ms, np.int64)

    def _negated(self, node: Negation) -> Result:
        found = self.evaluate(node.body)
        if isinstance(found, Vector):
            return found.nameless(-found.values)
        assert isinstance(found, np.ndarray), node
        return -found

    def _aggregate(self, node: Aggregate) -> Vector:
        vector = self.vector(node.body)
        if node.op == "count_values":
            assert isinstance(node.parameter, Text), node
            return counted_values(vector, node.parameter.value, node, self.budget)
        groups = groups_of(vector.frame, node.labels, by=node.by)
        if node.parameter is None:
            return aggregated(node.op, vector, groups)
        number = self.scalar(node.parameter)
        if node.op == "quantile":
            return quantile(number, vector, groups)
        return extremes(vector, groups, number, top=node.op == "topk")

    def _binary(self, node: Binary) -> Result:
        left, right = self.evaluate(node.left), self.evaluate(node.right)
        if isinstance(left, Vector) and isinstance(right, Vector):
            if node.op in _SETS:
                return _SETS[node.op](left, right, node.matching)
            return combined(node.op, left, right, node.matching, self.budget, as_bool=node.as_bool)
        if isinstance(left, Vector):
            assert isinstance(right, np.ndarray), node
            return with_scalar(node.op, left, right, as_bool=node.as_bool, scalar_first=False)
        assert isinstance(left, np.ndarray), node
        if isinstance(right, Vector):
            return with_scalar(node.op, right, left, as_bool=node.as_bool, scalar_first=True)
        assert isinstance(right, np.ndarray), node
        return between_scalars(node.op, left, right)
