"""How the components of the status page are, from the health of this machine."""

from collections.abc import Mapping
from typing import Any

from cmg.app.health.resources import Resources

Checks = Mapping[str, list[dict[str, Any]]]


class SeenComponents:
    """Looks at the same checks as `/health/detailed`."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def states(self) -> Mapping[str, str]:
        """Component → a status in the status page's words."""
        body = await self._resources.detailed()
        return seen(body["checks"])


def seen(checks: Checks) -> dict[str, str]:
    """The states that some checks mean.

    Without the database calls go on from memory, without recall, and nothing can be administered. Without the embedder
    recall finds less. A circuit breaker that is open keeps calls from a model.
    """
    away = _bad(checks, "database:availability")
    gateways = [one for one in checks.get("process:answers", ()) if str(one["componentId"]).startswith("gateway")]
    silent = [one for one in gateways if one["status"] != "pass"]
    upstreams = checks.get("upstream:openBreakers", ())
    broken = [one for one in upstreams if one["status"] != "pass"]
    memory = "degraded_performance" if _bad(checks, "embedder:availability") else "operational"
    return {
        "api": _share(len(silent), len(gateways)),
        "memory": "partial_outage" if away else memory,
        "upstreams": "degraded_performance" if broken else "operational",
        "administration": "major_outage" if away else "operational",
    }


def _bad(checks: Checks, name: str) -> bool:
    return any(one["status"] != "pass" for one in checks.get(name, ()))


def _share(bad: int, every: int) -> str:
    if bad == 0:
        return "operational"
    return "major_outage" if bad == every else "partial_outage"
