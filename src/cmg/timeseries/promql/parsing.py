"""From text to a plan, by `promql-parser`, with what that parser lets through or would not survive checked here."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import promql_parser as syntax
import re2

from cmg.timeseries.errors import BadData
from cmg.timeseries.promql.functions.table import KNOWN
from cmg.timeseries.promql.plan import (
    Aggregate,
    Binary,
    Call,
    Cardinality,
    Kind,
    Matcher,
    Matching,
    Negation,
    Node,
    Number,
    Selector,
    Subquery,
    Text,
    anchored,
)

# The parser works its way down the tree on the thread's stack: at some thousands of operators the process would die.
_TOKENS = 1000
_CHARACTERS = 32 * 1024
_LONGEST_MS = 292 * 365 * 86_400_000  # what Go's durations hold
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)
      | (?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)
      | (?P<word>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<number>0[xX][0-9a-fA-F_]+|(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
# The parser's own kinds cannot be looked up in a table, their names can.
_KINDS: dict[str, Kind] = {
    str(syntax.ValueType.Vector): "vector",
    str(syntax.ValueType.Scalar): "scalar",
    str(syntax.ValueType.Matrix): "matrix",
    str(syntax.ValueType.String): "string",
}
_MATCH = {
    str(syntax.MatchOp.Equal): "=",
    str(syntax.MatchOp.NotEqual): "!=",
    str(syntax.MatchOp.Re): "=~",
    str(syntax.MatchOp.NotRe): "!~",
}
_CARDINALITY: dict[str, Cardinality] = {
    str(syntax.VectorMatchCardinality.OneToOne): "one-to-one",
    str(syntax.VectorMatchCardinality.ManyToOne): "many-to-one",
    str(syntax.VectorMatchCardinality.OneToMany): "one-to-many",
    str(syntax.VectorMatchCardinality.ManyToMany): "many-to-many",
}
_EXPERIMENTAL_AGGREGATIONS = {"limitk", "limit_ratio"}
_SETS = {"and", "or", "unless"}


def parse(text: str, start_ms: int = 0, end_ms: int = 0) -> Node:
    """The plan of an expression in a query over these times. Raises `BadData` with the parser's words."""
    with _readable():
        return _Reader(start_ms, end_ms).node(_tree(text)) if "@" in text else _timeless(text)


@lru_cache(maxsize=512)
def _timeless(text: str) -> Node:
    """The plan of an expression that names no moment: rules ask for the same ones again and again."""
    return _Reader(0, 0).node(syntax.parse(_checked(text)))


