"""mem0's filter language as a jsonpath predicate on an item, and whose items it can fulfil.

`AND`, `OR`, `NOT` hold lists of conditions; a plain object is an `AND` of its fields. A field has a value, or an object
of operators: eq, ne, in, gt, gte, lt, lte, contains, icontains; `*` is any value.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from cmg.kit.errors import InvalidRequest
from cmg.memory.api.reading import instant
from cmg.memory.control.models import Whose
from cmg.memory.text.cleaning import bounded_id

_ENTITIES = {"user_id": "users", "agent_id": "agents", "app_id": "apps", "run_id": "threads"}
_TIMES = {"created_at": "created_at", "updated_at": "recorded_at", "timestamp": "created_at"}
_TEXTS = {"keywords": "content", "memory": "content", "content": "content", "kind": "kind", "role": "role"}
_SIGNS = {"eq": "==", "ne": "!=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_GROUPS = ("AND", "OR", "NOT")
_DEPTH, _CONDITIONS, _VALUES = 8, 100, 100
_PARAM = "filters"

Literal_ = str | int | float | bool | None


class Filter(msgspec.Struct, frozen=True):
    """`predicate`: what an item must fulfil; `whose`: outside these nothing can, None: anybody's could.

    `told`: the predicate says no more than `whose` does.
    """

    predicate: str
    whose: Whose | None
    told: bool = False


class Compiler:
    """Compiles one filter; bounds how much it may ask for."""

    def __init__(self) -> None:
        self._conditions = 0

    def filter(self, value: Any, depth: int = 0) -> Filter:
        """A filter, or one of its parts. Raises `InvalidRequest` that names the field."""
        if depth > _DEPTH:
            raise _wrong(f"are nested deeper than {_DEPTH}")
        if not isinstance(value, Mapping) or not value:
            raise _wrong('must be an object with at least one field, as `{"user_id": "…"}`')
        parts = [self._entry(str(name), inner, depth) for name, inner in value.items()]
        return _all(parts)

    def _entry(self, name: str, value: Any, depth: int) -> Filter:
        if name in _GROUPS:
            inner = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
            if not inner:
                raise _wrong(f"`{name}` needs at least one condition")
            parts = [self.filter(one, depth + 1) for one in inner]
            if name == "AND":
                return _all(parts)
            return _any(parts) if name == "OR" else Filter(f"!({_any(parts).predicate})", None)
        self._conditions += 1
        if self._conditions > _CONDITIONS:
            raise _wrong(f"hold more than {_CONDITIONS} conditions")
        return self._condition(name, value)

    def _condition(self, name: str, value: Any) -> Filter:
        if name == "metadata":
            return Filter(self._metadata(value), None)
        operators = value if isinstance(value, Mapping) else {"eq": value}
        if not operators:
            raise _wrong(f"`{name}` needs a value or an operator", name)
        write = _writer(name)
        parts = [write(operator, operand) for operator, operand in operators.items()]
        whose = _whose(name, operators)
        return Filter(_and(parts), whose, told=whose is not None and len(parts) == 1)

    def _metadata(self, value: Any) -> str:
        """Fields of the caller's metadata, each with a value or operators."""
        if not isinstance(value, Mapping) or not value:
            raise _wrong("`metadata` must be an object of fields", "metadata")
        parts = []
        for name, operand in value.items():
            path = f"$.metadata.{_json(str(name))}"
            operators = operand if isinstance(operand, Mapping) else {"eq": operand}
            parts += [_compare(path, operator, one, _plain(name)) for operator, one in operators.items()]
        return _and(parts)


def compiled(value: Any) -> Filter:
    """The filter of a request. Raises `InvalidRequest`."""
    return Compiler().filter(value)


def _writer(name: str) -> Callable[[str, Any], str]:
    """How a condition on a field is written."""
    if name in _ENTITIES:
        path = "$.thread_id" if name == "run_id" else f"$.{name}"
        return lambda operator, operand: _compare(path, operator, operand, _entity(name))
    if name in _TIMES:
        return lambda operator, operand: _time(f"$.{_TIMES[name]}", operator, operand, name)
    if name in _TEXTS:
        return lambda operator, operand: _compare(f"$.{_TEXTS[name]}", operator, operand, _plain(name))
    if name == "memory_ids":
        return lambda operator, operand: _compare("$.id", "in" if operator == "eq" else operator, operand, _plain(name))
    if name == "categories":
        return lambda operator, operand: _compare("$.metadata.categories[*]", operator, operand, _plain(name))
    known = ", ".join((*_GROUPS, *_ENTITIES, *_TIMES, "categories", "keywords", "memory_ids", "metadata"))
    raise _wrong(f"do not know the field `{name[:60]}`; known are {known}", name)


