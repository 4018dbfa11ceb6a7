"""What tokens cost: the operator's own prices first, then the synced catalogue; all in whole pico-USD."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from cmg.config import PriceSettings
from cmg.kit.money import CALL_NANO_MAX, pico_to_nano, usd_to_pico
from cmg.ledger.models import CostOrigin, TokenUsage

_MTOK = 1_000_000
_REMEMBERED = 4096  # names whose price is kept at hand: clients choose model names, so there must be an end
_FIELDS = {
    "prompt": "prompt",
    "completion": "completion",
    "cache_read": "input_cache_read",
    "cache_write": "input_cache_write",
    "reasoning": "internal_reasoning",
    "request": "request",
}
_PRICE_NAMES = {*_FIELDS.values(), "image", "audio", "web_search", "input_cache_write_1h", "input_audio_cache"}


class ModelPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Pico-USD per token (`request`: per call). None: the same as an ordinary token of that direction.

    `above`: (prompt tokens from which on it holds, the other price), for long prompts, smallest first.
    """

    prompt: int = 0
    completion: int = 0
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    request: int = 0
    above: tuple[tuple[int, "ModelPrice"], ...] = ()

    @classmethod
    def from_openrouter(cls, pricing: Mapping[str, Any]) -> "ModelPrice | None":
        """The `pricing` of OpenRouter's `GET /models`: strings in USD per token. None when it holds no usable price.

        A negative price (the auto router's "it depends") is no price. Of `overrides` those for long prompts
        count; ones that hold at certain times only are left out.
        """
        values = {name: _pico(pricing.get(field)) for name, field in _FIELDS.items()}
        if values["prompt"] is None or values["completion"] is None:
            return None
        given: dict[str, Any] = {name: value for name, value in values.items() if value is not None}
        if not given.get("reasoning"):
            given.pop("reasoning", None)  # "0" means: billed as completion
        base = cls(**given)
        overrides = pricing.get("overrides")
        above = [_override(base, item) for item in overrides] if isinstance(overrides, list) else []
        found = sorted((item for item in above if item is not None), key=lambda item: item[0])
        return msgspec.structs.replace(base, above=tuple(found))

    @classmethod
    def from_settings(cls, settings: PriceSettings) -> "ModelPrice":
        """A `[[prices]]` table: USD per million tokens."""
        read, write = settings.cache_read_usd_per_mtok, settings.cache_write_usd_per_mtok
        return cls(
            prompt=_per_token(settings.prompt_usd_per_mtok),
            completion=_per_token(settings.completion_usd_per_mtok),
            cache_read=None if read is None else _per_token(read),
            cache_write=None if write is None else _per_token(write),
            request=usd_to_pico(settings.request_usd),
        )

    def cost_nano(self, usage: TokenUsage) -> int:
        """What these tokens cost, in nano-USD, rounded half up once at the end; between nothing and `CALL_NANO_MAX`."""
        price = next((other for limit, other in reversed(self.above) if usage.prompt >= limit), self)
        prompt, completion = max(0, usage.prompt), max(0, usage.completion)
        cached = min(max(0, usage.cached), prompt)
        written = min(max(0, usage.cache_write), prompt - cached)
        reasoning = min(max(0, usage.reasoning), completion)
        pico = (
            price.request
            + (prompt - cached - written) * price.prompt
            + cached * (price.prompt if price.cache_read is None else price.cache_read)
            + written * (price.prompt if price.cache_write is None else price.cache_write)
            + (completion - reasoning) * price.completion
            + reasoning * (price.completion if price.reasoning is None else price.reasoning)
        )
        return min(pico_to_nano(pico), CALL_NANO_MAX)


class PriceBook:
    """Prices by upstream and its own name for the model."""

    def __init__(self, settings: Sequence[PriceSettings]) -> None:
        self._own = [(price.model, ModelPrice.from_settings(price)) for price in settings]
        self._catalogue: Mapping[str, ModelPrice] = {}
        self._found: dict[tuple[str, str], ModelPrice | None] = {}

    def replace(self, catalogue: Mapping[str, ModelPrice]) -> None:
        """Take another catalogue; its keys are `upstream/model`."""
        self._catalogue = catalogue
        self._found = {}

    def price(self, upstream: str, model: str) -> ModelPrice | None:
        """The first of the operator's globs that matches `model` or `upstream/model`, else the catalogue's price."""
        try:
            return self._found[upstream, model]
        except KeyError:
            if len(self._found) >= _REMEMBERED:
                self._found = {}
            price = self.own(upstream, model) or self._catalogue.get(f"{upstream}/{model}")
            self._found[upstream, model] = price
            return price

    def cost(self, upstream: str, model: str, usage: TokenUsage) -> tuple[int, CostOrigin]:
        """Nano-USD and where they come from: the upstream's own figure, else price times tokens.

        `estimate` marks costs of estimated tokens and calls without any known price (0).
        """
        if usage.cost_nano is not None:
            return min(max(0, usage.cost_nano), CALL_NANO_MAX), "upstream"
        price = self.price(upstream, model)
        if price is None:
            return 0, "estimate"
        return price.cost_nano(usage), "estimate" if usage.estimated else "catalogue"

    def own(self, upstream: str, model: str) -> ModelPrice | None:
        """The price of the first of the operator's globs that matches `model` or `upstream/model`."""
        full = f"{upstream}/{model}"
        for pattern, price in self._own:
            if fnmatchcase(model, pattern) or fnmatchcase(full, pattern):
                return price
        return None


def _per_token(usd_per_mtok: float) -> int:
    return usd_to_pico(usd_per_mtok) // _MTOK if usd_per_mtok else 0


def _pico(value: Any) -> int | None:
    """A price of somebody else's JSON; None when it is missing, negative or no amount of money."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        pico = usd_to_pico(value)
    except ValueError:
        return None
    return pico if pico >= 0 else None


def _override(base: ModelPrice, item: Any) -> tuple[int, ModelPrice] | None:
    if not isinstance(item, Mapping) or not isinstance(item.get("min_prompt_tokens"), int):
        return None
    if set(item) - _PRICE_NAMES != {"min_prompt_tokens"}:
        return None  # some other condition that we do not know
    values = {name: _pico(item.get(field)) for name, field in _FIELDS.items()}
    given = {name: value for name, value in values.items() if value is not None}
    return item["min_prompt_tokens"], msgspec.structs.replace(base, **given)
