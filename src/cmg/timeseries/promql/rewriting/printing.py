"""A tree as text that reads back as the same tree, here and by Prometheus."""

import math

import msgspec

from cmg.timeseries.errors import BadData
from cmg.timeseries.labels import NAME
from cmg.timeseries.promql.parsing import parse
from cmg.timeseries.promql.plan import Aggregate, Binary, Call, Matcher, Negation, Node, Number, Selector, Subquery
from cmg.timeseries.written import number, timestamp

_SETS = {"and", "or", "unless"}


def printed(node: Node) -> str:
    """The expression, with more parentheses than people would write. Raises `BadData` when it is not the same then."""
    text = _written(node)
    if not same(parse(text), node):
        raise BadData(f"the expression cannot be written out: {text[:200]}")
    return text


def same(one: Node, other: Node) -> bool:
    """Whether two trees are equal (their nodes compare by identity)."""
    return _shape(one) == _shape(other)


def _shape(node: Node) -> object:
    """A tree as nested tuples; NaN is equal to NaN in them."""
    match node:
        case Number():
            return "number", repr(node.value)
        case Selector():
            # Whatever stands before the braces is a matcher like the others.
            return "selector", frozenset(node.matchers), node.offset_ms, node.at_ms, node.range_ms
        case Subquery():
            return "subquery", _shape(node.body), node.range_ms, node.step_ms, node.offset_ms, node.at_ms
        case Call():
            return "call", node.name, tuple(_shape(one) for one in node.arguments)
        case Aggregate():
            parameter = None if node.parameter is None else _shape(node.parameter)
            return "aggregate", node.op, _shape(node.body), parameter, node.labels, node.by
        case Binary():
            return "binary", node.op, _shape(node.left), _shape(node.right), node.matching, node.as_bool
        case Negation():
            return "negation", _shape(node.body)
        case _:
            return "text", node.value


def _written(node: Node) -> str:
    match node:
        case Number():
            return f"({number(node.value)})" if node.value < 0 else _number(node.value)
        case Selector():
            window = "" if node.range_ms is None else f"[{node.range_ms}ms]"
            return f"{_matchers(node.matchers)}{window}{_moved(node)}"
        case Subquery():
            step = "" if node.step_ms is None else f"{node.step_ms}ms"
            return f"({_written(node.body)})[{node.range_ms}ms:{step}]{_moved(node)}"
        case Call():
            return f"{node.name}({', '.join(_written(one) for one in node.arguments)})"
        case Aggregate():
            return _aggregate(node)
        case Binary():
            return _binary(node)
        case Negation():
            return f"-({_written(node.body)})"
        case _:
            return _text(node.value)


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else "Inf" if math.isinf(value) else number(value)


def _text(value: str) -> str:
    """Quoted as Go reads it, which JSON's escapes are a part of."""
    return msgspec.json.encode(value).decode()


def _matchers(matchers: tuple[Matcher, ...]) -> str:
    """All in braces: a name of a metric is a matcher of `__name__`, also one that is no word."""
    return "{" + ", ".join(f"{_label(one.name)}{one.op}{_text(one.value)}" for one in matchers) + "}"


def _label(name: str) -> str:
    plain = name == NAME or (name.isascii() and name.replace("_", "a").isalnum() and not name[0].isdigit())
    return name if plain else _text(name)


def _moved(node: Selector | Subquery) -> str:
    offset = "" if not node.offset_ms else f" offset {'-' if node.offset_ms < 0 else ''}{abs(node.offset_ms)}ms"
    return offset if node.at_ms is None else f"{offset} @ {timestamp(node.at_ms)}"


def _aggregate(node: Aggregate) -> str:
    labels = ", ".join(_label(one) for one in sorted(node.labels))
    modifier = f" by ({labels})" if node.by and node.labels else "" if node.by else f" without ({labels})"
    parameter = "" if node.parameter is None else f"{_written(node.parameter)}, "
    return f"{node.op}{modifier} ({parameter}{_written(node.body)})"


def _binary(node: Binary) -> str:
    matching = node.matching
    modifiers = " bool" if node.as_bool else ""
    if matching.on or matching.labels:
        word = "on" if matching.on else "ignoring"
        modifiers += f" {word} ({', '.join(_label(one) for one in sorted(matching.labels))})"
    side = {"many-to-one": "left", "one-to-many": "right"}.get(matching.cardinality)
    if side is not None and node.op not in _SETS:
        modifiers += f" group_{side} ({', '.join(_label(one) for one in matching.include)})"
    return f"({_written(node.left)}) {node.op}{modifiers} ({_written(node.right)})"
