"""What is wrong with a dashboard by the pinned schema: fields that it does not know, and values of another kind."""

import enum
import json
import types
import typing
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()  # else panels' options and targets are read without looking at them
_PLAIN = {str: str, int: int, float: (int, float), bool: bool}


def problems(told: dict[str, Any]) -> list[str]:
    """Each with its place; none when the schema takes the dashboard whole."""
    try:
        read = Dashboard.from_json(told)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return [f"it cannot be read: {error!r}"]
    kept = json.loads(JSONEncoder(sort_keys=True).encode(read))
    return [*_kinds(read, Dashboard, ""), *_lost(told, kept, "")]


def _kinds(value: Any, hint: Any, place: str) -> Iterator[str]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        found = [list(_kinds(value, one, place)) for one in inner]
        yield from [] if [] in found else found[0]
    elif hint in {Any, object}:
        yield from _fields(value, place)
    elif origin is typing.Literal:
        yield from () if value in inner else (f"{place}: {value!r} is none of {inner}",)
    elif origin in {list, dict} and isinstance(value, origin):
        pairs = enumerate(value) if origin is list else value.items()
        for key, one in pairs:
            yield from _kinds(one, inner[-1], f"{place}[{key!r}]")
    elif hint in _PLAIN:
        good = isinstance(value, _PLAIN[hint]) and (hint is bool or not isinstance(value, bool))
        yield from () if good else (f"{place}: {value!r} is no {hint.__name__}",)
    elif isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield from () if value in {one.value for one in hint} else (f"{place}: {value!r} is none of {hint}",)
    elif isinstance(value, dict) and hasattr(hint, "from_json"):  # the library leaves some lists as they are
        read = hint.from_json(value)
        yield from _lost(value, json.loads(JSONEncoder().encode(read)), place)
        yield from _fields(read, place)
    elif not isinstance(value, origin or hint):
        yield f"{place}: {type(value).__name__} is no {hint}"
    else:
        yield from _fields(value, place)


def _fields(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, enum.Enum) or not type(value).__module__.startswith("grafana_foundation_sdk.models"):
        return
    for name, hint in typing.get_type_hints(type(value)).items():
        yield from _kinds(getattr(value, name), hint, f"{place}.{name}")


def _lost(told: Any, kept: Any, place: str) -> Iterator[str]:
    """What the schema has no field for is not there any more after it was read and written."""
    if isinstance(told, dict) and isinstance(kept, dict):
        for name in told.keys() | kept.keys():
            if name in told and name in kept:
                yield from _lost(told[name], kept[name], f"{place}.{name}")
            else:
                yield f"{place}.{name}: {'no field of the schema' if name in told else 'not as it was written'}"
    elif isinstance(told, list) and isinstance(kept, list) and len(told) == len(kept):
        for number, (one, other) in enumerate(zip(told, kept, strict=True)):
            yield from _lost(one, other, f"{place}[{number}]")
    elif told != kept:
        yield f"{place}: {told!r} became {kept!r}"
