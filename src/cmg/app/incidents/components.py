"""How the components of the status page are, from the health of this machine."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime

from cmg.health.models import Level, State
from cmg.health.reading import Standing
from cmg.incidents.status.models import Span

Spans = Callable[[datetime, datetime], Awaitable[Sequence[Span]]]


class SeenComponents:
    """Looks at the same states as `/health/detailed`; `spans` tells of the past."""

    def __init__(self, standing: Callable[[], Standing], spans: Spans) -> None:
        self._standing, self._spans = standing, spans

    async def past(self, since: datetime, until: datetime) -> Sequence[Span]:
        """What the history of health knows of a time. Raises `DatabaseAway`."""
        return await self._spans(since, until)

    async def states(self) -> Mapping[str, str]:
        """Component → a status in the status page's words."""
        return seen(self._standing().states)


def seen(states: Sequence[State]) -> dict[str, str]:
    """The states that the levels mean.

    Without the database calls go on from memory, without recall, and nothing can be administered. Without the embedder
    recall finds less. Gateways and upstreams are out in part while others of them answer.
    """
    by_name = {state.component.name: state for state in states}
    away = _level(by_name, "database") >= Level.UNHEALTHY
    poor = max(_level(by_name, "memory"), _level(by_name, "database")) > Level.HEALTHY
    memory = "degraded_performance" if poor else "operational"
    return {
        "api": _api(by_name.get("gateway")),
        "memory": "partial_outage" if away else memory,
        "upstreams": _share([one.level for one in states if one.component.family == "upstream"]),
        "administration": "major_outage" if away else "operational",
    }


def _level(states: Mapping[str, State], name: str) -> Level:
    return states[name].level if name in states else Level.HEALTHY


def _api(gateway: State | None) -> str:
    """A full journal refuses every call; a process that does not answer, its share of them."""
    if gateway is None or gateway.level == Level.HEALTHY:
        return "operational"
    if gateway.level >= Level.UNHEALTHY:
        return "major_outage"
    lost = any(one.measurement == "answers" and one.level > Level.HEALTHY for one in gateway.readings)
    return "partial_outage" if lost else "degraded_performance"


def _share(levels: Sequence[Level]) -> str:
    if not levels or max(levels) == Level.HEALTHY:
        return "operational"
    if min(levels) >= Level.UNHEALTHY:
        return "major_outage"
    return "partial_outage" if max(levels) >= Level.UNHEALTHY else "degraded_performance"
