"""`/admin/v1/health`: what `/health/detailed` tells, for people who signed in; `/health` itself reads no cookies."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

from cmg.health import views
from cmg.health.reading import Standing
from cmg.kit.permissions import requires


def router(standing: Callable[[], Standing]) -> APIRouter:
    """200 whatever the level is: the question was answered."""
    routes = APIRouter(prefix="/admin/v1", tags=["health"], dependencies=[requires("admin:read")])

    @routes.get("/health", summary="How every component is")
    async def health() -> dict[str, Any]:
        """As `application/health+json`, with our `level`, and `levels` by component."""
        return views.full("detailed", standing())[1]

    return routes
