"""The permission of every control-plane route, as a FastAPI dependency that can also be read back.

`dependencies=[requires("admin")]` or `dependencies=[public("a probe")]` stands on each route; the composition root
refuses to start with a route that has neither, so that no path is open by oversight.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase

from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.scopes import covers

PUBLIC = "public"


class Holder(Protocol):
    """Whoever makes the request: all that a permission needs to know of a caller."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the key or account."""
        ...


class Permission(SecurityBase):
    """Lets a request pass when `request.state.caller` holds the scope. Raises `Unauthenticated`, `Forbidden`."""

    def __init__(self, scope: str) -> None:
        self.permission = scope
        self.model = HTTPBearer(description="An API key, `cmg_<id>_<secret>`; `x-api-key` is read as well.")
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> None:
        """Check the caller of a request."""
        caller: Holder | None = getattr(request.state, "caller", None)
        if caller is None:
            raise Unauthenticated("send an API key as `Authorization: Bearer cmg_…` or `x-api-key`")
        if not covers(caller.scopes, self.permission):
            raise Forbidden(f"this key lacks the scope `{self.permission}`", code="missing_scope")


class Open:
    """Marks a route that needs no key, with the reason why."""

    permission = PUBLIC

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self) -> None:
        """Let everybody pass."""


def requires(scope: str) -> Any:
    """The dependency of a route that needs `scope`."""
    return Depends(Permission(scope))


def public(reason: str) -> Any:
    """The dependency of a route that anybody may call, and why that is right."""
    if not reason.strip():
        raise ValueError("a public route needs a reason")
    return Depends(Open(reason))


def permission_of(route: Any) -> str | None:
    """The scope a route requires, `public`, or None when nobody decided."""
    return next(_permissions(getattr(route, "dependant", None)), None)


def _permissions(dependant: Any) -> Iterator[str]:
    for part in getattr(dependant, "dependencies", ()):
        if isinstance(part.call, Permission | Open):
            yield part.call.permission
        yield from _permissions(part)


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Every HTTP route of an application, those of included routers too (`app.routes` holds these only as routers).

    Each has `path`, `methods`, `path_regex` and goes into `permission_of`.
    """
    return (route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute))
