"""Which samples a plan needs: every selector with the times its evaluation can touch."""

from dataclasses import dataclass

from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Matcher, Negation, Node, Selector, Subquery
from cmg.timeseries.samples import Samples

DEFAULT_STEP_MS = 60_000
"""Between the steps of a subquery that names none: Prometheus' default interval of evaluation."""


@dataclass(frozen=True)
class Need:
    """Samples of some series in `(after_ms, until_ms]`."""

    matchers: tuple[Matcher, ...]
    after_ms: int
    until_ms: int


Found = dict[Need, Samples]


@dataclass(frozen=True)
class Span:
    """The times that an evaluation covers, first and last step included."""

    first_ms: int
    last_ms: int

    def shifted(self, node: Selector | Subquery) -> "Span":
        """What `offset` and `@` make of it."""
        if node.at_ms is not None:
            return Span(node.at_ms - node.offset_ms, node.at_ms - node.offset_ms)
        return Span(self.first_ms - node.offset_ms, self.last_ms - node.offset_ms)


def need_of(node: Selector, span: Span, lookback_ms: int) -> Need:
    """What one selector needs when it is evaluated over a span."""
    moved = span.shifted(node)
    return Need(node.matchers, moved.first_ms - (node.range_ms or lookback_ms), moved.last_ms)


def subquery_span(node: Subquery, span: Span) -> tuple[Span, int]:
    """The steps within a subquery: whole multiples of its own step, after the first window's start."""
    step, moved = node.step_ms or DEFAULT_STEP_MS, span.shifted(node)
    first = (moved.first_ms - node.range_ms) // step * step + step
    return Span(first, max(first - step, moved.last_ms // step * step)), step


def needs(node: Node, span: Span, lookback_ms: int) -> list[Need]:
    """Everything that a plan needs over a span, in the order it stands."""
    match node:
        case Selector():
            return [need_of(node, span, lookback_ms)]
        case Subquery():
            return needs(node.body, subquery_span(node, span)[0], lookback_ms)
        case Call():
            return [need for one in node.arguments for need in needs(one, span, lookback_ms)]
        case Aggregate():
            parameter = [] if node.parameter is None else needs(node.parameter, span, lookback_ms)
            return needs(node.body, span, lookback_ms) + parameter
        case Binary():
            return needs(node.left, span, lookback_ms) + needs(node.right, span, lookback_ms)
        case Negation():
            return needs(node.body, span, lookback_ms)
        case _:
            return []
