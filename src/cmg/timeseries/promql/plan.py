"""An expression as a tree of plain values: every duration in ms, `@ start()` already resolved."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

import re2

Kind = Literal["scalar", "vector", "matrix", "string"]
Cardinality = Literal["one-to-one", "many-to-one", "one-to-many", "many-to-many"]


@dataclass(frozen=True)
class Matcher:
    """One condition on a label; `op` is `=`, `!=`, `=~` or `!~`. A missing label counts as empty."""

    name: str
    op: str
    value: str

    def accepts(self, value: str) -> bool:
        """Whether a series with this value of the label is meant."""
        if self.op in {"=", "!="}:
            return (value == self.value) is (self.op == "=")
        return (anchored(self.value).fullmatch(value) is not None) is (self.op == "=~")


@lru_cache(maxsize=1024)
def anchored(pattern: str) -> Any:
    """The compiled expression as Prometheus reads it: `.` matches a line's end too. Raises `re2.error`."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(f"(?s:{pattern})", options)


@dataclass(frozen=True, eq=False)
class Number:
    """A number, or a duration in seconds."""

    value: float
    kind: ClassVar[Kind] = "scalar"


@dataclass(frozen=True, eq=False)
class Text:
    """A string."""

    value: str
    kind: ClassVar[Kind] = "string"


@dataclass(frozen=True, eq=False)
class Selector:
    """Series by their labels; with `range_ms` all samples of a window instead of the last one."""

    matchers: tuple[Matcher, ...]
    offset_ms: int = 0
    at_ms: int | None = None
    range_ms: int | None = None

    @property
    def kind(self) -> Kind:
        """Whether one sample a step is meant, or many."""
        return "vector" if self.range_ms is None else "matrix"


@dataclass(frozen=True, eq=False)
class Subquery:
    """An expression evaluated over a window; without `step_ms` at the default interval."""

    body: "Node"
    range_ms: int
    step_ms: int | None
    offset_ms: int = 0
    at_ms: int | None = None
    kind: ClassVar[Kind] = "matrix"


@dataclass(frozen=True, eq=False)
class Call:
    """A function and its arguments."""

    name: str
    arguments: tuple["Node", ...]
    kind: Kind


@dataclass(frozen=True, eq=False)
class Aggregate:
    """An aggregation; `by` says whether `labels` are kept or dropped."""

    op: str
    body: "Node"
    parameter: "Node | None"
    labels: frozenset[str]
    by: bool
    kind: ClassVar[Kind] = "vector"


@dataclass(frozen=True)
class Matching:
    """How the series of two sides find each other: `on` these labels, or ignoring them; what `group_…` carries over."""

    cardinality: Cardinality = "one-to-one"
    on: bool = False
    labels: frozenset[str] = frozenset()
    include: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Binary:
    """An operator between two sides; `as_bool` gives 0 and 1 where a comparison would filter."""

    op: str
    left: "Node"
    right: "Node"
    matching: Matching
    as_bool: bool

    @property
    def kind(self) -> Kind:
        """A scalar only out of two scalars."""
        return "scalar" if self.left.kind == self.right.kind == "scalar" else "vector"


@dataclass(frozen=True, eq=False)
class Negation:
    """Minus an expression."""

    body: "Node"

    @property
    def kind(self) -> Kind:
        """What its body is."""
        return self.body.kind


Node: TypeAlias = Number | Text | Selector | Subquery | Call | Aggregate | Binary | Negation
