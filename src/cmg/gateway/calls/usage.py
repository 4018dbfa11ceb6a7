"""The `usage` object of an answer, as OpenAI, OpenRouter and their like write it."""

from typing import Any

import msgspec

from cmg.gateway.calls.failure import is_null
from cmg.gateway.upstreams.loose_json import loosely
from cmg.kit.money import NANO, usd_to_nano
from cmg.ledger.models import TokenUsage

Number = int | float | None
_TOKENS_MAX = 2**31  # of one call: more is nonsense, and no column's
_EXACT_USD = 1e5  # up to here the product with 1e9 is exact to far less than a nano-USD; a tenth of a decimal's price


class PromptDetails(msgspec.Struct):
    """Parts of the prompt's tokens."""

    cached_tokens: Number = None
    cache_write_tokens: Number = None


class CompletionDetails(msgspec.Struct):
    """Parts of the completion's tokens."""

    reasoning_tokens: Number = None


class Usage(msgspec.Struct):
    """What the upstream counted; `cost` in USD."""

    prompt_tokens: Number = None
    completion_tokens: Number = None
    total_tokens: Number = None
    cost: Any = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None

    @property
    def counts(self) -> bool:
        """Whether it tells numbers of tokens that can be believed."""
        told = (self.prompt_tokens, self.completion_tokens, self.total_tokens)
        return any(one is not None and 0 <= one < _TOKENS_MAX for one in told)

    @property
    def cost_nano(self) -> int | None:
        """What the upstream says that the call cost."""
        return _cost(self.cost)

    def tokens(self) -> TokenUsage | None:
        """In our words; None when it counts nothing."""
        if not self.counts:
            return None
        prompt, completion = _whole(self.prompt_tokens), _whole(self.completion_tokens)
        if self.prompt_tokens is None:
            prompt = max(0, _whole(self.total_tokens) - completion)
        details, parts = self.prompt_tokens_details, self.completion_tokens_details
        return TokenUsage(
            prompt,
            completion,
            _whole(details.cached_tokens) if details else 0,
            _whole(details.cache_write_tokens) if details else 0,
            _whole(parts.reasoning_tokens) if parts else 0,
            self.cost_nano,
        )


_decode = msgspec.json.Decoder(Usage).decode


def read_usage(told: msgspec.Raw) -> Usage | None:
    """The object if there is one; what is not of the usual types counts as not told, and never fails an answer."""
    if is_null(told):
        return None
    try:
        return _decode(told)
    except msgspec.ValidationError:
        try:
            return _salvaged(loosely(bytes(told)))
        except ValueError:
            return None


def _salvaged(told: Any) -> Usage | None:
    """The usual fields that can be read one by one."""
    found = Usage()
    for field in msgspec.structs.fields(Usage) if isinstance(told, dict) else ():
        try:
            setattr(found, field.name, msgspec.convert(told.get(field.name), field.type, strict=False))
        except msgspec.ValidationError:
            continue
    return found


def _whole(value: Number) -> int:
    if value is None or value != value or not 0 <= value < _TOKENS_MAX:  # noqa: PLR0124  NaN is not equal to itself
        return 0
    return int(value)


def _cost(value: Any) -> int | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, float) and 0 <= value < _EXACT_USD:
        return round(value * NANO)
    try:
        nano = usd_to_nano(value)
    except (ValueError, TypeError):
        return None
    return nano if nano >= 0 else None
