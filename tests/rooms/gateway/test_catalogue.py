"""The catalogue of models: taken over from upstreams, kept when they fail, announced, read by gateways."""

import asyncio
import contextlib
from typing import Any

import pytest

from cmg.config import PriceSettings, Settings, UpstreamSettings
from cmg.gateway.routing.catalogue import Catalogue, built_in_models
from cmg.gateway.routing.catalogue_sync import CatalogueSync
from cmg.gateway.routing.upstreams import SIMULATOR, Upstream
from cmg.gateway.upstreams.simulator import SIMULATOR_MODELS, SimulatorTransport
from cmg.gateway.upstreams.transport import ConnectFailed, Truncated
from cmg.ledger.models import TokenUsage
from cmg.ledger.prices import PriceBook
from cmg.storage.changes import ChangeFeed
from cmg.storage.errors import DatabaseAway
from support.listing_transport import ListingTransport
from support.manual_clock import START

BIG = {
    "id": "acme/big",
    "created": 1_700_000_001,
    "context_length": 128_000,
    "pricing": {
        "prompt": "0.000002",
        "completion": "0.000008",
        "input_cache_read": "0.0000002",
        "input_cache_write": "0.0000025",
        "overrides": [{"min_prompt_tokens": 1000, "prompt": "0.000004"}],
    },
}
PLAIN = {"id": "plain", "object": "model", "max_model_len": 4096}


def listing(*models: Any) -> tuple[int, Any]:
    return 200, {"object": "list", "data": list(models)}


def upstream(transport: Any, name: str = "far", key: str | None = "secret", missing: str | None = None) -> Upstream:
    return Upstream(UpstreamSettings(name=name, base_url="http://far/v1/", api_key=key), transport, missing)


def metric(instruments, name: str, *labels: str) -> float:
    return instruments.series(name, *labels)._value.get()


@pytest.fixture
def book() -> PriceBook:
    return PriceBook([])


@pytest.fixture
def catalogue(database, book, clock) -> Catalogue:
    return Catalogue(database, book, clock)


@pytest.fixture
def syncing(database, clock, instruments):
    """A function that makes a `CatalogueSync` of upstreams."""
    return lambda *upstreams: CatalogueSync(upstreams, database, clock, instruments)


async def test_listed_models_are_kept_with_price_and_context_length(syncing, catalogue, book):
    transport = ListingTransport(listing(BIG, PLAIN))
    assert await syncing(upstream(transport)).sync() == {"far": None}
    await catalogue.load()
    assert [info.id for info in catalogue.models()] == ["far/acme/big", "far/plain"]
    big, plain = catalogue.models()
    assert (big.owned_by, big.created, big.pricing["prompt"]) == ("far", 1_700_000_001, "0.000002")
    assert (plain.created, plain.pricing) == (int(START), None)
    assert catalogue.context_length("far", "acme/big") == 128_000
    assert catalogue.context_length("far", "plain") == 4096
    assert catalogue.context_length("far", "none") is None
    assert book.price("far", "plain") is None
    usage = TokenUsage(prompt=500, completion=10, cached=200, cache_write=100, reasoning=0, cost_nano=None)
    assert book.cost("far", "acme/big", usage) == (200 * 2000 + 200 * 200 + 100 * 2500 + 10 * 8000, "catalogue")
    assert book.price("far", "acme/big").above[0][0] == 1000


async def test_the_request_carries_the_key_and_has_a_deadline(syncing):
    transport = ListingTransport(listing(PLAIN))
    await syncing(upstream(transport)).sync()
    method, url, headers, limits = transport.asked[0]
    assert (method, url) == ("GET", "http://far/v1/models")
    assert headers["authorization"] == "Bearer secret"
    assert limits.total_s == 20
    assert transport.responses[0].closed


async def test_an_upstream_without_its_key_is_not_asked(syncing):
    transport = ListingTransport(listing(PLAIN))
    assert await syncing(upstream(transport, missing="FAR_KEY")).sync() == {}
    assert transport.asked == []


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (ConnectFailed("refused"), "unreachable"),
        (Truncated("cut"), "unreachable"),
        ((401, {"error": {"message": "Incorrect API key provided: secret"}}), "refused"),
        ((503, b""), "refused"),
        ((200, b"<html>"), "malformed"),
        ((200, {"data": {"id": "x"}}), "malformed"),
        ((200, {"data": [{"name": 3}, {"id": ""}, "x", {"id": "a\x00b"}]}), "malformed"),
        ((200, {"data": [{"id": f"m{number}"} for number in range(20_001)]}), "malformed"),
        ((200, b" " * (32 * 2**20 + 1)), "unreachable"),
    ],
)
async def test_a_failed_sync_keeps_what_was_known(syncing, catalogue, clock, instruments, book, entry, outcome):
    sync = syncing(upstream(ListingTransport(listing(BIG), entry)))
    await sync.sync()
    clock.advance(900)
    error = (await sync.sync())["far"]
    assert error
    assert "secret" not in error
    assert metric(instruments, "cmg_catalogue_syncs_total", "far", outcome) == 1
    clock.advance(100)
    await catalogue.load()
    assert [info.model for info in catalogue.models()] == ["acme/big"]
    assert book.price("far", "acme/big") is not None
    assert catalogue.age_s("far") == 1000
    (state,) = catalogue.syncs()
    assert (state.synced_at, state.attempted_at, state.error) == (START, START + 900, error)


