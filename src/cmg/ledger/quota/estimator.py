"""What a call will take, as far as one can know before: what budgets and token limits reserve."""

from collections import OrderedDict
from typing import Final

from cmg.kit.money import NANO
from cmg.ledger.models import TokenUsage
from cmg.ledger.prices import ModelPrice

MAX_MODELS = 1024  # clients choose model names
FIRST_COMPLETION = 500.0  # tokens: before anything is known of a model
ANSWER_TOKENS_MAX = 1_000_000  # of one answer: what asks for more, or says that it was more, is taken as this
WEIGHT = 0.1  # of the newest answer in the moving average
MARGIN = 1.5  # a reservation is rather too large: what is too small may overshoot a budget
EXTRA_NANO_MAX = 10 * NANO  # of one call beyond its tokens: more is nonsense, and must not stop everybody's calls

# For a model whose price nobody knows: as dear as the large models of today. Pico-USD per token: 10 and 40 USD/Mtok.
DEFAULT_PRICE: Final = ModelPrice(prompt=10_000_000, completion=40_000_000)


class Estimator:
    """Estimates calls, and learns from each answer how long a model's answers are, and what they cost beyond tokens.

    One per process; bounded.
    """

    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._max_models = max_models
        self._completion: OrderedDict[str, float] = OrderedDict()
        self._extra: dict[str, float] = {}  # nano-USD a call, of models among those above whose upstream tells costs

    def estimate(
        self, model: str, prompt_tokens: int, max_tokens: int | None, price: ModelPrice | None, n: int = 1
    ) -> tuple[int, int]:
        """(tokens of prompt and answers, cost in nano-USD).

        `max_tokens`: the request's own bound on one answer, if any; `n`: answers asked for; `price` None: unknown.
        """
        prompt = max(0, prompt_tokens)
        if max_tokens is not None and max_tokens >= 0:
            completion = min(max_tokens, ANSWER_TOKENS_MAX) * max(1, n)
        else:
            completion = int(self._completion.get(model, FIRST_COMPLETION) * MARGIN) * max(1, n)
        cost = (price or DEFAULT_PRICE).cost_nano(TokenUsage(prompt=prompt, completion=completion))
        return prompt + completion, cost + int(self._extra.get(model, 0))

    def learn_cost(self, model: str, usage: TokenUsage, price: ModelPrice | None) -> None:
        """Tell of an answer's cost where the upstream reported it; `price`: what its tokens were taken to cost.

        Fees for searches and images, or a price that is out of date, are in no price of tokens.
        """
        if usage.cost_nano is None or model not in self._completion:
            return
        extra = usage.cost_nano - (price or DEFAULT_PRICE).cost_nano(usage)
        extra = min(max(0, extra), EXTRA_NANO_MAX)
        before = self._extra.get(model)
        if before is not None or extra:
            self._extra[model] = extra if before is None else before + WEIGHT * (extra - before)

    def learn(self, model: str, completion_tokens: int) -> None:
        """Tell how long an answer was; the model that was heard of longest ago gives way when there are too many."""
        known, completion_tokens = self._completion, min(completion_tokens, ANSWER_TOKENS_MAX)
        before = known.get(model)
        if before is None:
            if len(known) >= self._max_models:
                self._extra.pop(known.popitem(last=False)[0], None)
            known[model] = float(max(0, completion_tokens))
            return
        known[model] = before + WEIGHT * (completion_tokens - before)
        known.move_to_end(model)
