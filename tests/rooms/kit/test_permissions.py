"""A route's permission is enforced, can be read back, and cannot be forgotten by nesting routers."""

import pytest
from fastapi import APIRouter, FastAPI

from cmg.kit.permissions import permission_of, public, requires, routes_of
from cmg.kit.scopes import covers


def _app() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    outer, inner = APIRouter(prefix="/outer"), APIRouter(dependencies=[requires("admin")])

    @inner.get("/inherited")
    async def inherited() -> None: ...

    @outer.get("/own", dependencies=[requires("metrics")])
    async def own() -> None: ...

    @outer.get("/open", dependencies=[public("a probe")])
    async def opened() -> None: ...

    @outer.get("/forgotten")
    async def forgotten() -> None: ...

    outer.include_router(inner, prefix="/inner")
    app.include_router(outer)
    return app


def test_every_route_is_seen_with_its_permission() -> None:
    found = {route.path: permission_of(route) for route in routes_of(_app())}
    assert found == {
        "/outer/inner/inherited": "admin",
        "/outer/own": "metrics",
        "/outer/open": "public",
        "/outer/forgotten": None,
    }


def test_what_is_public_has_a_reason() -> None:
    with pytest.raises(ValueError, match="reason"):
        public(" ")


def test_scopes_cover_what_lies_below_them() -> None:
    assert covers(frozenset({"admin"}), "chat")
    assert not covers(frozenset({"admin"}), "admin:all")
    assert not covers(frozenset(), "chat")
