"""`/metrics` of a machine."""

import ipaddress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cmg.app.processes.metrics import MergedMetrics
from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.permissions import public
from cmg.kit.scopes import covers
from cmg.telemetry.merging import expose


def metrics_router(metrics: MergedMetrics, metrics_allow: list[str]) -> APIRouter:
    """For whoever holds `metrics`, or asks from an address of `metrics_allow`."""
    router = APIRouter(tags=["operations"])
    allowed = [ipaddress.ip_network(one, strict=False) for one in metrics_allow]

    @router.get("/metrics", dependencies=[public("checks the scope itself: an allowed address needs no key")])
    async def scrape(request: Request) -> Response:
        """Every worker's metrics, merged; OpenMetrics when the `Accept` header asks for it."""
        _may_scrape(request, allowed)
        body, content_type = expose(await metrics.collect(), request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

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
