"""Queries from end to end: text in, needs fetched, values out."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cmg.kit.clock import Clock
from cmg.timeseries.errors import BadData, ExecutionError
from cmg.timeseries.promql.budget import TOO_MANY, Budget
from cmg.timeseries.promql.evaluation import Evaluator
from cmg.timeseries.promql.needs import Need, Span, needs
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Kind, Node
from cmg.timeseries.promql.vectors import Grid, Result, Vector
from cmg.timeseries.samples import Samples

LOOKBACK_MS = 300_000
TIMEOUT_S = 120.0
_AT_ONCE = 4
_KINDS = {"matrix": "range vector", "string": "string"}


class Source(Protocol):
    """Where samples come from."""

    async def select(self, wanted: Sequence[Need]) -> Mapping[Need, Samples]:
        """The samples of every need. Raises `QueryError`."""
        ...


@dataclass(frozen=True)
class Limits:
    """How far back a value counts, and how long a query may take."""

    lookback_ms: int = LOOKBACK_MS
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True)
class Answer:
    """What a query gives: `value` is a vector or scalar over the grid, a string, or raw samples for a range vector."""

    kind: Kind
    grid: Grid
    value: Result | Samples

    @property
    def size(self) -> int:
        """How many numbers it has."""
        match self.value:
            case Vector():
                return int(self.value.present.sum())
            case Samples():
                return len(self.value.times)
        return self.grid.steps


class Engine:
    """Answers queries over one source, a few at once, each on a thread of its own (or here, without `threads`).

    Of large ones one at a time. Who must not wait for others' queries has an engine of its own.
    """

    def __init__(self, source: Source, clock: Clock, *, threads: bool = True) -> None:
        self._source, self._clock, self._threads = source, clock, threads
        self._turns, self._large = asyncio.Semaphore(_AT_ONCE), threading.Semaphore()

    async def instant(self, text: str, at_ms: int, limits: Limits = Limits()) -> Answer:
        """The value at one moment. Raises `QueryError`."""
        plan = parse(text, at_ms, at_ms)
        grid = Grid(np.array([at_ms], np.int64), 1)
        return await self._answer(plan, grid, limits)

    async def over(self, text: str, span: Span, step_ms: int, limits: Limits = Limits()) -> Answer:
        """The values at every step of a span. Raises `QueryError`."""
        plan = parse(text, span.first_ms, span.last_ms)
        if plan.kind in _KINDS:
            told = f'invalid expression type "{_KINDS[plan.kind]}" for range query, must be Scalar or instant Vector'
            raise BadData(told)
        times = np.arange(span.first_ms, span.last_ms + 1, step_ms, dtype=np.int64)
        return await self._answer(plan, Grid(times, step_ms), limits)

    async def _answer(self, plan: Node, grid: Grid, limits: Limits) -> Answer:
        deadline = self._clock.monotonic() + limits.timeout_s
        span = Span(int(grid.times[0]), int(grid.times[-1]))
        async with self._turns:
            found = await self._source.select(needs(plan, span, limits.lookback_ms))
            budget = Budget(lambda: self._clock.monotonic() < deadline, self._large)
            evaluator = Evaluator(grid, dict(found), limits.lookback_ms, budget)
            work: Callable[[Node], Result | Samples] = evaluator.raw if plan.kind == "matrix" else evaluator.evaluate
            value = _worked(work, plan, budget)
            return Answer(plan.kind, grid, await asyncio.to_thread(value) if self._threads else value())


def _worked(work: Callable[[Node], Result | Samples], plan: Node, budget: Budget) -> Callable[[], Result | Samples]:
    """The work, whose end gives back what it holds, and which ends in a `QueryError` if it takes too much."""

    def run() -> Result | Samples:
        try:
            return work(plan)
        except RecursionError as error:
            raise ExecutionError("the expression is nested too deeply") from error
        except MemoryError as error:
            raise ExecutionError(TOO_MANY) from error
        finally:
            budget.close()

    return run


Fetch = Callable[[Sequence[Need]], Awaitable[Mapping[Need, Samples]]]
