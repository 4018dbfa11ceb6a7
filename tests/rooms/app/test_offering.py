"""What upstreams offer: the order of upstreams, candidates of routes, priced models by pages."""

import msgspec
import pytest

from cmg.app.upstreams.offering import Offering
from cmg.config import PriceSettings, RouteSettings, Settings, UpstreamSettings
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.catalogue_store import KeptModel, SyncState
from cmg.gateway.routing.router import Router
from cmg.gateway.routing.upstreams import build_upstreams
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS
from cmg.kit.errors import InvalidRequest
from cmg.ledger.prices import PriceBook
from support.listing_transport import ListingTransport

SETTINGS = Settings(
    upstreams=[
        UpstreamSettings(name="near", base_url="http://near/v1", models=["near-*"]),
        UpstreamSettings(name="unset", base_url="http://unset/v1", api_key="env:UNSET_KEY", models=["u-*"]),
    ],
    routes=[RouteSettings(model="smart", candidates=["near/big", "u-one", "openrouter/acme/x", "nobody-knows"])],
    prices=[PriceSettings(model="near/big", prompt_usd_per_mtok=0.25, completion_usd_per_mtok=2, request_usd=0.001)],
)
PRICED = {
    "prompt": "0.000003",
    "completion": "0.000015",
    "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.00003"}],
}


@pytest.fixture
def offering(database, clock) -> Offering:
    transport = ListingTransport({})
    upstreams = build_upstreams(SETTINGS, transport, transport)
    prices = PriceBook(SETTINGS.prices)
    catalogue = Catalogue(database, prices, clock, built_in_models(SETTINGS))
    near = [KeptModel(upstream="near", model=name, first_seen=5, vanished=False) for name in ("big", "small")]
    far = KeptModel(upstream="openrouter", model="acme/x", first_seen=7, vanished=False, pricing=PRICED)
    gone = KeptModel(upstream="near", model="gone", first_seen=1, vanished=True)
    synced = SyncState(upstream="near", synced_at=clock.time(), attempted_at=clock.time(), error="it is slow")
    catalogue.take([*near, gone, far], [synced])
    router = Router(upstreams, SETTINGS.routes, [one["id"].removeprefix("sim/") for one in SIMULATOR_MODELS])
    return Offering(SETTINGS, upstreams, router, catalogue, prices)


def test_upstreams_stand_in_the_order_of_their_globs_and_say_what_they_lack(offering: Offering) -> None:
    told = {one["name"]: one for one in offering.listed_upstreams()}
    assert list(told) == ["near", "unset", "openrouter", "sim"]
    assert told["unset"]["missing"] == "UNSET_KEY"
    assert told["openrouter"]["missing"] == "OPENROUTER_API_KEY"
    assert (told["near"]["models"], told["near"]["sync_error"], told["near"]["globs"]) == (2, "it is slow", ["near-*"])
    assert told["near"]["synced_at"] is not None
    assert told["sim"]["models"] == len(SIMULATOR_MODELS)
    assert "http://near" not in str(told)


def test_a_route_names_its_candidates_in_order_and_why_one_cannot_answer(offering: Offering) -> None:
    (route,) = offering.listed_routes()
    near, unset, far, nobody = route["candidates"]
    assert (near["upstream"], near["model"], near["listed"], near["missing"]) == ("near", "big", True, None)
    assert near["price"]["prompt_usd_per_mtok"] == 0.25
    assert near["price"]["request_usd"] == 0.001
    assert "UNSET_KEY" in unset["missing"]
    assert "OPENROUTER_API_KEY" in far["missing"]
    assert "no upstream serves" in nobody["missing"]


def test_models_have_prices_and_say_whose_they_are(offering: Offering) -> None:
    models = {one["id"]: one for one in offering.page({})["items"]}
    assert models["near/big"]["price_origin"] == "settings"
    assert models["near/big"]["routes"] == ["smart"]
    assert models["near/small"]["price"] is None
    assert models["near/small"]["price_origin"] is None
    far = models["openrouter/acme/x"]
    assert (far["price"]["prompt_usd_per_mtok"], far["price"]["completion_usd_per_mtok"]) == (3, 15)
    assert far["price"]["above"][0]["prompt_tokens"] == 200_000
    assert far["price"]["above"][0]["price"]["prompt_usd_per_mtok"] == 6
    assert far["price_origin"] == "upstream"
    assert "near/gone" not in models


def test_pages_of_models_go_on_by_their_cursor_and_are_searched(offering: Offering) -> None:
    whole = [one["id"] for one in offering.page({})["items"]]
    seen, cursor = [], None
    while True:
        page = offering.page({"limit": "2", "cursor": cursor})
        seen += [one["id"] for one in page["items"]]
        if (cursor := page["next"]) is None:
            break
    assert seen == whole == sorted(whole)
    assert [one["id"] for one in offering.page({"q": "ACME x"})["items"]] == ["openrouter/acme/x"]
    assert {one["upstream"] for one in offering.page({"upstream": "sim"})["items"]} == {"sim"}


@pytest.mark.parametrize(("name", "value"), [("limit", "0"), ("limit", "many"), ("upstream", "nobody")])
def test_what_is_wrong_names_its_parameter(offering: Offering, name: str, value: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        offering.page({name: value})
    assert msgspec.json.decode(refused.value.json())["error"]["param"] == name