def _compare(path: str, operator: str, operand: Any, literal: Callable[[Any], str]) -> str:
    if operand == "*" and operator == "eq":
        return f"({path} != null)"
    if operator in _SIGNS:
        return f"({path} {_SIGNS[operator]} {literal(operand)})"
    if operator == "in":
        values = operand if isinstance(operand, list) else [operand]
        if not 1 <= len(values) <= _VALUES:
            raise _wrong(f"`in` takes a list of 1 to {_VALUES} values")
        return _or([f"({path} == {literal(one)})" for one in values])
    if operator in {"contains", "icontains"}:
        text = _json(str(operand))
        flags = "q" if operator == "contains" else "iq"
        return f'(({path} like_regex {text} flag "{flags}") || ({path}[*] == {text}))'
    known = ", ".join((*_SIGNS, "in", "contains", "icontains"))
    raise _wrong(f"do not know the operator `{str(operator)[:40]}`; known are {known}")


def _time(path: str, operator: str, operand: Any, name: str) -> str:
    if operator not in _SIGNS:
        raise _wrong(f"`{name}` takes {', '.join(_SIGNS)}", name)
    return f"({path}.datetime() {_SIGNS[operator]} {_json(_moment(operand, name))}.datetime())"


def _moment(value: Any, name: str) -> str:
    """A date, a time or epoch seconds as jsonpath reads it."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        known = datetime.fromtimestamp(value, UTC) if number else instant(value)
        return known.isoformat(timespec="microseconds")
    except (ValueError, TypeError, AttributeError, OverflowError, OSError):
        raise _wrong(f"`{name}` is compared with a date, an RFC 3339 time or epoch seconds", name) from None


def _entity(name: str) -> Callable[[Any], str]:
    def literal(value: Any) -> str:
        if not isinstance(value, str) or not value:
            raise _wrong(f"`{name}` is compared with a name", name)
        return _json(bounded_id(value))

    return literal


def _plain(name: str) -> Callable[[Any], str]:
    def literal(value: Any) -> str:
        if value is not None and not isinstance(value, str | int | float | bool):
            raise _wrong(f"`{str(name)[:60]}` is compared with a string, a number, true, false or null", str(name))
        return _json(value)

    return literal


def _whose(name: str, operators: Mapping[str, Any]) -> Whose | None:
    """Whose items can fulfil a condition on an entity."""
    field = _ENTITIES.get(name)
    if field is None:
        return None
    for operator in ("eq", "in"):
        operand = operators.get(operator)
        if operand is not None and operand != "*":
            values = operand if isinstance(operand, list) else [operand]
            return msgspec.structs.replace(Whose(), **{field: [bounded_id(str(one)) for one in values]})
    return None


def _all(parts: Sequence[Filter]) -> Filter:
    """Every part: what is narrowest bounds it, and a user is narrower than an agent."""
    bound = [part.whose for part in parts if part.whose is not None]
    if len(parts) == 1:
        return parts[0]
    bound.sort(key=lambda one: (not one.users, len(one.users), bool(one.agents or one.apps or one.threads)))
    return Filter(_and([part.predicate for part in parts]), bound[0] if bound else None)


def _any(parts: Sequence[Filter]) -> Filter:
    whose: Whose | None = Whose()
    for part in parts:
        whose = None if whose is None or part.whose is None else _union(whose, part.whose)
    return Filter(_or([part.predicate for part in parts]), whose)


def _union(one: Whose, other: Whose) -> Whose:
    return Whose(
        users=[*one.users, *other.users],
        agents=[*one.agents, *other.agents],
        apps=[*one.apps, *other.apps],
        threads=[*one.threads, *other.threads],
    )


def _and(parts: Sequence[str]) -> str:
    return f"({' && '.join(parts)})"


def _or(parts: Sequence[str]) -> str:
    return f"({' || '.join(parts)})"


def _json(value: Literal_) -> str:
    text = msgspec.json.encode(value).decode()
    if "\\u0000" in text:
        raise _wrong("must not hold NUL characters")
    return text


def _wrong(what: str, name: str | None = None) -> InvalidRequest:
    return InvalidRequest(f"`{_PARAM}` {what}", param=_PARAM if name is None else f"{_PARAM}.{name[:60]}")
