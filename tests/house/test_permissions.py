"""Every route of the control plane says who may call it."""

from collections.abc import Iterable
from functools import cache

from fastapi import FastAPI

from cmg.app.control_plane import build_for_docs, check_permissions
from cmg.kit.permissions import permission_of, routes_of

# What changes something and needs no session yet: here a password, a link's token or a mere wish to sign in is shown.
DOORS = {
    "/admin/v1/login",
    "/admin/v1/invitations/accept",
    "/admin/v1/password/reset",
    "/admin/v1/password/forgotten",
}
# Where a browser goes to the identity provider, and comes back.
LOGIN = {"/admin/v1/login/oidc", "/admin/v1/login/oidc/callback"}
# What people do with their own account, whatever their role.
OWN = ("/admin/v1/me", "/admin/v1/sessions", "/admin/v1/logout")

# What one may only look at with more than `admin:read`, and why; a path ends here with all that is below it.
MORE_THAN_READING = {
    "/admin/v1/accounts": "names people, their addresses and where they sign in from",
    "/admin/v1/audit": "names people and what they did",
    "/admin/v1/logs/levels": "of the whole service, not of a workspace",
    "/admin/v1/logs/holds": "who holds what of all workspaces is a matter of law",
    "/admin/v1/incidents": "of the whole service, not of a workspace",
    "/admin/v1/events": "of the whole service, not of a workspace",
    "/admin/v1/maintenances": "of the whole service, not of a workspace",
    "/admin/v1/settings": "of the whole service, not of a workspace",
    "/admin/v1/jobs": "of the whole service, not of a workspace",
}
_SEEN = {"admin:read", "session", "signed", "public", "models", "metrics"}


@cache
def documented() -> FastAPI:
    """The whole control plane; to build it takes a second."""
    return build_for_docs()


def _own(path: str) -> bool:
    return any(path == one or path.startswith(f"{one}/") for one in OWN)


def test_every_route_has_a_permission() -> None:
    app = documented()
    check_permissions(app)
    routes = list(routes_of(app))
    assert len(routes) > 40, "the routes of included routers are not seen"
    bare = [route.path for route in routes if permission_of(route) is None]
    assert not bare, bare


def test_what_changes_something_is_never_public_but_for_the_doors() -> None:
    changing = {
        route.path
        for route in routes_of(documented())
        if (route.methods or set()) - {"GET", "HEAD"} and permission_of(route) == "public"
    }
    assert changing == DOORS


def test_administration_needs_an_administrators_scope() -> None:
    for route in routes_of(documented()):
        if route.path.startswith("/admin/") and not _own(route.path) and route.path not in (DOORS | LOGIN):
            assert str(permission_of(route)).startswith("admin"), route.path


def test_the_own_account_needs_a_session() -> None:
    for route in routes_of(documented()):
        if _own(route.path):
            assert permission_of(route) == "session", route.path


def test_seeing_is_not_changing() -> None:
    """`admin:read` is a role's right to look: it stands on nothing that changes something."""
    wrong = [
        route.path
        for route in routes_of(documented())
        if permission_of(route) == "admin:read" and (route.methods or set()) - {"GET", "HEAD"}
    ]
    assert not wrong, wrong


def _below(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(f"{root}/") for root in roots)


def test_looking_asks_for_no_more_than_reading_but_where_there_is_a_reason() -> None:
    looking = [route for route in routes_of(documented()) if "GET" in (route.methods or set())]
    wrong = [
        f"{route.path} ({permission_of(route)})"
        for route in looking
        if permission_of(route) not in _SEEN and not _below(route.path, MORE_THAN_READING)
    ]
    assert not wrong, wrong
    idle = [root for root in MORE_THAN_READING if not any(_below(route.path, [root]) for route in looking)]
    assert not idle, f"nobody needs these exceptions: {idle}"
