"""`/metrics` and the detailed health routes of the backstage process."""

import ipaddress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from cmg.app.health.resources import HEALTH_TYPE, Resources
from cmg.app.processes.metrics import MergedMetrics
from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.permissions import public, requires
from cmg.kit.scopes import covers
from cmg.telemetry.merging import expose

_HEALTH = HEALTH_TYPE[1].decode()


def operations_router(resources: Resources, metrics: MergedMetrics, metrics_allow: list[str]) -> APIRouter:
    """Health for whoever holds `metrics`; the metrics too, or an address of `metrics_allow`."""
    router = APIRouter(tags=["operations"])
    allowed = [ipaddress.ip_network(one, strict=False) for one in metrics_allow]

    @router.get("/metrics", dependencies=[public("checks the scope itself: an allowed address needs no key")])
    async def scrape(request: Request) -> Response:
        """Every worker's metrics, merged; OpenMetrics when the `Accept` header asks for it."""
        _may_scrape(request, allowed)
        body, content_type = expose(await metrics.collect(), request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @router.get("/health/detailed", dependencies=[requires("metrics")])
    async def detailed() -> JSONResponse:
        """Every part of this machine: process, gateways, journals, jobs, models, and what it depends on."""
        return _answer(await resources.detailed())

    @router.get("/health/dependencies", dependencies=[requires("metrics")])
    async def dependencies() -> JSONResponse:
        """What the service depends on and does not run itself: the database, Redis, the upstreams."""
        return _answer(await resources.dependencies())

    return router


def _may_scrape(request: Request, allowed: list[Any]) -> None:
    caller = request.state.caller
    if caller is not None and covers(caller.scopes, "metrics"):
        return
    if any(ipaddress.ip_address(request.state.client) in network for network in allowed):
        return
    if caller is None:
        raise Unauthenticated("send a key with the scope `metrics`, or list this address in `metrics_allow`")
    raise Forbidden("this key lacks the scope `metrics`", code="missing_scope")


def _answer(body: dict[str, Any]) -> JSONResponse:
    return JSONResponse(body, 503 if body["status"] == "fail" else 200, media_type=_HEALTH)
