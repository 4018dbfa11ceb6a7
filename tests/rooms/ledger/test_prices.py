"""Costs are exact integers: the operator's price first, then the catalogue's, the upstream's own figure above all."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmg.config import PriceSettings
from cmg.kit.money import NANO, usd_to_nano
from cmg.ledger.models import TokenUsage
from cmg.ledger.prices import ModelPrice, PriceBook

TOKENS = st.integers(0, 10**7)
PICO = st.integers(0, 10**9)
PRICES = st.builds(
    ModelPrice,
    prompt=PICO,
    completion=PICO,
    cache_read=st.none() | PICO,
    cache_write=st.none() | PICO,
    reasoning=st.none() | PICO,
    request=PICO,
)
USAGES = st.builds(TokenUsage, TOKENS, TOKENS, TOKENS, TOKENS, TOKENS)


@given(PRICES, USAGES)
def test_a_cost_is_the_sum_of_its_parts_rounded_once(price: ModelPrice, usage: TokenUsage) -> None:
    cached = min(usage.cached, usage.prompt)
    written = min(usage.cache_write, usage.prompt - cached)
    reasoning = min(usage.reasoning, usage.completion)
    parts = [
        (1, price.request),
        (usage.prompt - cached - written, price.prompt),
        (cached, price.prompt if price.cache_read is None else price.cache_read),
        (written, price.prompt if price.cache_write is None else price.cache_write),
        (usage.completion - reasoning, price.completion),
        (reasoning, price.completion if price.reasoning is None else price.reasoning),
    ]
    exact = sum(Decimal(tokens * pico) for tokens, pico in parts) / 1000
    assert abs(price.cost_nano(usage) - exact) <= Decimal("0.5")


@given(PRICES, USAGES, TOKENS)
def test_more_tokens_never_cost_less(price: ModelPrice, usage: TokenUsage, more: int) -> None:
    longer = TokenUsage(usage.prompt, usage.completion + more, 0, 0, 0)
    shorter = TokenUsage(usage.prompt, usage.completion, 0, 0, 0)
    assert price.cost_nano(longer) >= price.cost_nano(shorter) >= 0


@given(PRICES, st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_absurd_counts_never_make_money(price: ModelPrice, prompt: int, completion: int, part: int) -> None:
    assert price.cost_nano(TokenUsage(prompt, completion, part, part, part)) >= 0


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_price_per_million_tokens_is_exact(micro_usd: int, tokens: int) -> None:
    usd = micro_usd / 1_000_000
    price = ModelPrice.from_settings(PriceSettings(model="*", prompt_usd_per_mtok=usd))
    exact = Decimal(str(usd)) * tokens * NANO / 1_000_000
    assert abs(price.cost_nano(TokenUsage(prompt=tokens)) - exact) <= Decimal("0.5")


def test_the_first_matching_glob_wins_on_either_name() -> None:
    book = PriceBook(
        [
            PriceSettings(model="local/big-*", prompt_usd_per_mtok=3),
            PriceSettings(model="big-*", prompt_usd_per_mtok=2),
            PriceSettings(model="*", prompt_usd_per_mtok=1),
        ]
    )
    book.replace({"other/x": ModelPrice(prompt=9)})
    found = [book.price(*name) for name in (("local", "big-1"), ("other", "big-1"), ("other", "x"))]
    assert [price.prompt for price in found if price] == [3_000_000, 2_000_000, 1_000_000]


def test_the_catalogue_is_asked_by_upstream_and_model() -> None:
    book = PriceBook([])
    assert book.price("openrouter", "openai/gpt") is None
    book.replace({"openrouter/openai/gpt": ModelPrice(prompt=5)})
    assert book.price("openrouter", "openai/gpt") == ModelPrice(prompt=5)
    assert book.price("local", "openai/gpt") is None


def test_prices_of_endless_names_take_bounded_memory() -> None:
    book = PriceBook([PriceSettings(model="m", prompt_usd_per_mtok=1)])
    for number in range(10_000):
        assert book.price("u", f"x{number}") is None
    assert len(book._found) <= 4096
    assert book.price("u", "m") is not None


def test_where_a_cost_comes_from_is_told() -> None:
    book = PriceBook([PriceSettings(model="m", prompt_usd_per_mtok=2, completion_usd_per_mtok=8)])
    used = TokenUsage(prompt=1000, completion=500)
    assert book.cost("u", "m", used) == (6_000_000, "catalogue")
    assert book.cost("u", "m", TokenUsage(1000, 500, estimated=True)) == (6_000_000, "estimate")
    assert book.cost("u", "m", TokenUsage(1000, 500, cost_nano=7)) == (7, "upstream")
    assert book.cost("u", "m", TokenUsage(1000, 500, cost_nano=-7)) == (0, "upstream")
    assert book.cost("u", "unknown", used) == (0, "estimate")


def test_cached_tokens_have_their_own_price() -> None:
    price = ModelPrice.from_openrouter(
        {
            "prompt": "0.000003",
            "completion": "0.000015",
            "input_cache_read": "0.0000003",
            "input_cache_write": "3.75e-6",
        }
    )
    assert price is not None
    assert price.cost_nano(TokenUsage(1000, 100, 600, 200)) == usd_to_nano("0.00303")


def test_reasoning_is_billed_as_completion_unless_it_has_a_price() -> None:
    plain = {"prompt": "0", "completion": "0.00001", "internal_reasoning": "0"}
    for own, expected in (({}, 1_000_000), ({"internal_reasoning": "0.00002"}, 1_500_000)):
        price = ModelPrice.from_openrouter({**plain, **own})
        assert price is not None
        assert price.cost_nano(TokenUsage(0, 100, 0, 0, 50)) == expected


def test_long_prompts_have_the_price_of_their_length() -> None:
    price = ModelPrice.from_openrouter(
        {
            "prompt": "0.000001",
            "completion": "0.00001",
            "overrides": [
                {"min_prompt_tokens": 200_000, "prompt": "0.000002"},
                {"min_prompt_tokens": 100, "prompt": "5", "start_time": "22:00"},
                "odd",
            ],
        }
    )
    assert price is not None
    assert price.cost_nano(TokenUsage(199_999)) == 199_999_000
    assert price.cost_nano(TokenUsage(200_000, 1)) == 400_010_000


@pytest.mark.parametrize("pricing", [{}, {"prompt": "-1", "completion": "-1"}, {"prompt": "a lot", "completion": "1"}])
def test_what_is_no_price_is_none(pricing: dict) -> None:
    assert ModelPrice.from_openrouter(pricing) is None


@given(st.dictionaries(st.sampled_from(["prompt", "completion", "request", "overrides"]), st.from_type(object)))
def test_any_pricing_of_others_is_read_without_an_error(pricing: dict) -> None:
    ModelPrice.from_openrouter(pricing)