@contextmanager
def _readable() -> Iterator[None]:
    """What the parser says, or dies of, as `BadData`: numbers that it cannot hold it only meets when it is asked."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise BadData(f"parse error: {error}") from error
    except RecursionError as error:
        raise BadData("parse error: the expression is nested too deeply") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # a Rust panic, which is no `Exception` and has no class to import
            raise
        raise BadData(f"parse error: {error}") from error


def selectors(text: str) -> Selector:
    """The series selector that `match[]` gives. Raises `BadData`."""
    node = parse(text)
    if not isinstance(node, Selector) or node.range_ms is not None:
        raise BadData(f"parse error: {text} is no series selector")
    return node


def pretty(text: str) -> str:
    """The expression in its usual form. Raises `BadData`."""
    with _readable():
        return str(_tree(text).prettify())


def _tree(text: str) -> Any:
    return syntax.parse(_checked(text))


def _checked(text: str) -> str:
    """The text with plain numbers (`1_000` is 1000). Raises `BadData` for what the parser cannot take."""
    if len(text) > _CHARACTERS:
        raise BadData(f"parse error: the expression is longer than {_CHARACTERS} characters")
    told, tokens, after_at = [], 0, False
    for found in _TOKEN.finditer(text):
        piece = found[0]
        if found["number"]:
            piece = piece.replace("_", "")
            _check_number(piece, after_at=after_at)
        if not found["blank"]:
            tokens += 1
            if after_at and piece == "-":
                raise BadData("times before 1970 are not supported with @")
            after_at = piece == "@" or (after_at and piece == "+")
        told.append(piece)
    if tokens > _TOKENS:
        raise BadData(f"parse error: the expression has more than {_TOKENS} words and signs")
    return "".join(told)


def _check_number(piece: str, *, after_at: bool) -> None:
    if piece[:2] in {"0x", "0X"}:
        return
    value = float(piece)
    if value == float("inf"):
        raise BadData(f"parse error: number out of range: {piece}")
    if after_at and value > 2e11:
        raise BadData(f"parse error: timestamp out of bounds for @ modifier: {piece}")


def _ms(duration: timedelta | None) -> int:
    if duration is None:
        return 0
    ms = duration // timedelta(milliseconds=1)
    if abs(ms) > _LONGEST_MS:
        raise BadData("parse error: duration out of range")
    return ms


class _Reader:
    """Turns the parser's tree into a plan."""

    def __init__(self, start_ms: int, end_ms: int) -> None:
        self._start, self._end = start_ms, end_ms

    def node(self, tree: Any) -> Node:
        """One node and all below it. Raises `BadData`."""
        found: Node
        match tree:
            case syntax.ParenExpr():
                found = self.node(tree.expr)
            case syntax.NumberLiteral():
                found = Number(tree.val)
            case syntax.StringLiteral():
                found = Text(tree.val)
            case syntax.UnaryExpr():
                found = Negation(self.node(tree.expr))
            case syntax.VectorSelector():
                found = self._selector(tree, None)
            case syntax.MatrixSelector():
                found = self._selector(tree.vector_selector, _window(tree.range))
            case syntax.SubqueryExpr():
                step = None if tree.step is None else _window(tree.step)
                at = self._at(tree.at)
                found = Subquery(self.node(tree.expr), _window(tree.range), step, _ms(tree.offset), at)
            case syntax.Call():
                found = self._call(tree)
            case syntax.AggregateExpr():
                found = self._aggregate(tree)
            case _:
                found = self._binary(tree)
        return found

    def _selector(self, tree: Any, range_ms: int | None) -> Selector:
        if tree.matchers.or_matchers:
            raise BadData("parse error: unexpected <or> in label matching")
        matchers = [Matcher(one.name, _MATCH[str(one.op)], one.value) for one in tree.matchers.matchers]
        if tree.name is not None:
            matchers.insert(0, Matcher("__name__", "=", tree.name))
        for one in matchers:
            if one.op in {"=~", "!~"}:
                _check_pattern(one.value)
        return Selector(tuple(matchers), _ms(tree.offset), self._at(tree.at), range_ms)

    def _at(self, at: Any) -> int | None:
        if at is None:
            return None
        if at.type == syntax.AtModifierType.Start:
            return self._start
        if at.type == syntax.AtModifierType.End:
            return self._end
        moment: datetime = at.at
        return round((moment - _EPOCH) / timedelta(milliseconds=1))

    def _call(self, tree: Any) -> Call:
        name = tree.func.name
        if tree.func.experimental:
            raise BadData(f'parse error: function "{name}" is not enabled: it is experimental in Prometheus')
        if name not in KNOWN:
            raise BadData(f'parse error: function "{name}" is not supported here')
        return Call(name, tuple(self.node(one) for one in tree.args), _KINDS[str(tree.func.return_type)])

    def _aggregate(self, tree: Any) -> Aggregate:
        op = str(tree.op)
        if op in _EXPERIMENTAL_AGGREGATIONS:
            raise BadData(f"parse error: {op}() is not enabled: it is experimental in Prometheus")
        parameter = None if tree.param is None else self.node(tree.param)
        by, labels = True, frozenset[str]()
        if tree.modifier is not None:
            by, labels = tree.modifier.type == syntax.AggModifierType.By, frozenset(tree.modifier.labels)
        return Aggregate(op, self.node(tree.expr), parameter, labels, by)

    def _binary(self, tree: Any) -> Binary:
        op, modifier = str(tree.op), tree.modifier
        matching, as_bool = Matching(), False
        if modifier is not None:
            if (modifier.fill_values.lhs, modifier.fill_values.rhs) != (None, None):
                raise BadData("parse error: fill modifiers are not enabled: they are experimental in Prometheus")
            as_bool, named = modifier.return_bool, modifier.matching
            matching = Matching(
                _CARDINALITY[str(modifier.card)],
                named is not None and named.type == syntax.LabelModifierType.Include,
                frozenset(named.labels) if named is not None else frozenset(),
                tuple(modifier.group_labels or ()),
            )
        if op in _SETS:
            matching = Matching("many-to-many", matching.on, matching.labels)
        return Binary(op, self.node(tree.lhs), self.node(tree.rhs), matching, as_bool)


def _window(duration: timedelta | None) -> int:
    ms = _ms(duration)
    if ms <= 0:
        raise BadData("parse error: duration must be greater than 0")
    return ms


def _check_pattern(pattern: str) -> None:
    try:
        anchored(pattern)
    except re2.error as error:
        raise BadData(f"parse error: illegal regular expression {pattern!r}: {error}") from error
