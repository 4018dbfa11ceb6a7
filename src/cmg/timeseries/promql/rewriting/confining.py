"""An expression that reads only some series, whatever it says: a matcher is put into every selector of its tree."""

from collections.abc import Iterator
from dataclasses import replace

from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Matcher, Negation, Node, Selector, Subquery


def confined(node: Node, *forced: Matcher) -> Node:
    """The same with these matchers beside those of every selector: a series has to satisfy both."""
    match node:
        case Selector():
            return replace(node, matchers=(*node.matchers, *forced))
        case Subquery() | Negation():
            return replace(node, body=confined(node.body, *forced))
        case Call():
            return replace(node, arguments=tuple(confined(one, *forced) for one in node.arguments))
        case Aggregate():
            parameter = None if node.parameter is None else confined(node.parameter, *forced)
            return replace(node, body=confined(node.body, *forced), parameter=parameter)
        case Binary():
            return replace(node, left=confined(node.left, *forced), right=confined(node.right, *forced))
        case _:
            return node


def nodes_of(node: Node) -> Iterator[Node]:
    """A node and everything below it, in the order it stands."""
    yield node
    match node:
        case Subquery() | Negation():
            below: tuple[Node, ...] = (node.body,)
        case Call():
            below = node.arguments
        case Aggregate():
            below = (node.body,) if node.parameter is None else (node.parameter, node.body)
        case Binary():
            below = (node.left, node.right)
        case _:
            below = ()
    for one in below:
        yield from nodes_of(one)
