"""The routes of Prometheus' HTTP API, for whoever holds the scope `metrics`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import parse_qsl, quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from cmg.kit.clock import Clock
from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.bodies import body_of
from cmg.kit.permissions import requires
from cmg.timeseries.api.answers import failure
from cmg.timeseries.api.parameters import Form
from cmg.timeseries.api.walls import walled
from cmg.timeseries.errors import QueryError

_MOST_BYTES = 2**20
_ASKED = {
    "query": "The value of an expression at one moment.",
    "query_range": "The values of an expression at every step of a span.",
    "series": "The labels of every series that a selector means.",
    "labels": "The names of all labels.",
    "format_query": "An expression in its usual form.",
}
_GIVEN = {
    "metadata": "What targets say of their metrics: type, help and unit.",
    "rules": "The groups of rules.",
    "alerts": "The alerts that are pending or firing.",
    "status/buildinfo": "The version of Prometheus whose semantics these are.",
}


class Prometheus(Protocol):
    """Whoever answers, embedded or far away."""

    async def answer(self, endpoint: str, form: Form) -> tuple[int, bytes]:
        """Status and JSON of one call."""
        ...


Seen = Callable[[Request], str | None]
"""The one workspace that a caller sees; None: all of them."""


def router(prometheus: Prometheus, seen: Seen, clock: Clock) -> APIRouter:
    """Every endpoint below `/api/v1`; parameters come in the query or, with POST, in a form."""
    asked = _Asked(prometheus, seen, clock)
    routes = APIRouter(prefix="/api/v1", tags=["prometheus"])
    for endpoint, told in {**_ASKED, **_GIVEN}.items():
        for method in ("GET", "POST") if endpoint in _ASKED else ("GET",):
            routes.add_api_route(
                f"/{endpoint}",
                _handler(asked, endpoint),
                methods=[method],
                name=f"prometheus_{endpoint.replace('/', '_')}_{method.lower()}",
                summary=told,
                dependencies=[requires("metrics")],
            )

    @routes.get("/label/{name}/values", dependencies=[requires("metrics")])
    async def prometheus_label_values(name: str, request: Request) -> Response:
        """The values of one label."""
        return await asked.answered(f"label/{quote(name, safe='')}/values", request)

    return routes


@dataclass(frozen=True)
class _Asked:
    prometheus: Prometheus
    seen: Seen
    clock: Clock

    async def answered(self, endpoint: str, request: Request) -> Response:
        """What Prometheus says to a call, asked for no more than the caller may see."""
        form, workspace = await _form(request), self.seen(request)
        try:
            asked = form if workspace is None else walled(endpoint, form, workspace, self.clock)
        except QueryError as error:
            return Response(failure(error.kind, str(error)), error.status, media_type="application/json")
        status, body = await self.prometheus.answer(endpoint, asked)
        return Response(body, status, media_type="application/json")


def _handler(asked: _Asked, endpoint: str) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        return await asked.answered(endpoint, request)

    return handle


async def _form(request: Request) -> Form:
    """Parameters of the query and of a form, the form's first. Raises `TooLarge`, `InvalidRequest`."""
    body = await body_of(request, _MOST_BYTES, f"the form is larger than the limit of {_MOST_BYTES} bytes")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True)
        pairs += parse_qsl(request.url.query, keep_blank_values=True)
    except ValueError as error:
        raise InvalidRequest(f"the form cannot be read: {error}") from error
    form: dict[str, list[str]] = {}
    for name, value in pairs:
        form.setdefault(name, []).append(value)
    return form
