"""What a call will take is estimated from what the request says, else from what the model used to answer."""

from cmg.ledger.models import TokenUsage
from cmg.ledger.prices import ModelPrice
from cmg.ledger.quota.estimator import DEFAULT_PRICE, EXTRA_NANO_MAX, FIRST_COMPLETION, MARGIN, Estimator

PRICE = ModelPrice(prompt=1_000_000, completion=2_000_000)  # pico-USD: 1 and 2 USD per million tokens


def test_a_bound_on_the_answer_is_the_estimate() -> None:
    assert Estimator().estimate("m", 100, 50, PRICE) == (150, 100 * 1000 + 50 * 2000)


def test_each_of_several_answers_counts() -> None:
    assert Estimator().estimate("m", 100, 50, PRICE, n=3)[0] == 250


def test_a_model_never_heard_of_gets_a_default_with_a_margin() -> None:
    assert Estimator().estimate("m", 0, None, PRICE)[0] == int(FIRST_COMPLETION * MARGIN)


def test_answers_are_learned_per_model() -> None:
    estimator = Estimator()
    for _ in range(200):
        estimator.learn("short", 10)
        estimator.learn("long", 4000)
    assert estimator.estimate("short", 0, None, PRICE)[0] == int(10 * MARGIN)
    assert estimator.estimate("long", 0, None, PRICE)[0] == int(4000 * MARGIN)


def test_one_odd_answer_does_not_turn_the_average() -> None:
    estimator = Estimator()
    for _ in range(50):
        estimator.learn("m", 100)
    estimator.learn("m", 10_000)
    assert 100 * MARGIN < estimator.estimate("m", 0, None, PRICE)[0] < 2000


def _told(cost_nano: int | None) -> TokenUsage:
    return TokenUsage(100, 50, cost_nano=cost_nano)


def test_what_an_upstream_takes_beyond_its_tokens_is_learned() -> None:
    estimator = Estimator()
    for cost in (1_200_000, 1_200_000, None):
        estimator.learn("m", 50)
        estimator.learn_cost("m", _told(cost), PRICE)
    assert estimator.estimate("m", 100, 50, PRICE) == (150, 1_200_000)
    assert estimator.estimate("other", 100, 50, PRICE) == (150, 200_000)


def test_a_cheaper_answer_and_an_absurd_one_are_no_other_price() -> None:
    estimator = Estimator()
    estimator.learn("m", 50)
    estimator.learn_cost("m", _told(0), PRICE)
    assert estimator.estimate("m", 100, 50, PRICE) == (150, 200_000)
    estimator.learn_cost("m", _told(10**18), PRICE)
    assert estimator.estimate("m", 100, 50, PRICE) == (150, 200_000 + EXTRA_NANO_MAX)


def test_an_unknown_price_is_taken_as_a_dear_one() -> None:
    _, cost = Estimator().estimate("m", 1000, 1000, None)
    assert cost == 1000 * (DEFAULT_PRICE.prompt + DEFAULT_PRICE.completion) // 1000


def test_clients_cannot_make_it_remember_models_without_end() -> None:
    estimator = Estimator(max_models=10)
    for number in range(1000):
        estimator.learn(f"m-{number}", 5)
        estimator.learn_cost(f"m-{number}", _told(1_000_000), PRICE)
    assert len(estimator._completion) == len(estimator._extra) == 10
    assert estimator.estimate("m-999", 0, None, PRICE)[0] == int(5 * MARGIN)


def test_nonsense_numbers_are_no_negative_costs() -> None:
    assert Estimator().estimate("m", -5, 0, PRICE, n=0) == (0, 0)
