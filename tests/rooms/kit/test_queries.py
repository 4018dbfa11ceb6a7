"""A parameter that a path does not know is told, never ignored: a mistyped filter would give out everything."""

from typing import Annotated

import pytest
from fastapi import APIRouter, Query
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from pydantic import BaseModel

from cmg.app.control_plane import build_for_docs, documented
from cmg.kit.errors import InvalidRequest
from cmg.kit.parameters.queries import refuse_unknown
from cmg.kit.permissions import PUBLIC, SIGNED, permission_of, public, routes_of


class Wanted(BaseModel):
    """A query as most lists take it."""

    model: str | None = None
    since: str | None = Query(None, alias="from")


def routes() -> APIRouter:
    router = APIRouter()

    @router.get("/admin/v1/things")
    async def things(_wanted: Annotated[Wanted, Query()], limit: int = 10) -> int:
        return limit

    @router.get("/admin/v1/things/{name}")
    async def thing(name: str) -> str:
        return name

    @router.get("/admin/v1/link", dependencies=[public("opened from mails")])
    async def link() -> str:
        return "here"

    @router.get("/api/v1/query")
    async def query() -> str:
        return "Prometheus' clients send what they like"

    return router


@pytest.fixture(scope="module")
def client() -> TestClient:
    return TestClient(documented([routes()]))


KNOWN = ["things", "things?model=a&from=b&limit=5", "things/x", "link?utm_source=mail", "../../api/v1/query?stats=all"]
KNOWN += ["things?limit=1&cursor=", "things/x?limit=1"]  # who goes through lists says it to all


@pytest.mark.parametrize("path", KNOWN)
def test_what_a_path_takes_is_taken(client: TestClient, path: str) -> None:
    assert client.get(f"/admin/v1/{path}").status_code == 200


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("things?modle=a", "modle"),
        ("things?since=b", "since"),
        ("things?limit=5&%00=1", "\0"),
        ("things/x?page=1", "page"),
    ],
)
def test_what_it_does_not_know_is_named(client: TestClient, path: str, name: str) -> None:
    answer = client.get(f"/admin/v1/{path}")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "unknown_parameter", name)
    assert name in error["message"]


def test_the_answer_is_short_however_much_is_sent() -> None:
    with pytest.raises(InvalidRequest) as error:
        refuse_unknown({f"{number}" * 5000: "" for number in range(100, 500)}, ("limit",))
    assert len(error.value.message) < 1000


def test_every_administrative_route_that_is_not_opened_by_a_link_is_guarded() -> None:
    app = build_for_docs()
    found = [route.original_route for route in routes_of(app) if route.path.startswith("/admin/v1/")]
    guarded = [one for one in found if permission_of(one) not in {PUBLIC, SIGNED}]
    assert len(guarded) > 100
    for route in guarded:
        assert isinstance(route, APIRoute)
        assert type(route.dependant.dependencies[-1].call).__name__ == "_Known", route.path