async def test_a_sync_that_works_again_clears_the_error(syncing, catalogue):
    sync = syncing(upstream(ListingTransport(ConnectFailed("refused"), listing(PLAIN))))
    await sync.sync()
    await catalogue.load()
    assert catalogue.age_s("far") is None
    await sync.sync()
    await catalogue.load()
    assert catalogue.age_s("far") == 0
    assert catalogue.syncs()[0].error is None


async def test_one_failing_upstream_does_not_hold_up_the_others(syncing, catalogue):
    bad, good = ListingTransport(ConnectFailed("refused")), ListingTransport(listing(PLAIN))
    result = await syncing(upstream(bad, "bad"), upstream(good, "good")).sync()
    assert result["good"] is None
    assert "connect_failed" in result["bad"]
    await catalogue.load()
    assert [info.id for info in catalogue.models()] == ["good/plain"]


async def test_a_vanished_model_is_not_listed_but_keeps_its_price_for_a_month(
    syncing, catalogue, book, clock, database
):
    sync = syncing(upstream(ListingTransport(listing(BIG, PLAIN), listing(PLAIN))))
    await sync.sync()
    clock.advance(900)
    await sync.sync()
    await catalogue.load()
    assert [info.model for info in catalogue.models()] == ["plain"]
    assert catalogue.context_length("far", "acme/big") == 128_000
    assert book.price("far", "acme/big") is not None
    clock.advance(31 * 86_400)
    await sync.sync()
    assert await database.fetchval("SELECT count(*) FROM models") == 1


async def test_a_model_that_comes_back_is_listed_again_since_its_first_day(syncing, catalogue, clock):
    sync = syncing(upstream(ListingTransport(listing(PLAIN), listing(), listing(PLAIN))))
    for _ in range(3):
        await sync.sync()
        clock.advance(900)
    await catalogue.load()
    assert [(info.model, info.created) for info in catalogue.models()] == [("plain", int(START))]


async def test_an_upstream_nobody_asks_any_more_is_forgotten(syncing, clock, catalogue):
    await syncing(upstream(ListingTransport(listing(PLAIN)), "gone")).sync()
    clock.advance(91 * 86_400)
    await syncing(upstream(ListingTransport(listing(PLAIN)))).sync()
    await catalogue.load()
    assert [info.upstream for info in catalogue.models()] == ["far"]
    assert [state.upstream for state in catalogue.syncs()] == ["far"]


async def test_the_simulators_models_are_listed_under_its_prefix(syncing, catalogue, book, clock):
    await syncing(upstream(SimulatorTransport(clock), SIMULATOR, key=None)).sync()
    await catalogue.load()
    assert {info.id for info in catalogue.models()} == {model["id"] for model in SIMULATOR_MODELS}
    assert book.price("sim", "echo") is not None
    assert catalogue.context_length("sim", "echo") == SIMULATOR_MODELS[0]["context_length"]


async def test_the_simulators_prices_are_known_before_any_sync(database, book, clock):
    Catalogue(database, book, clock, built_in_models(Settings()))
    cost, origin = book.cost("sim", "echo", TokenUsage(1000, 1000))
    assert (cost, origin) == (500_000, "catalogue")
    assert book.price("sim", "embed") is not None


async def test_what_the_sync_says_replaces_what_is_built_in(syncing, database, book, clock):
    catalogue = Catalogue(database, book, clock, built_in_models(Settings()))
    simulated = {info.id for info in catalogue.models()}
    await syncing(upstream(SimulatorTransport(clock), SIMULATOR, key=None)).sync()
    await catalogue.load()
    assert {info.id for info in catalogue.models()} == simulated
    assert len(catalogue.models()) == len(simulated)


async def test_an_upstream_named_as_the_simulator_gets_none_of_its_prices():
    taken = UpstreamSettings(name=SIMULATOR, base_url="http://other/v1", models=["*"])
    assert built_in_models(Settings(upstreams=[taken])) == []


