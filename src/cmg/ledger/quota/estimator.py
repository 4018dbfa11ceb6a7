"""What a call will take, as far as one can know before: what budgets and token limits reserve."""

from collections import OrderedDict
from typing import Final

from cmg.ledger.models import TokenUsage
from cmg.ledger.prices import ModelPrice

MAX_MODELS = 1024  # clients choose model names
FIRST_COMPLETION = 500.0  # tokens: before anything is known of a model
ANSWER_TOKENS_MAX = 1_000_000  # of one answer: what asks for more, or says that it was more, is taken as this
WEIGHT = 0.1  # of the newest answer in the moving average
MARGIN = 1.5  # a reservation is rather too large: what is too small may overshoot a budget

# For a model whose price nobody knows: as dear as the large models of today. Pico-USD per token: 10 and 40 USD/Mtok.
DEFAULT_PRICE: Final = ModelPrice(prompt=10_000_000, completion=40_000_000)


class Estimator:
    """Estimates calls, and learns from each answer how long a model's answers are. One per process; bounded."""

    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._max_models = max_models
        self._completion: OrderedDict[str, float] = OrderedDict()

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
        return prompt + completion, cost

    def learn(self, model: str, completion_tokens: int) -> None:
        """Tell how long an answer was; the model that was heard of longest ago gives way when there are too many."""
        known, completion_tokens = self._completion, min(completion_tokens, ANSWER_TOKENS_MAX)
        before = known.get(model)
        if before is None:
            if len(known) >= self._max_models:
                known.popitem(last=False)
            known[model] = float(max(0, completion_tokens))
            return
        known[model] = before + WEIGHT * (completion_tokens - before)
        known.move_to_end(model)
