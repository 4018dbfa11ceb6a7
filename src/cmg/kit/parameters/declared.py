"""The routes of the control plane refuse what they do not declare in a query string."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from inspect import isclass
from typing import Any

from fastapi import Depends, Request
from fastapi.dependencies.utils import get_parameterless_sub_dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel

from cmg.kit.parameters.queries import refuse_unknown
from cmg.kit.permissions import PUBLIC, SIGNED, permission_of

_PAGING = frozenset({"limit", "cursor"})  # who goes through lists may say it to all: one that is short is one page


def guard(routes: Iterable[APIRoute], prefix: str) -> None:
    """Have the routes below a prefix refuse what they do not know, once the caller may be there at all.

    Not those that anybody reaches: they are opened by links, to which browsers, mail programs and providers add words.
    """
    for route in routes:
        if route.path.startswith(prefix) and permission_of(route) not in {PUBLIC, SIGNED}:
            tolerated = _PAGING if "GET" in (route.methods or ()) else frozenset[str]()
            check = Depends(_Known(dict.fromkeys(_names(route.dependant)), tolerated))
            route.dependant.dependencies.append(get_parameterless_sub_dependant(depends=check, path=route.path))


class _Known:
    """The last dependency of a route."""

    def __init__(self, names: Mapping[str, None], tolerated: Collection[str]) -> None:
        self._names, self._tolerated = names, tolerated

    async def __call__(self, request: Request) -> None:
        """Raise `InvalidRequest`."""
        given = [name for name in request.query_params if name not in self._tolerated]
        refuse_unknown(given, self._names)


def _names(dependant: Any) -> Iterator[str]:
    """The parameters that a route declares, those of a model one by one."""
    for field in dependant.query_params:
        model = field.field_info.annotation
        if isclass(model) and issubclass(model, BaseModel):
            yield from (one.alias or name for name, one in model.model_fields.items())
        else:
            yield field.alias
    for part in dependant.dependencies:
        yield from _names(part)
