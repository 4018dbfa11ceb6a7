"""`/metrics` of a machine, and the figures of workspaces for a Prometheus elsewhere."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cmg.alerting.owned.store import workspaces_with_rules
from cmg.app.processes.metrics import MergedMetrics
from cmg.catalogue.workspace_series import LABEL, MOST_WORKSPACES, WORKSPACE_SERIES
from cmg.kit.errors import Forbidden, Unauthenticated
from cmg.kit.permissions import public
from cmg.kit.scopes import EVERYTHING, covers
from cmg.ledger.figures.workspaces import Figure, WorkspaceFigures
from cmg.storage.database import Database
from cmg.telemetry.merging import FamilySnapshot, Sample, Snapshot, expose


@dataclass(frozen=True)
class RuledFigures:
    """Figures of workspaces, of those that have rules before all others."""

    database: Database
    figures: WorkspaceFigures

    async def read(self) -> list[Figure]:
        """Raises `DatabaseAway`."""
        return await self.figures.read(await workspaces_with_rules(self.database, MOST_WORKSPACES))


_CHECKED = "checks the scope itself: an allowed address needs no key"


def metrics_router(metrics: MergedMetrics, metrics_allow: list[str], figures: RuledFigures) -> APIRouter:
    """For whoever holds the scope, or asks from an address of `metrics_allow`."""
    router = APIRouter(tags=["operations"])
    allowed = [ipaddress.ip_network(one, strict=False) for one in metrics_allow]

    @router.get("/metrics", dependencies=[public(_CHECKED)])
    async def scrape(request: Request) -> Response:
        """Every worker's metrics, merged; OpenMetrics when the `Accept` header asks for it."""
        _may_scrape(request, allowed, "metrics")
        body, content_type = expose(await metrics.collect(), request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    @router.get("/metrics/workspaces", dependencies=[public(_CHECKED)])
    async def scrape_workspaces(request: Request) -> Response:
        """What each workspace has used, for a Prometheus that evaluates their rules. Needs `admin:all`."""
        _may_scrape(request, allowed, EVERYTHING)
        body, content_type = expose(_families(await figures.read()), request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    return router


def _may_scrape(request: Request, allowed: list[Any], scope: str) -> None:
    caller = request.state.caller
    if caller is not None and covers(caller.scopes, scope):
        return
    if any(ipaddress.ip_address(request.state.client) in network for network in allowed):
        return
    if caller is None:
        raise Unauthenticated(f"send a key with the scope `{scope}`, or list this address in `metrics_allow`")
    raise Forbidden(f"this key lacks the scope `{scope}`", code="missing_scope")


def _families(figures: Sequence[Figure]) -> Snapshot:
    return [
        FamilySnapshot(
            declared.name.removesuffix("_total"),
            declared.kind,
            declared.help,
            [
                Sample(one.metric, ((LABEL, one.workspace_id), *one.labels), one.value)
                for one in figures
                if one.metric == declared.name
            ],
        )
        for declared in WORKSPACE_SERIES
    ]