async def test_the_operators_own_price_beats_the_listed_one(syncing, database, clock):
    book = PriceBook([PriceSettings(model="far/*", prompt_usd_per_mtok=1)])
    await syncing(upstream(ListingTransport(listing(BIG)))).sync()
    await Catalogue(database, book, clock).load()
    assert book.price("far", "acme/big").prompt == 1_000_000


async def test_every_gateway_hears_of_a_sync(syncing, catalogue, database, clock):
    feed = ChangeFeed(database, clock)
    feed.subscribe("models", catalogue.changed)
    await feed.mark()
    sync = syncing(upstream(ListingTransport(listing(PLAIN), ConnectFailed("refused"))))
    await sync.sync()
    await feed.look()
    assert [info.model for info in catalogue.models()] == ["plain"]
    await sync.sync()
    await feed.look()
    assert "refused" in catalogue.syncs()[0].error


async def test_syncs_of_several_machines_at_once_end_with_one_catalogue(syncing, catalogue):
    models = [{"id": f"model-{number}"} for number in range(200)]
    one = syncing(upstream(ListingTransport(listing(*models))))
    other = syncing(upstream(ListingTransport(listing(*reversed(models)))))
    results = await asyncio.gather(*(sync.sync() for sync in (one, other) for _ in range(3)))
    assert [result["far"] for result in results] == [None] * 6
    await catalogue.load()
    assert len(catalogue.models()) == 200


async def test_a_model_named_twice_counts_once(syncing, catalogue):
    await syncing(upstream(ListingTransport(listing(PLAIN, PLAIN | {"max_model_len": 1})))).sync()
    await catalogue.load()
    assert [info.context_length for info in catalogue.models()] == [4096]


@pytest.mark.parametrize(
    "odd",
    [
        {"pricing": "free", "context_length": "8k", "created": "yesterday"},
        {"pricing": {"prompt": "-1", "completion": "-1"}, "context_length": -1, "created": -1},
        {"pricing": {"prompt": "0\x00", "completion": "0"}, "context_length": True},
        {"pricing": {"prompt": "0", "completion": "0", "note": "x" * 20_000}, "context_length": 10**12},
        {"pricing": {"input": 3.5, "output": 10}, "created": 10**30, "meta": 7, "top_provider": []},
    ],
)
async def test_odd_fields_of_a_model_are_left_out(syncing, catalogue, odd):
    assert await syncing(upstream(ListingTransport(listing({"id": "odd"} | odd)))).sync() == {"far": None}
    await catalogue.load()
    (info,) = catalogue.models()
    assert (info.model, info.context_length, info.pricing, info.created) == ("odd", None, None, int(START))


@pytest.mark.parametrize(
    "shape", [{"models": [PLAIN]}, [PLAIN], {"models": [{"name": "plain", "meta": {"n_ctx": 4096}}]}]
)
async def test_other_shapes_of_listings_are_read_too(syncing, catalogue, shape):
    await syncing(upstream(ListingTransport((200, shape)))).sync()
    await catalogue.load()
    assert catalogue.context_length("far", "plain") == 4096


async def test_a_database_that_is_away_ends_no_sync_and_loses_no_catalogue(syncing, catalogue, database, instruments):
    sync = syncing(upstream(ListingTransport(listing(PLAIN))))
    await sync.sync()
    await catalogue.load()
    await database.close()
    assert "could not be stored" in (await sync.sync())["far"]
    assert metric(instruments, "cmg_catalogue_syncs_total", "far", "unstored") == 1
    with pytest.raises(DatabaseAway):
        await catalogue.load()
    assert [info.model for info in catalogue.models()] == ["plain"]
    await database.open()
    assert await sync.sync() == {"far": None}


async def _until(condition, clock, step_s: float = 0) -> None:
    """Let real I/O go on, and simulated time with it, until the condition holds."""
    async with asyncio.timeout(20):
        while not condition():
            clock.advance(step_s)
            await asyncio.sleep(0.01)


async def test_syncs_are_repeated_every_quarter_of_an_hour_and_ages_shown(syncing, clock, instruments):
    transport = ListingTransport(listing(PLAIN), ConnectFailed("refused"))
    running = asyncio.create_task(syncing(upstream(transport)).run())
    try:
        await _until(lambda: metric(instruments, "cmg_catalogue_syncs_total", "far", "ok") == 1, clock)
        before = clock.time()
        await _until(lambda: len(transport.asked) >= 3, clock, 15)
        assert 2 * 800 <= clock.time() - before <= 2 * 1100
        await _until(lambda: metric(instruments, "cmg_catalogue_age_seconds", "far") >= 1600, clock, 15)
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
