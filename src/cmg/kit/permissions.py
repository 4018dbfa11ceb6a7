"""The permission of every control-plane route, as a FastAPI dependency that can also be read back.

`dependencies=[requires("admin")]`, `[signed_in()]`, `[signed("…")]` or `[public("a probe")]` stands on each route; the
composition root refuses to start with a route that has none of them, so that no path is open by oversight. A key or a
person's session satisfies `requires`; what only a person can do asks for `signed_in`; what is `signed` proves itself.
"""

from collections.abc import Iterator
from hmac import compare_digest
from typing import Any, Protocol

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.openapi.models import APIKey, APIKeyIn, HTTPBearer
from fastapi.openapi.models import SecurityBase as SecurityModel
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from fastapi.security.base import SecurityBase

from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.scopes import covers

PUBLIC = "public"
SESSION = "session"
SIGNED = "signed"
SESSION_COOKIE = "__Host-cmg_session"
CSRF_HEADER = "x-cmg-csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_WHO = "send an API key as `Authorization: Bearer cmg_…` or `x-api-key`, or sign in"


class Restraints(Protocol):
    """What a session must show or do first, beside having the scope."""

    csrf: str
    must_change: bool
    flagged: bool


class Holder(Protocol):
    """Whoever makes the request: all that a permission needs to know of a caller."""

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of the key or account."""
        ...

    @property
    def session(self) -> Restraints | None:
        """The session of a person; None: a key."""
        ...


class Permission(SecurityBase):
    """Lets a request pass when `request.state.caller` holds the scope. Raises `Unauthenticated`, `Forbidden`."""

    def __init__(self, scope: str) -> None:
        self.permission = scope
        self.model: SecurityModel = HTTPBearer(
            description="An API key, `cmg_<id>_<secret>`; `x-api-key` is read as well."
        )
        self.scheme_name = "key"

    async def __call__(self, request: Request) -> None:
        """Check the caller of a request."""
        caller: Holder | None = getattr(request.state, "caller", None)
        if caller is None:
            raise Unauthenticated(_WHO)
        session = caller.session
        if session is not None and session.must_change:
            raise Forbidden("change the password first: POST /admin/v1/me/password", code="password_change_needed")
        if not covers(caller.scopes, self.permission):
            holder = "key" if session is None else "account"
            raise Forbidden(f"this {holder} lacks the scope `{self.permission}`", code="missing_scope")
        if session is not None:
            check_intended(session, request)
            if session.flagged and request.method not in _SAFE:
                raise Forbidden(
                    "this session goes on from another client; confirm the password first: POST /admin/v1/me/confirm",
                    code="password_needed",
                )


class SignedIn(SecurityBase):
    """Lets a person's session pass, whatever its role. `restrained`: also before what it must do first."""

    permission = SESSION

    def __init__(self, *, restrained: bool) -> None:
        self._restrained = restrained
        self.model: SecurityModel = APIKey.model_validate({"in": APIKeyIn.cookie, "name": SESSION_COOKIE})
        self.scheme_name = "session"

    async def __call__(self, request: Request) -> None:
        """Check the caller of a request."""
        caller: Holder | None = getattr(request.state, "caller", None)
        if caller is None:
            raise Unauthenticated("sign in first: POST /admin/v1/login", code="not_signed_in")
        session = caller.session
        if session is None:
            raise Forbidden("this is for people who signed in, not for API keys", code="session_needed")
        check_intended(session, request)
        if self._restrained:
            return
        if session.must_change:
            raise Forbidden("change the password first: POST /admin/v1/me/password", code="password_change_needed")
        if session.flagged and request.method not in _SAFE:
            raise Forbidden(
                "this session goes on from another client; confirm the password first: POST /admin/v1/me/confirm",
                code="password_needed",
            )


class Open:
    """Marks a route that needs no key, with the reason why."""

    permission = PUBLIC

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def __call__(self) -> None:
        """Let everybody pass."""


class Signed(Open):
    """Marks a route that needs no key because what is sent proves itself: a link or a body that is signed."""

    permission = SIGNED


def check_intended(session: Restraints, request: Request) -> None:
    """A browser sends its cookie with what other sites make it send; only our own pages know the token beside it.

    Raises `Forbidden`.
    """
    if request.method in _SAFE:
        return
    if not compare_digest(request.headers.get(CSRF_HEADER, "").encode(), session.csrf.encode()):
        raise Forbidden(f"send the session's `csrf` (GET /admin/v1/me) as the header `{CSRF_HEADER}`", code="csrf")


def requires(scope: str) -> Any:
    """The dependency of a route that needs `scope`."""
    return Depends(Permission(scope))


def signed_in(*, restrained: bool = False) -> Any:
    """The dependency of a route that a person uses for their own account."""
    return Depends(SignedIn(restrained=restrained))


def public(reason: str) -> Any:
    """The dependency of a route that anybody may call, and why that is right."""
    if not reason.strip():
        raise ValueError("a public route needs a reason")
    return Depends(Open(reason))


def signed(reason: str) -> Any:
    """The dependency of a route that checks a signature itself, and whose that is."""
    if not reason.strip():
        raise ValueError("a signed route needs a reason")
    return Depends(Signed(reason))


def permission_of(route: Any) -> str | None:
    """The scope a route requires, `session`, `signed`, `public`, or None when nobody decided."""
    return next(_permissions(getattr(route, "dependant", None)), None)


def _permissions(dependant: Any) -> Iterator[str]:
    for part in getattr(dependant, "dependencies", ()):
        if isinstance(part.call, Permission | SignedIn | Open):
            yield part.call.permission
        yield from _permissions(part)


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Every HTTP route of an application, those of included routers too (`app.routes` holds these only as routers).

    Each has `path`, `methods`, `path_regex` and goes into `permission_of`.
    """
    return (route for route in iter_route_contexts(app.routes) if isinstance(route.original_route, APIRoute))


def joined(*parts: APIRouter) -> APIRouter:
    """One router of several that have whole paths, with their routes as they are: to include one builds it anew."""
    whole = APIRouter()
    for part in parts:
        whole.routes.extend(part.routes)
    return whole
