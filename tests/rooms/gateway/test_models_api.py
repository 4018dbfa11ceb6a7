"""`GET /v1/models`: what a key may ask for, in OpenAI's shapes."""

from typing import Any

import msgspec
import pytest

from cmg.config import RouteSettings, UpstreamSettings
from cmg.gateway.models_api import ModelsHandler
from cmg.gateway.routing.catalogue import Catalogue
from cmg.gateway.routing.catalogue_sync import CatalogueSync
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import SIMULATOR, Upstream
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.identity.models import ApiKey, Caller, Workspace
from cmg.kit.asgi import Request
from cmg.kit.errors import Forbidden, ModelNotFound
from cmg.ledger.prices import PriceBook
from support.listing_transport import ListingTransport

LOCAL = {"data": [{"id": "small", "created": 7, "max_model_len": 8000}, {"id": "acme/big", "context_length": 64_000}]}
FAR = {"data": [{"id": "other", "created": 9, "pricing": {"prompt": 0.000001, "completion": "0.000002"}}]}
SIMULATED = sorted(model["id"] for model in SIMULATOR_MODELS)


def caller(**key: Any) -> Caller:
    made = ApiKey(id="k", workspace_id="default", name="k", **key)
    return Caller(made, Workspace(id="default", name="Default"), frozenset(made.scopes), "127.0.0.1")


class Api:
    """Calls the handlers as the data plane does."""

    def __init__(self, handler: ModelsHandler) -> None:
        self.handler = handler
        self.headers: dict[bytes, bytes] = {}

    async def get(self, path: str, who: Caller) -> Any:
        """The decoded answer; its headers stay in `headers`."""
        request = Request({"method": "GET", "path": path, "headers": [], "query_string": b""}, None, "127.0.0.1")
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        method = self.handler.list if path == "/v1/models" else self.handler.one
        await method(request, send, who)
        assert sent[0]["status"] == 200
        self.headers = dict(sent[0]["headers"])
        return msgspec.json.decode(sent[1]["body"])

    async def ids(self, **key: Any) -> list[str]:
        """The listed ids for such a key."""
        return [one["id"] for one in (await self.get("/v1/models", caller(**key)))["data"]]


@pytest.fixture
async def api(database, clock, instruments) -> Api:
    local = UpstreamSettings(name="local", base_url="http://local/v1", models=["*"])
    far = UpstreamSettings(name="far", base_url="http://far/v1")
    away = UpstreamSettings(name="away", base_url="http://away/v1")
    simulator = UpstreamSettings(name=SIMULATOR, base_url="http://simulator/v1")
    upstreams = [
        Upstream(local, ListingTransport((200, LOCAL))),
        Upstream(far, ListingTransport((200, FAR))),
        Upstream(simulator, SimulatorTransport(clock)),
    ]
    synced = [*upstreams, Upstream(away, ListingTransport((200, FAR)))]
    await CatalogueSync(synced, database, clock, instruments).sync()
    catalogue = Catalogue(database, PriceBook([]), clock)
    await catalogue.load()
    routes = [
        RouteSettings(model="smart", candidates=["local/small", "local/acme/big"]),
        RouteSettings(model="lost", candidates=["away/other"]),
    ]
    unset = Upstream(away, ListingTransport((200, FAR)), "AWAY_KEY")
    simulated = [name.removeprefix("sim/") for name in SIMULATED]
    return Api(ModelsHandler(catalogue, Router([*upstreams, unset], routes, simulated)))


async def test_everything_the_key_may_use_is_listed_in_order(api):
    answer = await api.get("/v1/models", caller())
    assert answer["object"] == "list"
    ids = [one["id"] for one in answer["data"]]
    assert ids == sorted(["far/other", "local/acme/big", "local/small", "smart", *SIMULATED])
    assert all(one["object"] == "model" and isinstance(one["created"], int) for one in answer["data"])
    assert len(api.headers[b"x-cmg-request-id"]) == 32


async def test_entries_tell_what_upstreams_tell(api):
    entries = {one["id"]: one for one in (await api.get("/v1/models", caller()))["data"]}
    assert entries["local/small"] == {
        "id": "local/small",
        "object": "model",
        "created": 7,
        "owned_by": "local",
        "context_length": 8000,
    }
    assert entries["far/other"]["pricing"] == {"prompt": "0.000001", "completion": "0.000002"}
    assert "context_length" not in entries["far/other"]
    assert entries["sim/echo"]["owned_by"] == "sim"
    assert entries["smart"]["context_length"] == 64_000


async def test_lists_of_the_key_are_kept_to(api):
    assert await api.ids(models_allow=("sim/*",)) == SIMULATED
    assert "local/small" not in await api.ids(models_block=("local/*",))
    assert "smart" not in await api.ids(models_block=("small",))
    assert await api.ids(models_allow=()) == []


async def test_a_key_that_may_use_the_bare_name_sees_the_bare_name(api):
    assert await api.ids(models_allow=("acme/*",)) == ["acme/big"]


@pytest.mark.parametrize("name", ["sim/echo", "local/acme/big", "acme/big", "smart", "far/other"])
async def test_one_model_is_shown_by_its_id_slashes_included(api, name):
    answer = await api.get(f"/v1/models/{name}", caller())
    assert (answer["id"], answer["object"]) == (name, "model")


async def test_one_model_has_the_facts_of_the_list(api):
    listed = {one["id"]: one for one in (await api.get("/v1/models", caller()))["data"]}
    for name, entry in listed.items():
        assert await api.get(f"/v1/models/{name}", caller()) == entry


async def test_an_unlisted_model_that_an_upstream_serves_is_shown(api):
    answer = await api.get("/v1/models/brand-new", caller())
    assert answer == {"id": "brand-new", "object": "model", "created": 0, "owned_by": "local"}


@pytest.mark.parametrize("name", ["sim/none", "away/other", "lost"])
async def test_a_model_that_nobody_serves_is_not_found(api, name):
    with pytest.raises(ModelNotFound) as caught:
        await api.get(f"/v1/models/{name}", caller())
    assert caught.value.status == 404
    assert caught.value.param == "model"


async def test_a_model_the_key_may_not_use_is_forbidden(api):
    with pytest.raises(Forbidden) as caught:
        await api.get("/v1/models/local/small", caller(models_allow=("sim/*",)))
    assert caught.value.code == "model_not_allowed"


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/sim/echo"])
async def test_without_the_scope_nothing_is_shown(api, path):
    with pytest.raises(Forbidden) as caught:
        await api.get(path, caller(scopes=("chat",)))
    assert caught.value.code == "missing_scope"
    assert await api.get(path, caller(scopes=("admin",)))
