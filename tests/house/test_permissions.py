"""Every route of the control plane says who may call it."""

from fastapi.routing import APIRoute

from cmg.app.control_plane import build_for_docs, check_permissions
from cmg.kit.permissions import permission_of


def test_every_route_has_a_permission() -> None:
    app = build_for_docs()
    check_permissions(app)
    bare = [route.path for route in app.routes if isinstance(route, APIRoute) and permission_of(route) is None]
    assert not bare, bare


def test_what_changes_something_is_never_public() -> None:
    changing = [
        route.path
        for route in build_for_docs().routes
        if isinstance(route, APIRoute) and route.methods - {"GET", "HEAD"} and permission_of(route) == "public"
    ]
    assert not changing, changing


def test_administration_needs_an_administrators_scope() -> None:
    for route in build_for_docs().routes:
        if isinstance(route, APIRoute) and route.path.startswith("/admin/"):
            assert str(permission_of(route)).startswith("admin"), route.path
