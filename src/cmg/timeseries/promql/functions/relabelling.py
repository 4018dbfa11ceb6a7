"""`label_replace` and `label_join`: series under other labels."""

import re
from collections.abc import Sequence
from typing import Any

import re2

from cmg.timeseries.errors import ExecutionError
from cmg.timeseries.labels import Labels, labels_of
from cmg.timeseries.promql.budget import Budget
from cmg.timeseries.promql.plan import anchored
from cmg.timeseries.promql.vectors import Vector, regrouped

_LONGEST = 4096  # of a label's value that is made here: each nesting may double it
_CELL = 8
_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|(?P<bare>\w+)|\{(?P<braced>\w+)\})", re.ASCII)


def label_replace(vector: Vector, words: Sequence[str], budget: Budget) -> Vector:
    """Set a label from another one where that matches: words are target, replacement, source, pattern.

    Raises `ExecutionError` for a bad pattern or name, when two series become one, and when a value is too long.
    """
    target, replacement, source, pattern = words
    try:
        compiled = anchored(pattern)
    except re2.error as error:
        raise ExecutionError(f"invalid regular expression in label_replace(): {pattern}") from error
    _check_name(target, "invalid destination label name in label_replace()")

    def changed(labels: Labels) -> Labels:
        found = compiled.fullmatch(dict(labels).get(source, ""))
        return labels if found is None else _with(labels, target, _expanded(replacement, found), budget)

    groups = vector.frame.renamed(changed)
    return regrouped(vector, groups, over_all_steps=True)


def label_join(vector: Vector, words: Sequence[str], budget: Budget) -> Vector:
    """Set a label to others' values with a separator between them: words are target, separator, sources.

    Raises `ExecutionError` for a bad name, when two series become one, and when a value is too long.
    """
    target, separator, *sources = words
    _check_name(target, "invalid destination label name in label_join()")
    for source in sources:
        _check_name(source, "invalid source label name in label_join()")

    def changed(labels: Labels) -> Labels:
        values = dict(labels)
        return _with(labels, target, separator.join(values.get(source, "") for source in sources), budget)

    groups = vector.frame.renamed(changed)
    return regrouped(vector, groups, over_all_steps=True)


def _check_name(name: str, told: str) -> None:
    if not name:
        raise ExecutionError(f"{told}: {name}")


def _with(labels: Labels, name: str, value: str, budget: Budget) -> Labels:
    if len(value) > _LONGEST:
        raise ExecutionError(f"the label {name} would have a value of more than {_LONGEST} characters")
    budget.charge(len(value) // _CELL)
    return labels_of({**dict(labels), name: value}.items())


def _expanded(template: str, found: Any) -> str:
    """Go's `Expand`: `$1`, `${1}`, `$name`; an unknown group is empty, `$$` a dollar, any other `$` itself."""

    def value(reference: re.Match[str]) -> str:
        if reference["dollar"]:
            return "$"
        name = reference["bare"] or reference["braced"]
        if name.isdigit():
            return (found.group(int(name)) or "") if int(name) <= found.re.groups else ""
        return found.groupdict().get(name) or ""

    return _REFERENCE.sub(value, template)
